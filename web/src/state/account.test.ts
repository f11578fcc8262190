import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Problem, type ProblemDocument } from "../api/http";

const api = vi.hoisted(() => ({ deleteAccount: vi.fn() }));
vi.mock("../api/api", () => ({ api }));
const { deleteAccount } = await import("./account");

const problem = (status: number, type: string): Problem => new Problem(status, type, { type } as ProblemDocument, 1);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  api.deleteAccount.mockReset();
});

it("repeats the call until a long history is deleted", async () => {
  const left = problem(503, "urn:laneway:problem:history-long");
  api.deleteAccount.mockRejectedValueOnce(left).mockRejectedValueOnce(left).mockResolvedValueOnce(null);
  const onPart = vi.fn();
  const done = deleteAccount("secret", onPart);
  await vi.advanceTimersByTimeAsync(2000);
  await done;
  expect([api.deleteAccount.mock.calls, onPart.mock.calls.length]).toEqual([[["secret"], ["secret"], ["secret"]], 2]);
});

it("passes on what another call would not change", async () => {
  const wrong = problem(400, "urn:laneway:problem:invalid-credentials");
  api.deleteAccount.mockRejectedValueOnce(wrong);
  await expect(deleteAccount("wrong", () => undefined)).rejects.toBe(wrong);
});
