/** Dead letters by what went wrong. */
import type { Job } from "./api/model";

export interface Group {
  type: string;
  error: string;
  /** The start of the message of the newest. */
  message: string;
  jobs: Job[];
  users: number;
}

const VARIES = /0x[0-9a-f]+|[0-9a-f]{16,}|\d+/gi;

/** What the messages of one cause have in common: numbers and ids differ from job to job. */
export const cause = (message: string): string => (message.split("\n", 1)[0] ?? "").slice(0, 200).replace(VARIES, "#");

/** Groups of one type, one error and one cause; the largest first. */
export function groups(jobs: readonly Job[]): Group[] {
  const found = new Map<string, Job[]>();
  for (const job of jobs) {
    const key = JSON.stringify([job.type, job.error?.type, cause(job.error?.message ?? "")]);
    found.set(key, [...(found.get(key) ?? []), job]);
  }
  return [...found.values()].map(groupOf).sort((a, b) => b.jobs.length - a.jobs.length);
}

function groupOf(jobs: Job[]): Group {
  const newest = jobs.reduce((a, b) => ((a.finished_at ?? "") < (b.finished_at ?? "") ? b : a));
  return {
    type: newest.type,
    error: newest.error?.type ?? "",
    message: newest.error?.message.split("\n", 1)[0] ?? "",
    jobs,
    users: new Set(jobs.map((job) => job.user)).size,
  };
}
