import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import type { Job, JobState } from "../api/model";
import { searchOf } from "../search";
import type { JobEvent } from "./live.svelte";

interface Asked { state?: JobState | null; job_id?: string[]; limit: number; before?: string | null }
const server = vi.hoisted(() => ({ jobs: [] as unknown[], asked: [] as string[], isUp: true, room: 100, answered: null as (() => void) | null }));
vi.mock("../api/api", () => ({
  api: {
    /** As the API does: newest first, from before the cursor on. */
    jobs: async ({ state, job_id, limit, before }: Asked) => {
      server.asked.push(job_id ? `${String(job_id.length)} jobs` : `before ${before ?? "-"}`);
      if (!server.isUp) throw new Problem(0, "away");
      const fits = (job: Job): boolean => (!state || job.state === state) && (!before || job.job_id < before) && (job_id?.includes(job.job_id) ?? true);
      const all = (server.jobs as Job[]).filter(fits);
      const items = all.slice(0, job_id ? server.room : limit);
      await server.answered?.();
      return { items, next: items.length < all.length ? (items.at(-1)?.job_id ?? null) : null };
    },
  },
}));
const { JobList } = await import("./job_list.svelte");

const idOf = (n: number): string => n.toString(16).padStart(24, "0");
const job = (n: number, state: JobState): Job => ({ job_id: idOf(n), state, finished_at: state === "succeeded" ? "2026-01-01T00:00:00Z" : null }) as Job;
/** Jobs 1 to this number, the newest first, in this state. */
const upTo = (last: number, state: JobState): Job[] => Array.from({ length: last }, (_, i) => job(last - i, state));
const change = (n: number, state: JobState): void => {
  server.jobs = (server.jobs as Job[]).map((one) => (one.job_id === idOf(n) ? job(n, state) : one));
};
const event = (n: number, state: JobState): JobEvent => ({ event: "state", job_id: idOf(n), state, attempts: 1 });

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(server, { jobs: [], asked: [], isUp: true, room: 100, answered: null });
});
afterEach(() => {
  vi.useRealTimers();
});

async function listed(query = ""): Promise<InstanceType<typeof JobList>> {
  const search = searchOf(new URLSearchParams(query));
  const list = new JobList(() => search, () => true);
  await list.show();
  server.asked = [];
  return list;
}
async function missed(list: InstanceType<typeof JobList>): Promise<void> {
  list.take([], "missed", true);
  await vi.advanceTimersByTimeAsync(1000);
}
const states = (list: InstanceType<typeof JobList>): [number, JobState][] => list.pages.items.map((one) => [parseInt(one.job_id, 16), one.state]);

it("shows what has changed in its rows while events were missed, and offers what is newer", async () => {
  server.jobs = upTo(3, "queued");
  const list = await listed();
  change(2, "succeeded");
  change(1, "failed");
  server.jobs = [job(5, "queued"), job(4, "queued"), ...server.jobs];
  await missed(list);
  expect(states(list)).toEqual([[3, "queued"], [2, "succeeded"], [1, "failed"]]);
  expect([...list.newer].sort()).toEqual([idOf(4), idOf(5)]);
});

it("keeps a job that no longer fits the search in its place, in its new state", async () => {
  server.jobs = upTo(3, "running");
  const list = await listed("state=running");
  change(2, "succeeded");
  server.jobs = (server.jobs as Job[]).slice(0, 2); // and the first is kept no more
  await missed(list);
  expect(states(list)).toEqual([[3, "running"], [2, "succeeded"], [1, "running"]]);
});

it("loads the list again when most of its jobs no longer fit the search", async () => {
  server.jobs = upTo(120, "running");
  const list = await listed("state=running");
  for (const shown of [100, 120]) {
    list.pages.more();
    await vi.advanceTimersByTimeAsync(0);
    expect(states(list).length).toBe(shown);
  }
  server.jobs = [job(130, "running"), ...upTo(120, "succeeded")];
  await missed(list);
  expect(states(list)).toEqual([[130, "running"]]);
  expect(server.asked.filter((one) => one.endsWith("jobs"))).toEqual([]);
});

it("asks only for what can have changed", async () => {
  server.jobs = [...upTo(50, "succeeded")];
  change(20, "queued");
  change(10, "queued");
  const list = await listed();
  server.jobs = [...Array.from({ length: 500 }, (_, i) => job(600 - i, "queued")), ...server.jobs];
  await missed(list);
  expect(server.asked).toEqual(["before -", `before ${idOf(21)}`]);
  expect(list.newer.size).toBe(50);
});

it("believes an event that came after the question more than the answer", async () => {
  server.jobs = upTo(2, "running");
  const list = await listed();
  server.answered = () => {
    list.take([event(1, "succeeded")], "none", true);
  };
  await missed(list);
  expect(states(list)).toEqual([[2, "running"], [1, "succeeded"]]);
});

it("offers what came during an outage also where the list was empty", async () => {
  const list = await listed();
  server.jobs = [job(1, "queued")];
  await missed(list);
  expect([...list.newer]).toEqual([idOf(1)]);
});

it("offers nothing before the first page has come", async () => {
  const search = searchOf(new URLSearchParams());
  const list = new JobList(() => search, () => true);
  server.jobs = upTo(1, "queued");
  await missed(list);
  expect([server.asked, list.newer.size]).toEqual([[], 0]);
});

it("asks once a second for all that have ended, since an event does not say when", async () => {
  server.jobs = upTo(50, "running");
  const list = await listed();
  server.jobs = upTo(50, "succeeded").slice(0, 49); // and the first is kept no more
  for (let n = 1; n <= 40; n++) {
    list.take([event(n, "succeeded"), event(60, "succeeded"), event(50, "retrying")], "none", true);
    await vi.advanceTimersByTimeAsync(100);
  }
  await vi.advanceTimersByTimeAsync(10_000);
  expect(server.asked).toEqual(["10 jobs", "10 jobs", "10 jobs", "10 jobs"]);
  expect(list.pages.items.filter((one) => one.finished_at).map((one) => one.job_id)).toEqual(upTo(40, "succeeded").slice(0, 39).map((one) => one.job_id));
  expect(states(list).filter(([, state]) => state === "succeeded").length).toBe(40);
});

it("asks again for those that one answer had no room for", async () => {
  server.jobs = upTo(30, "running");
  const list = await listed();
  server.jobs = upTo(30, "succeeded");
  server.room = 20;
  list.take(upTo(30, "succeeded").map((one, i) => event(30 - i, one.state)), "none", true);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(server.asked).toEqual(["30 jobs", "10 jobs"]);
  expect(list.pages.items.every((one) => one.finished_at)).toBe(true);
});

it("asks again after missed events, too, for those that one answer had no room for", async () => {
  server.jobs = upTo(20, "running");
  const list = await listed("state=running");
  server.jobs = upTo(20, "succeeded");
  server.room = 7;
  await missed(list);
  expect(states(list).every(([, state]) => state === "succeeded")).toBe(true);
  expect(server.asked.slice(-3)).toEqual(["20 jobs", "13 jobs", "6 jobs"]);
});

it("asks for no job when the list was loaded again meanwhile", async () => {
  server.jobs = upTo(2, "running");
  const list = await listed();
  list.take([event(1, "succeeded")], "none", true);
  await list.show();
  server.asked = [];
  await vi.advanceTimersByTimeAsync(5000);
  expect(server.asked).toEqual([]);
});

it("asks again until it has an answer", async () => {
  server.jobs = upTo(1, "running");
  const list = await listed();
  server.isUp = false;
  change(1, "succeeded");
  await missed(list);
  server.isUp = true;
  await vi.advanceTimersByTimeAsync(5000);
  expect(states(list)).toEqual([[1, "succeeded"]]);
});

it("shows only newer jobs that fit the search", async () => {
  server.jobs = upTo(1, "running");
  const list = await listed();
  list.take([event(2, "queued")], "none", false);
  expect(list.newer.size).toBe(0);
  list.take([event(2, "queued"), event(1, "succeeded")], "none", true);
  expect([...list.newer]).toEqual([idOf(2)]);
});
