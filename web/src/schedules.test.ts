import { expect, it } from "vitest";

import { readSchedules } from "./api/model";
import { timing, until } from "./schedules";

it.each([
  ["0 9 * * 1-5", "Europe/Berlin", null, "0 9 * * 1-5, Europe/Berlin"],
  [null, null, 300, "every 5 minutes"],
  [null, null, 60, "every minute"],
  [null, null, 90, "every 90 seconds"],
  [null, null, 172_800, "every 2 days"],
])("%s in %s or each %s s is %s", (cron, time_zone, every_seconds, text) => {
  expect(timing({ cron, time_zone, every_seconds })).toBe(text);
});

it("counts down to a time", () => {
  const now = Date.parse("2026-11-28T12:00:00Z");
  expect(["2026-11-28T11:00:00Z", "2026-11-28T12:00:42Z", "2026-11-28T14:00:00Z"].map((at) => until(at, now))).toEqual(["due", "in 42 s", "in 2 h 00 m"]);
});

it("keeps a payload as it stands in the text", () => {
  const [read] = readSchedules('{"schedules":[{"name":"nightly","request":{"id":9007199254740993,"10":1,"9":2}}]}');
  expect([read?.name, read?.request]).toEqual(["nightly", '{"id":9007199254740993,"10":1,"9":2}']);
});
