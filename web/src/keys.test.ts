import { expect, it } from "vitest";

import { expiry } from "./keys";

const NOW = Date.parse("2026-11-28T12:00:00Z");

it.each([
  [null, "never expires", false],
  ["2026-11-28T11:59:59Z", "has expired", true],
  ["2026-11-30T12:00:00Z", "expires in 2 d 0 h", true],
  ["2027-02-26T12:00:00Z", "expires in 90 d 0 h", false],
])("a key that ends at %s %s", (at, text, isSoon) => {
  expect(expiry(at, NOW)).toEqual({ text, isSoon });
});
