import { expect, it, vi } from "vitest";

import type { Job, JobState } from "../api/model";

vi.mock("../api/api", () => ({ api: {} }));
const { apply, places } = await import("./lane.svelte");

const job = (job_id: string, state: JobState, finished_at: string | null = null): Job =>
  ({ job_id, state, finished_at, enqueued_at: "2026-01-01T00:00:00Z", attempts: 0, progress: null, note: null }) as Job;

it("puts each job where it stands: slots and waiting jobs by acceptance, ended ones newest first", () => {
  const jobs = [
    job("5", "queued"), job("3", "retrying"), job("4", "queued"), job("2", "running"),
    job("1", "succeeded", "2026-01-01T00:00:05Z"), job("0", "failed", "2026-01-01T00:00:09Z"), job("6", "cancelled", "2026-01-01T00:00:07Z"),
  ];
  const ids = (list: Job[]): string => list.map((one) => one.job_id).join("");
  const { inSlots, waiting, ended } = places(jobs);
  expect([ids(inSlots), ids(waiting), ids(ended)]).toEqual(["23", "45", "061"]);
});

it("puts a delayed job apart until it is due, and then behind those that entered the lane before it", () => {
  const entered = (id: string, second: number): Job => ({ ...job(id, "queued"), enqueued_at: `2026-01-01T00:00:0${second}Z` });
  const due = (id: string, second: number): Job => ({ ...entered(id, second), not_before: `2026-01-01T00:00:0${second}Z` });
  const { waiting, delayed } = places([due("1", 9), entered("2", 5), entered("3", 1), due("4", 7)]);
  expect([waiting, delayed].map((list) => list.map((one) => one.job_id).join(""))).toEqual(["32", "41"]);
});

it("applies events in order, and leaves other jobs the same objects", () => {
  const jobs = [job("1", "queued"), job("2", "queued")];
  const after = apply(jobs, [
    { event: "state", job_id: "1", state: "running", attempts: 1 },
    { event: "progress", job_id: "1", percent: 40, note: "half" },
    { event: "state", job_id: "9", state: "running", attempts: 1 },
    { event: "progress", job_id: "1", percent: 60, note: null },
    { event: "log", job_id: "1", attempt: 1, lines: [] },
  ]);
  expect(after[0]).toMatchObject({ state: "running", attempts: 1, progress: 60, note: null });
  expect(after[1]).toBe(jobs[1]);
});
