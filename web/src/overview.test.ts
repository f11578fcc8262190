import { expect, it } from "vitest";

import type { Overview } from "./api/model";
import { linesOf, rate, SPANS, spanOf, startOf } from "./overview";

it("draws counts by the minute, and gaps where nothing was measured", () => {
  const quantiles = { p50: 1, p95: 2, p99: 3 };
  const point = (accepted: number, wait: typeof quantiles | null): Overview["points"][number] => ({
    at: "2026-11-28T12:00:00Z", accepted, started: 0, ended: { succeeded: 10, failed: 5, cancelled: 1 }, wait_seconds: wait, run_seconds: null,
  });
  const lines = linesOf({ points: [point(600, quantiles), point(0, null)], step_seconds: 300 } as Overview);
  expect(lines.accepted).toEqual([120, 0]);
  expect([lines.succeeded[0], lines.failed[0]]).toEqual([2, 1]);
  expect([lines.wait.p95, lines.run.p50]).toEqual([[2, null], [null, null]]);
  expect(lines.times[0]).toBe(1_795_867_200);
});

it("asks for as many points as a chart can show, of hours where minutes are not kept", () => {
  for (const span of SPANS) {
    expect(span.seconds / span.step).toBeLessThanOrEqual(200);
    expect(span.seconds <= 72 * 3600 || span.step % 3600 === 0).toBe(true);
  }
  expect(spanOf("nonsense")).toBe(SPANS[0]);
  expect(startOf(SPANS[0], 3_600_000).getTime()).toBe(60_000);
});

it("writes rates", () => {
  expect([0, 0.42, 9.96, 12.4, 1300].map(rate)).toEqual(["0", "0.4", "10.0", "12", "1,300"]);
});
