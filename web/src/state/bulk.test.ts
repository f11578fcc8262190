import { beforeEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import type { Job } from "../api/model";

const api = vi.hoisted(() => ({ retryMany: vi.fn(), deadLetters: vi.fn(), drop: vi.fn(), retry: vi.fn() }));
vi.mock("../api/api", () => ({ api }));
const { Bulk } = await import("./bulk.svelte");

const job = (job_id: string): Job => ({ job_id, user: "ann" }) as Job;

beforeEach(() => {
  vi.resetAllMocks();
});

it("retries page after page, and not what has failed again meanwhile", async () => {
  const refused = [{ user: "ann", job_id: "2", detail: "no handler" }];
  api.retryMany.mockResolvedValueOnce({ count: 100, refused, next: "x" }).mockResolvedValueOnce({ count: 5, refused: [], next: "y" });
  expect(await new Bulk().retry({ user: "ann" }, 106)).toEqual({ done: 105, refused, error: null });
  expect(api.retryMany.mock.calls).toEqual([[{ user: "ann" }, "", 100], [{ user: "ann" }, "x", 5]]);
});

it("drops all pages; one that somebody else has dropped is no failure", async () => {
  api.deadLetters.mockResolvedValueOnce({ items: [job("1"), job("2")], next: "x" }).mockResolvedValueOnce({ items: [job("3")], next: null });
  api.drop.mockRejectedValueOnce(new Problem(404, "gone"));
  expect(await new Bulk().dropAll({}, 3)).toEqual({ done: 3, refused: [], error: null });
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
  expect(await new Bulk().drop([job("1"), job("2"), job("3")])).toEqual({ done: 1, refused: [], error: full });
});
