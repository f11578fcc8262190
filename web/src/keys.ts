/** API keys in words. */
import type { Scope } from "./api/model";
import { duration } from "./format";

export const SCOPES: readonly { scope: Scope; text: string }[] = [
  { scope: "enqueue", text: "Enqueue requests" },
  { scope: "read", text: "Read jobs, the lane and events" },
  { scope: "write", text: "Change anything else, such as cancel jobs" },
  { scope: "keys", text: "List, make and revoke API keys" },
  { scope: "admin", text: "What you may do as an administrator" },
];

const DAY_SECONDS = 86_400;

/** How long a new key is valid; null for ever. */
export const LIFETIMES: readonly { seconds: number | null; text: string }[] = [
  { seconds: 7 * DAY_SECONDS, text: "7 days" },
  { seconds: 30 * DAY_SECONDS, text: "30 days" },
  { seconds: 90 * DAY_SECONDS, text: "90 days" },
  { seconds: 365 * DAY_SECONDS, text: "1 year" },
  { seconds: null, text: "Never" },
];

const SOON_MS = 7 * DAY_SECONDS * 1000;

/** When a key ends, in words, and whether that is within a week. */
export function expiry(at: string | null, now: number): { text: string; isSoon: boolean } {
  if (at === null) return { text: "never expires", isSoon: false };
  const left = Date.parse(at) - now;
  return left <= 0 ? { text: "has expired", isSoon: true } : { text: `expires in ${duration(left)}`, isSoon: left < SOON_MS };
}
