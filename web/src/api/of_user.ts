/** What acts for a user while nobody looks: keys, webhooks and schedules, for administrators. */
import { call } from "./api";
import { type Key, readSchedules, type Schedule } from "./model";
import type { Webhook } from "./webhooks";

const of = (user: string): string => `api/admin/users/${encodeURIComponent(user)}`;
const json = async <T>(path: string): Promise<T> => (await call(path)).json() as Promise<T>;

export interface Means {
  keys: Key[];
  webhooks: Webhook[];
  schedules: Schedule[];
}

export const ofUser = {
  means: async (user: string): Promise<Means> => {
    const [{ keys }, { webhooks }, schedules] = await Promise.all([
      json<{ keys: Key[] }>(`${of(user)}/keys`),
      json<{ webhooks: Webhook[] }>(`${of(user)}/webhooks`),
      call(`${of(user)}/schedules`).then((answer) => answer.text()),
    ]);
    return { keys, webhooks, schedules: readSchedules(schedules) };
  },
  revokeKey: (user: string, id: string): Promise<Response> => call(`${of(user)}/keys/${encodeURIComponent(id)}`, { method: "DELETE" }),
  disableWebhook: (user: string, id: string): Promise<Response> => call(`${of(user)}/webhooks/${encodeURIComponent(id)}/disable`, { method: "POST" }),
  enableWebhook: (user: string, id: string): Promise<Response> => call(`${of(user)}/webhooks/${encodeURIComponent(id)}/enable`, { method: "POST" }),
  pauseSchedule: (user: string, name: string): Promise<Response> => call(`${of(user)}/schedules/${encodeURIComponent(name)}/pause`, { method: "POST" }),
};
