/** The views of the dashboard, in the order in which they are listed. Those for administrators are loaded when they are opened. */
import type { Component } from "svelte";

export interface View {
  path: string;
  title: string;
  /** Second key of its shortcut, after "g". */
  key: string;
  admin: boolean;
  /** Only on `laneway dev`. */
  dev?: boolean;
  load: (() => Promise<{ default: Component }>) | null;
}

export const VIEWS: readonly View[] = [
  { path: "queue", title: "My queue", key: "q", admin: false, load: null },
  { path: "history", title: "History", key: "h", admin: false, load: () => import("./pages/History.svelte") },
  { path: "schedules", title: "Schedules", key: "s", admin: false, load: () => import("./pages/Schedules.svelte") },
  { path: "webhooks", title: "Webhooks", key: "k", admin: false, load: () => import("./pages/Webhooks.svelte") },
  { path: "account", title: "Account", key: "a", admin: false, load: () => import("./pages/Account.svelte") },
  { path: "overview", title: "Overview", key: "v", admin: true, load: () => import("./pages/Overview.svelte") },
  { path: "lanes", title: "Lanes", key: "l", admin: true, load: () => import("./pages/Lanes.svelte") },
  { path: "ring", title: "Ring", key: "r", admin: true, load: () => import("./pages/Ring.svelte") },
  { path: "race", title: "Race", key: "e", admin: true, dev: true, load: () => import("./pages/Race.svelte") },
  { path: "failures", title: "Dead letters", key: "d", admin: true, load: () => import("./pages/DeadLetters.svelte") },
  { path: "workers", title: "Workers", key: "w", admin: true, load: () => import("./pages/Workers.svelte") },
  { path: "audit", title: "Audit log", key: "o", admin: true, load: () => import("./pages/Audit.svelte") },
  { path: "users", title: "Users", key: "u", admin: true, load: () => import("./pages/Users.svelte") },
];

export const viewsFor = (isAdmin: boolean, isDev: boolean): View[] => VIEWS.filter((view) => (isAdmin || !view.admin) && (isDev || !view.dev));

export const viewOf = (path: string, isAdmin: boolean, isDev: boolean): View | undefined =>
  viewsFor(isAdmin, isDev).find((view) => view.path === (path || "queue"));
