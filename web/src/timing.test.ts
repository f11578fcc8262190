import { expect, test } from "vitest";

import { timingOf } from "./timing";

test("a request joins its lane at once, after a while, or at a time", () => {
  expect(timingOf("now", 5, "2026-11-28T18:00")).toEqual({});
  expect(timingOf("delay", 90, "")).toEqual({ delay: 90 });
  expect(timingOf("time", null, "2026-11-28T18:00")).toEqual({ not_before: new Date(2026, 10, 28, 18, 0).toISOString() });
});

test("what has not been given cannot be sent", () => {
  expect(timingOf("delay", null, "")).toBeNull();
  expect(timingOf("delay", -1, "")).toBeNull();
  expect(timingOf("time", 5, "")).toBeNull();
});
