/** Schedules in words. */
import type { Schedule } from "./api/model";
import { duration } from "./format";

export const MISSED = [
  { value: "once", text: "Enqueue one job for all of them" },
  { value: "skip", text: "Enqueue nothing" },
  { value: "all", text: "Enqueue a job for each" },
] as const;

const UNITS = [
  { seconds: 86_400, one: "day" },
  { seconds: 3600, one: "hour" },
  { seconds: 60, one: "minute" },
  { seconds: 1, one: "second" },
] as const;

/** "every 5 minutes", "0 9 * * 1-5, Europe/Berlin". */
export function timing({ cron, time_zone, every_seconds }: Pick<Schedule, "cron" | "time_zone" | "every_seconds">): string {
  if (cron) return `${cron}, ${time_zone ?? "UTC"}`;
  const seconds = every_seconds ?? 0;
  const unit = UNITS.find((one) => seconds % one.seconds === 0) ?? UNITS[3];
  const many = seconds / unit.seconds;
  return many === 1 ? `every ${unit.one}` : `every ${many} ${unit.one}s`;
}

/** "in 4 m 05 s", or "due". */
export function until(at: string, now: number): string {
  const left = Date.parse(at) - now;
  return left < 1000 ? "due" : `in ${left < 60_000 ? `${Math.floor(left / 1000)} s` : duration(left)}`;
}

/** The time zone of whoever looks. */
export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;
