import { expect, it } from "vitest";

import type { Job, JobLog } from "./api/model";
import { runsOf } from "./runs";

type Logged = JobLog["runs"][number];
const error = { type: "Boom", message: "no" };
const logged = (attempt: number, started_at: string, more: Partial<Logged>): Logged => ({
  attempt, state: "ended", started_at, worker: "w1", ended_at: started_at + "+", outcome: null, error: null, lines: [], ...more,
});
const failed = (attempt: number, at: string): Logged => logged(attempt, at, { outcome: "failed", error });
const log = (...runs: Logged[]): JobLog => ({ job_id: "1", dropped_runs: 0, runs });
const job = (state: Job["state"], more: Partial<Job>): Job =>
  ({ state, attempts: 3, started_at: "3", finished_at: null, worker: "w3", error: null, ...more }) as Job;
const shown = (...of: Parameters<typeof runsOf>): unknown[] => runsOf(...of).map((run) => [run.attempt, run.started_at, run.ended_at, run.end, run.worker]);

it("has the earlier runs from the log and the last from the job, whether or not that has logged", () => {
  const earlier = [[1, "1", "1+", "failed", "w1"], [2, "2", "2+", "lost", "w1"]];
  const runs = [failed(1, "1"), logged(2, "2", { state: "lost" })];
  const done = job("succeeded", { finished_at: "4" });
  expect(shown(done, log(...runs))).toEqual([...earlier, [3, "3", "4", "succeeded", "w3"]]);
  expect(shown(done, log(...runs, logged(3, "3", { ended_at: null })))).toEqual([...earlier, [3, "3", "4", "succeeded", "w3"]]);
  const running = logged(3, "3", { state: "running", ended_at: null });
  expect(shown(job("running", {}), log(...runs, running))).toEqual([...earlier, [3, "3", null, null, "w3"]]);
});

it("shows the last run once where the job waits for the next, or was cancelled then", () => {
  const runs = log(failed(1, "1"), failed(2, "2"), failed(3, "3"));
  expect(shown(job("retrying", { error }), runs).length).toBe(3);
  expect(shown(job("cancelled", { finished_at: "9" }), runs).at(-1)).toEqual([3, "3", "3+", "failed", "w1"]);
  expect(shown(job("retrying", { error }), null)).toEqual([[3, "3", null, "failed", "w3"]]);
});

it("shows a run that was killed at the last attempt as what made the job fail", () => {
  const killed = logged(3, "3", { state: "lost", ended_at: "4" });
  expect(runsOf(job("failed", { finished_at: "4", error }), log(killed))).toEqual([
    { attempt: 3, started_at: "3", worker: "w3", ended_at: "4", end: "failed", error },
  ]);
});

it("has no run of a job that has not started, or has come back without a charge", () => {
  expect(runsOf(job("queued", { started_at: null, attempts: 0 }), log())).toEqual([]);
  expect(shown(job("queued", { attempts: 0 }), log(logged(1, "3", { outcome: "interrupted" })))).toEqual([[1, "3", "3+", "interrupted", "w1"]]);
});
