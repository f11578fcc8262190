/** The inputs of the scaling rule, as they are listed. */
import type { Pool } from "./api/model";
import type { Fact } from "./facts";
import { count, duration } from "./format";

export function inputs(rule: NonNullable<Pool["rule"]>): Fact[] {
  const seconds = (value: number): string => duration(value * 1000);
  const of = [
    { name: "Replicas allowed", value: `${count(rule.min_replicas)} to ${count(rule.max_replicas)}` },
    { name: "Slots of a replica", value: count(rule.slots_per_replica) },
    { name: "Drain target", value: seconds(rule.drain_target_seconds) },
    { name: "Window before a scale-down", value: seconds(rule.stabilisation_window_seconds) },
  ];
  if (rule.inflow_slots !== null) of.push({ name: "Slots that the inflow keeps busy", value: rule.inflow_slots.toFixed(1) });
  if (rule.paused) of.push({ name: "Scaling", value: "paused" });
  if (!rule.load) return [...of, { name: "Load", value: "the lanes could not be read" }];
  const { usable, queued, running, held, service_seconds, oldest_wait_seconds } = rule.load;
  return [
    ...of,
    { name: "Jobs that could be in flight", value: count(usable) },
    { name: "Queued", value: count(queued) },
    { name: "Running", value: count(running) },
    { name: "Run for long", value: count(held) },
    { name: "Mean run", value: service_seconds === null ? "not measured yet" : seconds(service_seconds) },
    { name: "The ring waits", value: seconds(oldest_wait_seconds) },
  ];
}
