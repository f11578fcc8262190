import { expect, it } from "vitest";

import { fits, hasFields, plain } from "./schema-form";

const DEFS = { Size: { type: "object", properties: { width: { type: "integer" } } } };

it.each([
  [{}, false],
  [{ type: "object" }, false],
  [{ type: "string" }, false],
  [{ type: "object", properties: { width: { type: "integer" } } }, true],
  [{ $ref: "#/$defs/Size", $defs: DEFS }, true],
  [{ $ref: "#/$defs/Other", $defs: DEFS }, false],
])("%j has fields: %s", (schema, expected) => {
  expect(hasFields(schema)).toBe(expected);
});

it("shows a field that may be null as one that may be empty", () => {
  const note = { anyOf: [{ type: "string", maxLength: 9 }, { type: "null" }], default: null, title: "Note" };
  const either = { anyOf: [{ type: "string" }, { type: "integer" }, { type: "null" }], default: 5 };
  const shown = plain({ type: "object", properties: { note, either } });
  expect(shown.properties).toEqual({ note: { type: "string", maxLength: 9, title: "Note" }, either });
});

it("takes payloads that a form would not change", () => {
  expect(["{}", ' {"a": 1}', "[1]", "5", '{"id": 9007199254740993}'].map(fits)).toEqual([true, true, false, false, false]);
});
