import { expect, it } from "vitest";

import { type Facts, facts } from "./facts";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const PLAIN: Facts = {
  in_front: 1200, slots: 5, paused: false, taken: [], starts_after: null, ring_place: null, ring_lanes: 0,
  ring_wait_seconds: 0, in_flight: 3, type_known: true, type_limit: null, pools_at_maximum: {},
};
const named = (of: Facts): Record<string, string> => Object.fromEntries(facts(of, NOW).map(({ name, value }) => [name, value]));

it("leaves out what does not matter", () => {
  expect(named(PLAIN)).toEqual({
    "Jobs in front": "1,200", "Slots taken": "0 of 5", "Place in the ring": "not in the ring", "Jobs in flight, all lanes": "3",
  });
});

it("says what limit of its type holds the job up", () => {
  const limit = { type: "resize", running: 3, max_running: 3, max_starts: null, period_seconds: null, waiting: 12, place: 2 };
  expect(named({ ...PLAIN, type_limit: limit })).toMatchObject({ "Jobs that wait for the type": "2 of 12" });
});

it("says what holds the job up", () => {
  const late = { ...PLAIN, starts_after: "2026-11-28T12:00:04Z", ring_place: 2, ring_lanes: 10, ring_wait_seconds: 7.2, paused: true, type_known: false };
  expect(named(late)).toMatchObject({
    "Place in the ring": "2 of 10", "Starts in": "4.0 s", "The ring waits for a worker": "7.2 s", Lane: "paused", Type: "unknown to the API",
  });
});
