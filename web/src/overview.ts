/** What the overview shows: spans of time, and the points as lines. */
import type { Overview } from "./api/model";

export interface Span {
  name: string;
  seconds: number;
  /** Of one point. */
  step: number;
}

export const SPANS: readonly [Span, ...Span[]] = [
  { name: "1 h", seconds: 3600, step: 60 },
  { name: "6 h", seconds: 6 * 3600, step: 300 },
  { name: "24 h", seconds: 86_400, step: 900 },
  { name: "7 d", seconds: 7 * 86_400, step: 3600 },
  { name: "30 d", seconds: 30 * 86_400, step: 4 * 3600 },
  { name: "90 d", seconds: 90 * 86_400, step: 86_400 },
];

export const spanOf = (name: string | null): Span => SPANS.find((span) => span.name === name) ?? SPANS[0];

/** Where the first point begins. */
export const startOf = (span: Span, now: number): Date => new Date(now - (span.seconds - span.step) * 1000);

export interface Lines {
  times: number[];
  /** Jobs a minute. */
  accepted: number[];
  succeeded: number[];
  failed: number[];
  wait: Record<"p50" | "p95" | "p99", (number | null)[]>;
  run: Record<"p50" | "p95" | "p99", (number | null)[]>;
}

export function linesOf({ points, step_seconds }: Overview): Lines {
  const aMinute = (count: number): number => (count * 60) / step_seconds;
  const quantiles = (of: "wait_seconds" | "run_seconds"): Lines["wait"] => ({
    p50: points.map((point) => point[of]?.p50 ?? null),
    p95: points.map((point) => point[of]?.p95 ?? null),
    p99: points.map((point) => point[of]?.p99 ?? null),
  });
  return {
    times: points.map((point) => Date.parse(point.at) / 1000),
    accepted: points.map((point) => aMinute(point.accepted)),
    succeeded: points.map((point) => aMinute(point.ended.succeeded)),
    failed: points.map((point) => aMinute(point.ended.failed)),
    wait: quantiles("wait_seconds"),
    run: quantiles("run_seconds"),
  };
}

/** A number of jobs a minute: "0", "0.4", "12", "1,300". */
export const rate = (value: number): string => (value === 0 || value >= 10 ? Math.round(value).toLocaleString("en") : value.toFixed(1));
