/** The ring, as it is drawn: who takes turns in which order, and where each lane stands on the circle. */
import type { Ring } from "./api/model";
import { count, duration } from "./format";

/** Lanes that have a place on the page. The page keeps this size, however many there are. */
export const SHOWN = 12;

export interface Place {
  user: string;
  /** From 1: the turn of the first is next. */
  turn: number;
  jobs: number;
  slots: string;
  inFlight: number;
  /** How long it has waited for its turn, in ms. */
  waitMs: number;
}

export function placesOf(ring: Ring): Place[] {
  const inFlight = new Map(ring.served.map((lane) => [lane.user, lane.in_flight]));
  return ring.lanes.slice(0, SHOWN).map((lane, i) => ({
    user: lane.user,
    turn: i + 1,
    jobs: lane.jobs,
    slots: `${count(lane.taken)} of ${count(lane.slots)}`,
    inFlight: inFlight.get(lane.user) ?? 0,
    waitMs: Math.max(0, Date.parse(ring.at) - Date.parse(lane.since)),
  }));
}

/** How long ago the lane started a job, by the server's clock; unknown while its jobs are too short to be seen. */
export const lastStart = (ring: Ring, at: string | null): string => (at === null ? "just now" : `${duration(Date.parse(ring.at) - Date.parse(at))} ago`);

/** The place of one of `lanes` on a circle of this radius: the first at the top, the others clockwise. */
export function onCircle(i: number, lanes: number, radius: number): { x: number; y: number } {
  const angle = (2 * Math.PI * i) / lanes - Math.PI / 2;
  return { x: Math.round(radius * Math.cos(angle)), y: Math.round(radius * Math.sin(angle)) };
}
