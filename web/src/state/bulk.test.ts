import { beforeEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import type { Job } from "../api/model";

const api = vi.hoisted(() => ({ drop: vi.fn(), retry: vi.fn() }));
vi.mock("../api/api", () => ({ api }));
const { Bulk } = await import("./bulk.svelte");

const job = (job_id: string): Job => ({ job_id, user: "ann" }) as Job;

beforeEach(() => {
  vi.resetAllMocks();
});

it("stops between two jobs when it is told to", async () => {
  const bulk = new Bulk();
  api.retry.mockImplementationOnce(() => {
    bulk.stop();
    return Promise.resolve();
  });
  expect(await bulk.retryThese([job("1"), job("2")])).toMatchObject({ done: 1, error: null });
  expect(bulk.done).toBe(null);
});

it("says how far it came when a call fails", async () => {
  const full = new Problem(429, "The lane is full.");
  api.drop.mockResolvedValueOnce(null).mockRejectedValueOnce(full);
  expect(await new Bulk().drop([job("1"), job("2"), job("3")])).toEqual({ done: 1, error: full });
});
