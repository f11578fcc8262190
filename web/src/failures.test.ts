import { expect, it } from "vitest";

import type { Job } from "./api/model";
import { cause, groups } from "./failures";

const job = (user: string, type: string, message: string, finished_at = "1"): Job =>
  ({ user, type, finished_at, error: { type: "ValueError", message } }) as Job;

it("takes messages that differ in numbers and ids as one cause", () => {
  expect(cause("order 17 of 0c65524d0a2c6d4ec9cd is gone\nTraceback…")).toBe("order # of # is gone");
});

it("groups by type and cause, the largest group first, with the newest message", () => {
  const found = groups([
    job("ann", "pay", "no route to 10.0.0.1"),
    job("ann", "mail", "order 1 is gone", "3"),
    job("bob", "mail", "order 2 is gone", "4"),
    job("bob", "mail", "order 3 is gone", "2"),
  ]);
  expect(found.map(({ type, message, jobs, users }) => [type, message, jobs.length, users])).toEqual([
    ["mail", "order 2 is gone", 3, 2],
    ["pay", "no route to 10.0.0.1", 1, 1],
  ]);
});
