import { expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import type { Listener, Refresh } from "./live.svelte";

const live = vi.hoisted(() => ({ listeners: new Set<unknown>(), isFollowed: true, listen: vi.fn() }));
vi.mock("./live.svelte", () => ({ live }));
live.listen.mockImplementation((listener: Listener) => {
  live.listeners.add(listener);
  return () => live.listeners.delete(listener);
});
const { recover } = await import("./recovery");

const publish = (refresh: Refresh): void => {
  for (const listener of live.listeners) (listener as Listener)([], refresh);
};

it("tries again what failed, and catches up with the rest, when events were missed, until the page is left", () => {
  const one = { error: new Problem(0, "away") as Problem | null, retry: vi.fn(), catchUp: vi.fn(() => Promise.resolve()), close: vi.fn() };
  const calls = (): number[] => [one.retry, one.catchUp, one.close].map((call) => call.mock.calls.length);
  const end = recover(one);
  publish("none");
  expect(calls()).toEqual([0, 0, 0]);
  publish("missed");
  expect(calls()).toEqual([1, 0, 0]);
  one.error = null;
  publish("missed");
  expect(calls()).toEqual([1, 1, 0]);
  end();
  publish("missed");
  expect(calls()).toEqual([1, 1, 1]);
});
