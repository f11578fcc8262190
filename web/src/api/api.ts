/** The API's operations, as the user who is logged in. A refused token ends the session. */
import type { Search } from "../search";
import { session } from "../state/session.svelte";
import type { Timing } from "../timing";
import { type Call, Problem, send } from "./http";
import {
  type Account, type AuditEntry, type Enqueued, type Failures, type Job, type JobLog, type JobState, type Key, type Lane, type LaneOrder, type NewKey, type NewSchedule,
  type Operation, type Overview, type Page, type Pools, type Queue, readJob, readJobs, readSchedules, type Ring, type Schedule, type Scope,
  type StartedOperation, type Type, type User, type Why, type Workers,
} from "./model";

export async function call(path: string, options: Call = {}): Promise<Response> {
  const token = session.token;
  try {
    return await send(path, { ...options, token });
  } catch (error) {
    if (error instanceof Problem && error.status === 401 && token === session.token) session.expire();
    throw error;
  }
}

const text = async (path: string, options: Call = {}): Promise<string> => (await call(path, options)).text();
const json = async <T>(path: string, options: Call = {}): Promise<T> => (await call(path, options)).json() as Promise<T>;

function query(values: Record<string, string | number | null | undefined | readonly string[]>): string {
  const given = Object.entries(values).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const));
  const texts = given.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [name, String(value)]);
  return texts.length ? "?" + new URLSearchParams(texts).toString() : "";
}

const schedule = (name: string): string => `api/schedules/${encodeURIComponent(name)}`;
const lane = (user: string): string => `api/admin/lanes/${encodeURIComponent(user)}`;
const dead = (job: Job): string => `api/admin/dead-letters/${encodeURIComponent(job.user)}/${job.job_id}`;
/** A job of the caller, or with `user` of that user, which administrators may read. */
const jobPath = (id: string, user: string): string =>
  user ? `api/admin/jobs/${encodeURIComponent(user)}/${encodeURIComponent(id)}` : `api/jobs/${encodeURIComponent(id)}`;

export interface DeadLetterFilter {
  user?: string;
  type?: string;
  failure?: string;
}

/** What an operation does, and to which jobs: the caller's own, or for administrators those of `user`, or of all users with `null`. */
export interface Work {
  action: "cancel" | "retry" | "drop";
  state?: JobState[];
  type?: string;
  failure?: string;
  user?: string | null;
}

function operate(work: Work, more: { as_of?: string; dry_run?: boolean }): Promise<StartedOperation> {
  const path = work.user === undefined ? "api/operations" : "api/admin/operations";
  return json(path, { method: "POST", body: JSON.stringify({ ...work, ...more }) });
}

export const api = {
  queue: (): Promise<Queue> => json("api/queue"),
  job: async (id: string, user = ""): Promise<Job> => readJob(await text(jobPath(id, user))),
  log: (id: string, user = ""): Promise<JobLog> => json(`${jobPath(id, user)}/logs`),
  why: (id: string, user = ""): Promise<Why> => json(`${jobPath(id, user)}/why`),
  types: async (): Promise<Type[]> => (await json<{ types: Type[] }>("api/types")).types,
  jobs: async (filter: Partial<Search> & { job_id?: readonly string[]; limit?: number; before?: string | null; order?: "oldest"; after?: string | null }): Promise<Page<Job>> =>
    readJobs(await text("api/jobs" + query(filter))),
  cancel: (id: string): Promise<{ state: JobState }> => json(`api/jobs/${encodeURIComponent(id)}`, { method: "DELETE" }),

  /** `request` is JSON text and goes out unchanged. The same `key` again enqueues nothing twice. */
  enqueue: (type: string, request: string, key: string, uniqueKey: string | null, timing: Timing): Promise<Enqueued> =>
    json("api/enqueue", {
      method: "POST",
      body: `${JSON.stringify({ type, ...timing, ...(uniqueKey === null ? {} : { unique_key: uniqueKey }) }).slice(0, -1)},"request":${request}}`,
      headers: { "idempotency-key": key },
    }),
  again: (id: string, key: string): Promise<Enqueued> =>
    json(`api/jobs/${encodeURIComponent(id)}/again`, { method: "POST", headers: { "idempotency-key": key } }),

  account: (): Promise<Account> => json("api/account"),
  changePassword: async (password: string, next: string): Promise<string> => {
    const body = JSON.stringify({ password, new_password: next });
    return (await json<{ token: string }>("api/account/password", { method: "PUT", body })).token;
  },
  deleteAccount: (password: string): Promise<Response> =>
    call("api/account/delete", { method: "POST", body: JSON.stringify({ password }) }),

  keys: async (): Promise<Key[]> => (await json<{ keys: Key[] }>("api/keys")).keys,
  createKey: (name: string, scopes: Scope[], expires_in: number | null): Promise<NewKey> =>
    json("api/keys", { method: "POST", body: JSON.stringify({ name, scopes, expires_in }) }),
  revokeKey: (id: string): Promise<Response> => call(`api/keys/${encodeURIComponent(id)}`, { method: "DELETE" }),

  schedules: async (): Promise<Schedule[]> => readSchedules(await text("api/schedules")),
  /** `request` is JSON text and goes out unchanged. */
  putSchedule: (name: string, { type, ...timing }: NewSchedule, request: string): Promise<Response> =>
    call(schedule(name), { method: "PUT", body: `${JSON.stringify({ type, ...timing }).slice(0, -1)},"request":${request}}` }),
  fireTimes: async (name: string): Promise<string[]> => (await json<{ times: string[] }>(`${schedule(name)}/next`)).times,
  pauseSchedule: (name: string): Promise<Response> => call(`${schedule(name)}/pause`, { method: "POST" }),
  resumeSchedule: (name: string): Promise<Response> => call(`${schedule(name)}/resume`, { method: "POST" }),
  runSchedule: (name: string, key: string): Promise<Enqueued> =>
    json(`${schedule(name)}/run`, { method: "POST", headers: { "idempotency-key": key } }),
  deleteSchedule: (name: string): Promise<Response> => call(schedule(name), { method: "DELETE" }),

  countMatching: (work: Work): Promise<StartedOperation> => operate(work, { dry_run: true }),
  /** `as_of`: that of the count, so that nothing is done to jobs that came later. */
  startOperation: async (work: Work, as_of: string): Promise<Operation | null> => (await operate(work, { as_of })).operation,
  operation: (id: string): Promise<Operation> => json(`api/operations/${encodeURIComponent(id)}`),
  operations: async (limit: number): Promise<Operation[]> => (await json<{ operations: Operation[] }>("api/operations" + query({ limit }))).operations,
  cancelOperation: (id: string): Promise<Operation> => json(`api/operations/${encodeURIComponent(id)}/cancel`, { method: "POST" }),

  overview: (from: Date, step: number): Promise<Overview> => json("api/admin/overview" + query({ from: from.toISOString(), step })),
  ring: (limit: number): Promise<Ring> => json("api/admin/ring" + query({ limit })),
  workers: (): Promise<Workers> => json("api/admin/workers"),
  pools: (): Promise<Pools> => json("api/admin/pools"),

  lanes: async (name: string, sort: LaneOrder, after: string | null): Promise<Page<Lane>> => {
    const page = await json<{ lanes: Lane[]; next: string | null }>("api/admin/lanes" + query({ name, sort, after, limit: 500 }));
    return { items: page.lanes, next: page.next };
  },
  pause: (user: string) => json(`${lane(user)}/pause`, { method: "POST" }),
  resume: (user: string) => json(`${lane(user)}/resume`, { method: "POST" }),
  purge: (user: string): Promise<{ cancelled: number }> => json(`${lane(user)}/purge`, { method: "POST" }),
  limit: (user: string, slots: number | null) => json(`${lane(user)}/limit`, { method: "PUT", body: JSON.stringify({ slots }) }),

  deadLetters: async (filter: DeadLetterFilter, after: string | null): Promise<Page<Job>> =>
    readJobs(await text("api/admin/dead-letters" + query({ ...filter, after, limit: 100 }))),
  failures: (filter: DeadLetterFilter, limit: number): Promise<Failures> => json("api/admin/failures" + query({ ...filter, limit })),
  retry: (job: Job): Promise<Enqueued> => json(`${dead(job)}/retry`, { method: "POST" }),
  drop: (job: Job): Promise<Response> => call(dead(job), { method: "DELETE" }),

  users: async (filter: { name?: string; role?: User["role"] | null }, after: string | null): Promise<Page<User>> => {
    const page = await json<{ users: User[]; next: string | null }>("api/admin/users" + query({ ...filter, after, limit: 100 }));
    return { items: page.users, next: page.next };
  },
  audit: async (before: string | null): Promise<Page<AuditEntry>> => {
    const page = await json<{ entries: AuditEntry[]; next: string | null }>("api/admin/audit" + query({ before, limit: 100 }));
    return { items: page.entries, next: page.next };
  },
  setRole: (user: string, role: "user" | "admin") =>
    json(`api/admin/users/${encodeURIComponent(user)}/role`, { method: "PUT", body: JSON.stringify({ role }) }),
};

/** A key for `enqueue`: one for each time that a person means it. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
