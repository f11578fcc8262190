import { expect, test } from "vitest";

import { verdict } from "./race";

/** Ann's job number n starts n * 10 ms after the race has begun. */
const ann = Array.from({ length: 1000 }, (_, n) => 5000 + n * 10);

test("a single queue would have served the jobs ahead at the rate that was measured", () => {
  const found = verdict({ ann, bobAccepted: 5995, bobStarted: 6012, processes: 2, slots: 5 });
  expect(found).toMatchObject({ bobMs: 17, ahead: 900, speedUp: 1, place: 103 });
  expect(found.rate).toBeCloseTo(100, 0);
  expect(found.singleMs).toBeCloseTo(8995);
});

test("where Ann's slots are fewer than the processes, a single queue is taken to be as much faster", () => {
  const found = verdict({ ann, bobAccepted: 5995, bobStarted: 6012, processes: 20, slots: 5 });
  expect(found.speedUp).toBe(4);
  expect(found.singleMs).toBeCloseTo(8995 / 4);
});

test("without a job ahead there is nothing to wait for", () => {
  expect(verdict({ ann: [1, 2], bobAccepted: 10, bobStarted: 14, processes: 1, slots: 5 })).toMatchObject({ ahead: 0, singleMs: 0, place: 3 });
});
