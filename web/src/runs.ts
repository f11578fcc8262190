/** The runs of a job: those after which it went on stand in its log, the last one in the job itself. */
import { hasEnded, type Job, type JobLog } from "./api/model";

export interface Run {
  attempt: number;
  started_at: string | null;
  worker: string | null;
  ended_at: string | null;
  /** How it ended; null while it runs. */
  end: "failed" | "interrupted" | "lost" | "succeeded" | "cancelled" | null;
  error: { type: string; message: string } | null;
}

/** All runs that are kept, oldest first. */
export function runsOf(job: Job, log: JobLog | null): Run[] {
  const isLast = (started_at: string | null): boolean => started_at !== null && started_at === job.started_at;
  const runs: Run[] = (log?.runs ?? [])
    .filter((run) => run.outcome !== null || (run.state === "lost" && !(isLast(run.started_at) && job.state === "failed")))
    .map((run) => ({ ...run, end: run.outcome ?? "lost" }));
  if (job.started_at === null || runs.some((run) => isLast(run.started_at))) return runs;
  const { started_at, worker } = job;
  if (job.state === "queued") return runs; // it was cut short, and the log that says so has not come yet
  const failed = job.state === "failed" || job.state === "retrying";
  const end = job.state === "running" ? null : job.state === "retrying" ? "failed" : job.state;
  return [...runs, { attempt: job.attempts, started_at, worker, ended_at: hasEnded(job.state) ? job.finished_at : null, end, error: failed ? job.error : null }];
}
