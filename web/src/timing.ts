/** When a request joins its lane: at once, after a while, or at a time. */
export type When = "now" | "delay" | "time";

export interface Timing {
  delay?: number;
  not_before?: string;
}

/** What the API gets. `at`: a local time, as an input of the browser writes it. Null while what is needed has not been given. */
export function timingOf(when: When, seconds: number | null, at: string): Timing | null {
  if (when === "delay") return seconds === null || !(seconds >= 0) ? null : { delay: seconds };
  if (when === "time") return Number.isNaN(Date.parse(at)) ? null : { not_before: new Date(at).toISOString() };
  return {};
}
