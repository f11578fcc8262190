/** What the API answers, as the pages use it. Payloads, results and errors are JSON text: see `json/text`. */
import { items, members } from "../json/text";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type JobState = Schemas["JobReply"]["state"];
export type Queue = Schemas["QueueReply"];
export type Lane = Schemas["LaneReply"];
export const LANE_ORDERS = ["user", "backlog", "wait", "failures"] as const;
export type LaneOrder = (typeof LANE_ORDERS)[number];
export type User = Schemas["UserReply"];
export type Enqueued = Schemas["Enqueued"];
export type Why = Schemas["Why"];
export type JobLog = Schemas["JobLog"];
export type LogLine = Schemas["LogLine"];
export type Type = Schemas["TypeReply"];
export type Account = Schemas["Account"];
export type WaysToLogIn = Schemas["WaysToLogIn"];
export type Issuer = Schemas["Issuer"];
export type Key = Schemas["KeyReply"];
export type NewKey = Schemas["NewKeyReply"];
export type Scope = Key["scopes"][number];
export type AuditEntry = Schemas["AuditEntry"];
export type Operation = Schemas["OperationReply"];
export type StartedOperation = Schemas["StartedOperation"];
export type Failures = Schemas["Failures"];

export type Overview = Schemas["Overview"];
export type Ring = Schemas["Ring"];
export type Worker = Schemas["WorkerReply"];
export type Workers = Schemas["Workers"];
export type Pool = Schemas["PoolReply"];
export type Pools = Schemas["Pools"];
export type Timing = { cron: string; time_zone: string } | { every_seconds: number | null };
export type NewSchedule = Pick<Schemas["ScheduleReply"], "type" | "missed" | "unique_key"> & Timing;

export interface Schedule extends Omit<Schemas["ScheduleReply"], "request"> {
  request: string;
}

export interface Job extends Omit<Schemas["JobReply"], "request" | "result" | "error"> {
  request: string;
  result: string | null;
  error: { type: string; message: string } | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export const STATES: readonly JobState[] = ["queued", "running", "retrying", "succeeded", "failed", "cancelled"];

export const hasEnded = (state: JobState): boolean => state === "succeeded" || state === "failed" || state === "cancelled";

export function readJob(text: string): Job {
  const raw = members(text);
  const job = JSON.parse(text) as Schemas["JobReply"];
  const result = raw.get("result") ?? "null";
  return {
    ...job,
    request: raw.get("request") ?? "null",
    result: job.state === "succeeded" ? result : null,
    error: job.error as Job["error"],
  };
}

/** A page of jobs, of `GET /api/jobs` or of the dead letters. */
export function readJobs(text: string): Page<Job> {
  const raw = members(text);
  return { items: items(raw.get("jobs") ?? "[]").map(readJob), next: JSON.parse(raw.get("next") ?? "null") as string | null };
}

export const readSchedule = (text: string): Schedule => ({
  ...(JSON.parse(text) as Schemas["ScheduleReply"]),
  request: members(text).get("request") ?? "null",
});

export const readSchedules = (text: string): Schedule[] => items(members(text).get("schedules") ?? "[]").map(readSchedule);
