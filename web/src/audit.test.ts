import { expect, it } from "vitest";

import type { AuditEntry } from "./api/model";
import { details, sentence } from "./audit";

const entry = (action: string, user: string | null, all: Record<string, unknown> = {}): AuditEntry => ({
  at: "2026-11-28T12:00:00Z", by: "root", key_id: null, address: "127.0.0.1", action, user, details: all,
});

it.each([
  ["lane_purged", "ann", "purged the lane of ann"],
  ["operation_started", null, "started an operation on jobs of all users"],
  ["operation_started", "ann", "started an operation on jobs of ann"],
  ["schedule_paused", "ann", "paused a schedule of ann"],
  ["pool_resized", "ann", "pool resized: ann"],
  ["pool_resized", null, "pool resized"],
])("%s of %s: %s", (action, user, text) => {
  expect(sentence(entry(action, user))).toBe(text);
});

it("lists the details that say something", () => {
  const all = { job_id: "0c65", slots: 7, type: null, refused: 0, reason: "" };
  expect(details(entry("x", null, all))).toEqual([
    { name: "job id", value: "0c65" }, { name: "slots", value: "7" }, { name: "refused", value: "0" },
  ]);
});
