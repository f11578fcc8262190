/** The API's operations, as the user who is logged in. A refused token ends the session. */
import { session } from "../state/session.svelte";
import { type Call, Problem, send } from "./http";
import { type Enqueued, type Job, type JobState, type Lane, type Page, type Queue, readJob, readJobs, type User } from "./model";

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

function query(values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? "?" + new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString() : "";
}

const lane = (user: string): string => `api/admin/lanes/${encodeURIComponent(user)}`;
const dead = (job: Job): string => `api/admin/dead-letters/${encodeURIComponent(job.user)}/${job.job_id}`;

export const api = {
  queue: (): Promise<Queue> => json("api/queue"),
  job: async (id: string): Promise<Job> => readJob(await text(`api/jobs/${encodeURIComponent(id)}`)),
  jobs: async (filter: { state?: JobState | null; limit?: number; before?: string | null }): Promise<Page<Job>> =>
    readJobs(await text("api/jobs" + query(filter))),
  cancel: (id: string): Promise<{ state: JobState }> => json(`api/jobs/${encodeURIComponent(id)}`, { method: "DELETE" }),

  /** `request` is JSON text and goes out unchanged. The same `key` again enqueues nothing twice. */
  enqueue: (type: string, request: string, key: string): Promise<Enqueued> =>
    json("api/enqueue", {
      method: "POST",
      body: `{"type":${JSON.stringify(type)},"request":${request}}`,
      headers: { "idempotency-key": key },
    }),

  lanes: async (after: string | null): Promise<Page<Lane>> => {
    const page = await json<{ lanes: Lane[]; next: string | null }>("api/admin/lanes" + query({ after, limit: 100 }));
    return { items: page.lanes, next: page.next };
  },
  pause: (user: string) => json(`${lane(user)}/pause`, { method: "POST" }),
  resume: (user: string) => json(`${lane(user)}/resume`, { method: "POST" }),
  purge: (user: string): Promise<{ cancelled: number }> => json(`${lane(user)}/purge`, { method: "POST" }),
  limit: (user: string, slots: number | null) => json(`${lane(user)}/limit`, { method: "PUT", body: JSON.stringify({ slots }) }),

  deadLetters: async (user: string, after: string | null): Promise<Page<Job>> =>
    readJobs(await text("api/admin/dead-letters" + query({ user, after, limit: 100 }))),
  retry: (job: Job): Promise<Enqueued> => json(`${dead(job)}/retry`, { method: "POST" }),
  drop: (job: Job): Promise<Response> => call(dead(job), { method: "DELETE" }),

  users: async (after: string | null): Promise<Page<User>> => {
    const page = await json<{ users: User[]; next: string | null }>("api/admin/users" + query({ after, limit: 100 }));
    return { items: page.users, next: page.next };
  },
  setRole: (user: string, role: "user" | "admin") =>
    json(`api/admin/users/${encodeURIComponent(user)}/role`, { method: "PUT", body: JSON.stringify({ role }) }),
};

/** A key for `enqueue`: one for each time that a person means it. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
