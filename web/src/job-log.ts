/** The log of a job, kept up to date by events. */
import type { JobLog, LogLine } from "./api/model";

/** Lines of a run that are shown, as many as the API keeps. */
const KEPT = 200;

const isAfter = (line: LogLine, other: LogLine): boolean => line.at > other.at || (line.at === other.at && line.number > other.number);

/** The last `most` of both, whichever run they are of and whichever came first. Each is in it once. */
export function lastLines(kept: readonly LogLine[], more: readonly LogLine[], most: number): readonly LogLine[] {
  const added = more.filter((line) => !kept.some((one) => one.at === line.at && one.number === line.number));
  const last = [...kept, ...added].sort((line, other) => (isAfter(line, other) ? 1 : -1)).slice(-most);
  return last.some((line) => added.includes(line)) ? last : kept;
}

/** The log after new lines of the present run. Lines of a run that has ended are in the log already. */
export function withLines(log: JobLog, event: { attempt: number; lines: LogLine[] }): JobLog {
  const last = log.runs.at(-1);
  if (last?.state !== "running") {
    const end = last?.lines.at(-1)?.at ?? "";
    const lines = event.lines.filter((line) => line.at > end);
    if (!lines.length) return log;
    const run = { attempt: event.attempt, state: "running" as const, started_at: null, worker: null, ended_at: null, outcome: null, error: null, lines };
    return { ...log, runs: [...log.runs, run] };
  }
  const newest = last.lines.at(-1)?.number ?? 0;
  const lines = event.lines.filter((line) => line.number > newest);
  return { ...log, runs: [...log.runs.slice(0, -1), { ...last, lines: [...last.lines, ...lines].slice(-KEPT) }] };
}

/** The runs that have lines, each with its heading. The timeline shows the others. */
export function sections(log: JobLog): { title: string; lines: readonly LogLine[] }[] {
  return log.runs.map((run, i) => ({ title: heading(log, i), lines: run.lines })).filter(({ lines }) => lines.length);
}

/** What stands above the lines of a run; nothing for the only run of a job that has nothing to say about it. */
export function heading(log: JobLog, index: number): string {
  const run = log.runs[index];
  if (!run) return "";
  const missing = (run.lines.at(-1)?.number ?? 0) - run.lines.length;
  const notes = [
    run.state === "lost" ? "lost with its process or killed: its last lines may be missing" : "",
    missing > 0 ? `${missing.toLocaleString("en")} earlier lines are not shown` : "",
  ].filter(Boolean);
  if (log.runs.length === 1 && !log.dropped_runs && !notes.length) return "";
  return [`Attempt ${run.attempt}`, ...notes].join(", ");
}
