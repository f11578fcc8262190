import { expect, it } from "vitest";

import { ago, bytes, count, duration, elapsed, exact, plural } from "./format";

it.each([
  [0, "0 ms"],
  [-5, "0 ms"],
  [999.4, "999 ms"],
  [1000, "1.0 s"],
  [59_999, "59 s"],
  [245_000, "4 m 05 s"],
  [7_800_000, "2 h 10 m"],
  [273_600_000, "3 d 4 h"],
])("a duration of %d ms is %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

it.each([
  [-3000, "now"],
  [1999, "now"],
  [12_000, "12 s ago"],
  [3_599_000, "59 m ago"],
  [86_399_000, "23 h ago"],
  [172_800_000, "2 d ago"],
])("%d ms ago is %s", (ms, text) => {
  expect(ago(ms)).toBe(text);
});

it("keeps the microseconds of a time", () => {
  expect(exact("2026-11-28T14:03:22.123456Z")).toMatch(/^2026-11-2\d \d\d:\d\d:22\.123456 \S+/);
});

it("counts whole seconds while something goes on", () => {
  expect([elapsed(-1), elapsed(4900), elapsed(59_999), elapsed(61_000)]).toEqual(["0 s", "4 s", "59 s", "1 m 01 s"]);
});

it("counts", () => {
  expect([count(100_000), plural(1, "job"), plural(1203, "job"), bytes(999), bytes(1234), bytes(56_789), bytes(1_234_567)]).toEqual([
    "100,000", "1 job", "1,203 jobs", "999 bytes", "1.2 kB", "57 kB", "1.2 MB",
  ]);
});
