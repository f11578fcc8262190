import { expect, it } from "vitest";

import type { JobLog, LogLine } from "./api/model";
import { heading, lastLines, sections, withLines } from "./job-log";

const line = (number: number, at: string, text = String(number)): LogLine => ({ number, at, level: "info", text });
const run = (state: "running" | "ended" | "lost", ...lines: LogLine[]): JobLog["runs"][number] => ({
  attempt: 1, state, started_at: null, worker: null, ended_at: null, outcome: null, error: null, lines,
});
const log = (...runs: JobLog["runs"]): JobLog => ({ job_id: "1", dropped_runs: 0, runs });
const texts = (of: JobLog): string[][] => of.runs.map((one) => one.lines.map((each) => each.text));

it("adds new lines to the present run, each once", () => {
  const before = log(run("running", line(1, "01"), line(2, "02")));
  const after = withLines(before, { attempt: 1, lines: [line(2, "02"), line(3, "03")] });
  expect(texts(after)).toEqual([["1", "2", "3"]]);
  expect(texts(before)).toEqual([["1", "2"]]);
});

it("begins a run after one that has ended, and ignores what comes late about that one", () => {
  const before = log(run("ended", line(1, "01"), line(2, "02")));
  expect(withLines(before, { attempt: 1, lines: [line(2, "02")] })).toBe(before);
  const after = withLines(before, { attempt: 2, lines: [line(1, "03", "again")] });
  expect(texts(after)).toEqual([["1", "2"], ["again"]]);
  expect(after.runs[1]).toMatchObject({ attempt: 2, state: "running" });
  expect(texts(withLines(log(), { attempt: 1, lines: [line(1, "01")] }))).toEqual([["1"]]);
});

it("shows the newest 200 lines of a run", () => {
  const many = Array.from({ length: 300 }, (_, i) => line(i + 1, String(i)));
  const after = withLines(log(run("running", ...many.slice(0, 150))), { attempt: 1, lines: many.slice(150) });
  expect(texts(after)[0]?.length).toBe(200);
  expect(texts(after)[0]?.at(-1)).toBe("300");
});

it("says what a run is and what is missing, where there is something to say", () => {
  expect(heading(log(run("ended", line(1, "01"))), 0)).toBe("");
  expect(heading(log(run("ended", line(1201, "01"))), 0)).toBe("Attempt 1, 1,200 earlier lines are not shown");
  expect(heading(log(run("lost"), run("ended", line(1, "01"))), 0)).toBe("Attempt 1, lost with its process or killed: its last lines may be missing");
  expect(heading({ ...log(run("ended", line(1, "01"))), dropped_runs: 2 }, 0)).toBe("Attempt 1");
});

it("keeps the last lines of whichever run, each once", () => {
  const first = lastLines([], [line(1, "01"), line(2, "01"), line(3, "02")], 2);
  expect(first.map((one) => one.text)).toEqual(["2", "3"]);
  expect(lastLines(first, [line(2, "01"), line(3, "02")], 2)).toBe(first);
  const next = lastLines(first, [line(3, "02"), line(1, "03", "of the next run")], 2);
  expect(next.map((one) => one.text)).toEqual(["3", "of the next run"]);
});

it("puts lines from before where they belong, though a newer one came first", () => {
  const newest = lastLines([], [line(9, "09")], 3);
  const filled = lastLines(newest, [line(7, "07"), line(8, "08"), line(9, "09")], 3);
  expect(filled.map((one) => one.text)).toEqual(["7", "8", "9"]);
  expect(lastLines(filled, [line(1, "01")], 3)).toBe(filled);
});

it("has nothing to say about a run without lines", () => {
  const lost = { ...run("lost"), attempt: 1 };
  const second = { ...run("ended", line(1, "01")), attempt: 2 };
  expect(sections(log(lost, second, run("running")))).toEqual([{ title: "Attempt 2", lines: second.lines }]);
  expect(sections(log(lost))).toEqual([]);
});
