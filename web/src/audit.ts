/** Entries of the audit log in words. */
import type { AuditEntry } from "./api/model";

const OF_USER: Readonly<Record<string, string>> = {
  lane_paused: "paused the lane of",
  lane_resumed: "resumed the lane of",
  lane_purged: "purged the lane of",
  lane_limited: "set the slots of",
  dead_letter_retried: "retried a dead letter of",
  dead_letter_dropped: "dropped a dead letter of",
  key_revoked: "revoked an API key of",
  operation_cancelled: "ended an operation on jobs of",
  operation_started: "started an operation on jobs of",
  role_set: "set the role of",
  schedule_deleted: "deleted a schedule of",
  webhook_disabled: "disabled a webhook of",
  webhook_enabled: "enabled a webhook of",
  schedule_paused: "paused a schedule of",
  schedule_resumed: "resumed a schedule of",
};
const OF_NOBODY: Readonly<Record<string, string>> = {
  operation_cancelled: "ended an operation on jobs of all users",
  operation_started: "started an operation on jobs of all users",
  user_invited: "made an invitation",
};

/** What was done, to whom. An action that this page does not know keeps its name. */
export function sentence({ action, user }: AuditEntry): string {
  if (user) return `${OF_USER[action] ?? `${action.replaceAll("_", " ")}:`} ${user}`;
  return OF_NOBODY[action] ?? action.replaceAll("_", " ");
}

/** The details that say something, each as text. */
export function details({ details: all }: AuditEntry): { name: string; value: string }[] {
  return Object.entries(all)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => ({ name: name.replaceAll("_", " "), value: typeof value === "string" ? value : JSON.stringify(value) }));
}
