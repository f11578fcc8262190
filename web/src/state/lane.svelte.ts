/** The user's lane as it is now: what runs, what waits in which order, what ended last. Loaded, then kept up to date by events. */
import { api } from "../api/api";
import { hasEnded, type Job, type JobState, type Queue } from "../api/model";
import type { JobEvent } from "./live.svelte";

const PAGES = 3;
const PAGE = 100;

export interface Lane {
  queue: Queue;
  jobs: Job[];
  /** Whether `jobs` has all that have not ended. Otherwise those that wait are the next to start. */
  isWhole: boolean;
}

export async function loadLane(): Promise<Lane> {
  const [queue, newest] = await Promise.all([api.queue(), api.jobs({ limit: PAGE })]);
  const wanted = queue.queued + queue.running + queue.delayed;
  const isWhole = (jobs: Job[]): boolean => jobs.filter((job) => !hasEnded(job.state)).length >= wanted;
  if (!newest.next || isWhole(newest.items)) return { queue, jobs: newest.items, isWhole: isWhole(newest.items) };
  const older = await Promise.all([firstPages("running"), firstPages("retrying"), firstPages("queued")]);
  const others = newest.items.filter((job) => job.state !== "queued" || job.not_before);
  const jobs = [...new Map([...others, ...older.flat()].map((job) => [job.job_id, job])).values()];
  return { queue, jobs, isWhole: isWhole(jobs) };
}

/** The oldest jobs in this state. */
async function firstPages(state: JobState): Promise<Job[]> {
  const found: Job[] = [];
  let after: string | null = null;
  for (let i = 0; i < PAGES; i++) {
    const page: { items: Job[]; next: string | null } = await api.jobs({ state, order: "oldest", limit: PAGE, after });
    found.push(...page.items);
    after = page.next;
    if (!after) break;
  }
  return found;
}

/** The jobs after these events. */
export function apply(jobs: readonly Job[], events: readonly JobEvent[]): Job[] {
  const changed = new Map<string, Partial<Job>>();
  for (const event of events) {
    if (event.event === "log") continue;
    const change: Partial<Job> =
      event.event === "state" ? { state: event.state, attempts: event.attempts } : { progress: event.percent, note: event.note };
    changed.set(event.job_id, { ...changed.get(event.job_id), ...change });
  }
  return jobs.map((job) => (changed.has(job.job_id) ? { ...job, ...changed.get(job.job_id) } : job));
}

const byId = (a: Job, b: Job): number => (a.job_id < b.job_id ? -1 : 1);
/** A lane is first in, first out by the moment at which a job enters it: a delayed one enters when it is due. */
const byEntry = (a: Job, b: Job): number => a.enqueued_at.localeCompare(b.enqueued_at) || byId(a, b);
const byDue = (a: Job, b: Job): number => (a.not_before ?? "").localeCompare(b.not_before ?? "") || byId(a, b);
const newestEnd = (a: Job, b: Job): number => (b.finished_at ?? b.enqueued_at).localeCompare(a.finished_at ?? a.enqueued_at);

/** What stands where: jobs keep their slot from their first start to their end, waiting for a retry included. */
export function places(jobs: readonly Job[]): { inSlots: Job[]; waiting: Job[]; delayed: Job[]; ended: Job[] } {
  return {
    inSlots: jobs.filter((job) => job.state === "running" || job.state === "retrying").sort(byId),
    waiting: jobs.filter((job) => job.state === "queued" && !job.not_before).sort(byEntry),
    delayed: jobs.filter((job) => job.state === "queued" && job.not_before).sort(byDue),
    ended: jobs.filter((job) => hasEnded(job.state)).sort(newestEnd),
  };
}
