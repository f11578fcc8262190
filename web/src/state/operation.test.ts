import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import type { Operation } from "../api/model";

const api = vi.hoisted(() => ({ startOperation: vi.fn(), operation: vi.fn(), operations: vi.fn(), cancelOperation: vi.fn() }));
vi.mock("../api/api", () => ({ api }));
const { Followed } = await import("./operation.svelte");

const operation = (state: string, done = 0, action = "retry"): Operation => ({ operation_id: "1", action, state, done }) as Operation;

beforeEach(() => {
  vi.resetAllMocks();
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("follows an operation to its end", async () => {
  api.startOperation.mockResolvedValueOnce(operation("running"));
  api.operation.mockResolvedValueOnce(operation("running", 5)).mockResolvedValueOnce(operation("finished", 9));
  const followed = new Followed();
  const end = followed.run({ action: "retry" }, "now");
  await vi.advanceTimersByTimeAsync(300);
  expect(followed.running).toMatchObject({ done: 5 });
  await vi.advanceTimersByTimeAsync(300);
  expect(await end).toMatchObject({ state: "finished", done: 9 });
  expect(followed.running).toBe(null);
  expect(api.startOperation).toHaveBeenCalledWith({ action: "retry" }, "now");
});

it("goes on with one that runs already, of the actions of the page", async () => {
  api.operations.mockResolvedValue([operation("finished"), operation("running", 0, "cancel")]);
  const followed = new Followed();
  expect(await followed.resume(["retry", "drop"])).toBe(null);
  api.operation.mockResolvedValueOnce(operation("cancelled"));
  const end = followed.resume(["cancel"]);
  await vi.advanceTimersByTimeAsync(300);
  expect(await end).toMatchObject({ state: "cancelled" });
});

it("asks no more once the page is left", async () => {
  api.startOperation.mockResolvedValueOnce(operation("running"));
  const followed = new Followed();
  const end = followed.run({ action: "drop" }, "now");
  await vi.advanceTimersByTimeAsync(1);
  followed.leave();
  await vi.advanceTimersByTimeAsync(300);
  expect(await end).toBe(null);
  expect(api.operation).not.toHaveBeenCalled();
});

it("takes it as stopped when it has ended meanwhile", async () => {
  const followed = new Followed();
  followed.running = operation("running");
  api.cancelOperation.mockRejectedValueOnce(new Problem(409, "ended"));
  await followed.stop();
  api.cancelOperation.mockRejectedValueOnce(new Problem(503, "away"));
  await expect(followed.stop()).rejects.toThrow("away");
});

it("goes on after an outage, also where the operation could not be found at first", async () => {
  const away = new Problem(0, "away");
  api.operations.mockRejectedValueOnce(away).mockResolvedValue([operation("running")]);
  api.operation.mockRejectedValueOnce(away).mockResolvedValueOnce(operation("finished", 9));
  const followed = new Followed();
  const end = followed.resume(["retry"]);
  await vi.advanceTimersByTimeAsync(3100);
  expect(followed.running).not.toBe(null);
  await vi.advanceTimersByTimeAsync(3500);
  expect(await end).toMatchObject({ state: "finished", done: 9 });
});

it("asks no more during an outage once the page is left", async () => {
  api.operations.mockRejectedValue(new Problem(503, "away"));
  const followed = new Followed();
  const end = followed.resume(["retry"]);
  await vi.advanceTimersByTimeAsync(100);
  followed.leave();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await end).toBe(null);
  expect(api.operations).toHaveBeenCalledTimes(1);
});
