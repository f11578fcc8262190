/** The facts behind a `why`, as they are listed. */
import type { Why } from "./api/model";
import { count, duration } from "./format";

export type Facts = NonNullable<Why["facts"]>;

export interface Fact {
  name: string;
  value: string;
}

/** Those that say something about the case at hand. `now` in ms since 1970. */
export function facts(of: Facts, now: number): Fact[] {
  const found: Fact[] = [
    { name: "Jobs in front", value: count(of.in_front) },
    { name: "Slots taken", value: `${count(of.taken.length)} of ${count(of.slots)}` },
    { name: "Place in the ring", value: of.ring_place === null ? "not in the ring" : `${count(of.ring_place)} of ${count(of.ring_lanes)}` },
    { name: "Jobs in flight, all lanes", value: count(of.in_flight) },
  ];
  if (of.starts_after) found.push({ name: "Starts in", value: duration(Date.parse(of.starts_after) - now) });
  if (of.ring_wait_seconds >= 1) found.push({ name: "The ring waits for a worker", value: duration(of.ring_wait_seconds * 1000) });
  if (of.paused) found.push({ name: "Lane", value: "paused" });
  if (of.type_limit) found.push({ name: "Jobs that wait for the type", value: `${count(of.type_limit.place)} of ${count(of.type_limit.waiting)}` });
  for (const [pool, most] of Object.entries(of.pools_at_maximum)) found.push({ name: `Pool ${pool}`, value: `at its maximum of ${count(most)}` });
  if (!of.type_known) found.push({ name: "Type", value: "unknown to the API" });
  return found;
}
