import { expect, it } from "vitest";

import { status, typesIn, wanted } from "./webhooks";

const last = { at: "2026-11-28T12:00:00Z", message_id: "msg_1", delivered: true, attempts: 1, detail: "the receiver answered 204" };
const quiet = { disabled_reason: null, last_error: null, last: null, waiting: 0 };

it("says which ends are delivered", () => {
  expect(wanted({ states: ["cancelled", "failed", "succeeded"], types: [] })).toBe("all ends");
  expect(wanted({ states: ["cancelled", "failed"], types: ["echo", "resize"] })).toBe("cancelled, failed of echo, resize");
});

it("reads types as people write them", () => {
  expect(typesIn(" echo, resize  echo,,")).toEqual(["echo", "resize"]);
  expect(typesIn(" ")).toEqual([]);
});

it.each([
  [quiet, { text: "no delivery yet", error: "", isBad: false }],
  [{ ...quiet, last }, { text: "delivered", error: "", isBad: false }],
  [{ ...quiet, last: { ...last, delivered: false, detail: "it answered 500" } }, { text: "failed", error: "it answered 500", isBad: true }],
  [{ ...quiet, last, waiting: 3 }, { text: "3 waiting", error: "", isBad: false }],
  [{ ...quiet, last, waiting: 3, last_error: "it answered 500" }, { text: "3 waiting", error: "it answered 500", isBad: true }],
  [{ ...quiet, last, waiting: 3, disabled_reason: "it answered 410" }, { text: "disabled", error: "it answered 410", isBad: true }],
])("says how deliveries fare: %j", (webhook, expected) => {
  expect(status(webhook)).toEqual(expected);
});
