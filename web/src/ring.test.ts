import { expect, test } from "vitest";

import type { Ring } from "./api/model";
import { lastStart, onCircle, placesOf, SHOWN } from "./ring";

const lane = (user: string, since: string): Ring["lanes"][number] => ({ user, jobs: 1200, taken: 1, slots: 5, since });
const ring: Ring = {
  at: "2026-01-01T00:00:10.000000Z",
  length: 2,
  lanes: [lane("ann", "2026-01-01T00:00:08.500000Z"), lane("bob", "2026-01-01T00:00:09.000000Z")],
  served: [{ user: "ann", in_flight: 3, last_start_at: "2026-01-01T00:00:09.750000Z" }],
  truncated: false,
};

test("lanes stand in the order of their turns, with what runs and how long they have waited", () => {
  expect(placesOf(ring)).toEqual([
    { user: "ann", turn: 1, jobs: 1200, slots: "1 of 5", inFlight: 3, waitMs: 1500 },
    { user: "bob", turn: 2, jobs: 1200, slots: "1 of 5", inFlight: 0, waitMs: 1000 },
  ]);
  expect(placesOf({ ...ring, lanes: Array.from({ length: 40 }, (_, i) => lane(`u${i}`, ring.at)) })).toHaveLength(SHOWN);
});

test("a start is told by the server's clock", () => {
  expect(lastStart(ring, "2026-01-01T00:00:09.750000Z")).toBe("250 ms ago");
  expect(lastStart(ring, null)).toBe("just now");
});

test("the first lane is at the top of the circle and the others follow clockwise", () => {
  expect([0, 1, 2, 3].map((i) => onCircle(i, 4, 100))).toEqual([
    { x: 0, y: -100 },
    { x: 100, y: 0 },
    { x: 0, y: 100 },
    { x: -100, y: 0 },
  ]);
});
