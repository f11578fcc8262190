import { expect, test } from "vitest";

import { isNarrow, searchOf } from "./search";

const of = (text: string) => searchOf(new URLSearchParams(text));

test("the address says what is searched for", () => {
  expect(of("")).toEqual({ state: null, type: "", schedule: "", error: "", id: "", since: null, until: null });
  expect(of("state=failed&type=mail&schedule=nightly&error=time+out&id=1A2b&since=2026-11-28T18:00")).toEqual({
    state: "failed", type: "mail", schedule: "nightly", error: "time out", id: "1a2b", since: new Date(2026, 10, 28, 18, 0).toISOString(), until: null,
  });
});

test("what cannot be meant is left out", () => {
  expect(of("state=lost&id=../x&since=yesterday")).toMatchObject({ state: null, id: "", since: null });
});

test("all jobs can be acted on by state and type alone", () => {
  expect(isNarrow(of("state=queued&type=mail"))).toBe(false);
  for (const more of ["schedule=x", "error=x", "id=1", "since=2026-01-01T00:00", "until=2026-01-01T00:00"]) expect(isNarrow(of(more))).toBe(true);
});
