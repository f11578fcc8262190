import { expect, it } from "vitest";

import { inputs } from "./workers";

const RULE = {
  min_replicas: 0, max_replicas: 12, slots_per_replica: 4, drain_target_seconds: 30, stabilisation_window_seconds: 300,
  paused: false, inflow_slots: null, load: null,
};
const LOAD = { usable: 12, queued: 1200, running: 3, leaving: 0, held: 0, service_seconds: null, oldest_wait_seconds: 1.5 };

it("lists what the rule decided from", () => {
  const named = Object.fromEntries(inputs({ ...RULE, inflow_slots: 2.34, load: LOAD }).map(({ name, value }) => [name, value]));
  expect(named).toMatchObject({
    "Replicas allowed": "0 to 12", "Slots that the inflow keeps busy": "2.3", Queued: "1,200", "Mean run": "not measured yet", "The ring waits": "1.5 s",
  });
});

it("says that the lanes could not be read, and that scaling is paused", () => {
  expect(inputs({ ...RULE, paused: true }).slice(-2)).toEqual([
    { name: "Scaling", value: "paused" }, { name: "Load", value: "the lanes could not be read" },
  ]);
});
