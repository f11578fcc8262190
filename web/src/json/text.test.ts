import { describe, expect, it } from "vitest";

import { brief, fault, items, members, pretty, python, survives } from "./text";

const BIG = "9007199254740993";

describe("fault", () => {
  const good = ["1", " null ", '""', "[]", "{}", '[1,[2,{"a":[]}],"\\u00e9"]', `{"a":${BIG},"a":1e400}`, "-0.5E+3"];
  it.each(good)("accepts %s, as JSON.parse does", (text) => {
    expect(() => JSON.parse(text)).not.toThrow();
    expect(fault(text)).toBeNull();
  });

  const bad = ["", " ", "{", "[1,]", "[1 2]", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "[}", "1 2", "01", '"a', '"\t"', "tru", "]", ",", "nulla", "+1", ".5", "'a'", "{1:2}", '{"a" 1}', "[1}", '{"a":1]'];
  it.each(bad)("refuses %j, as JSON.parse does", (text) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(fault(text)).toMatch(/^Line \d+, column \d+: .+\.$/);
  });

  it("names the place", () => {
    expect(fault('{\n  "a": 1\n  "b": 2\n}')).toBe("Line 3, column 3: a comma is missing before this.");
  });
});

describe("members and items", () => {
  it("gives each value as it stands in the text", () => {
    const reply = `{"job_id":"a","request": {"n": ${BIG}, "10":1, "9":2} ,"result":[1.0,"}\\""],"error":null}`;
    expect([...members(reply)]).toEqual([
      ["job_id", '"a"'],
      ["request", `{"n": ${BIG}, "10":1, "9":2}`],
      ["result", '[1.0,"}\\""]'],
      ["error", "null"],
    ]);
    expect(items(`[ {"a":1} , [2] ,${BIG}]`)).toEqual(['{"a":1}', "[2]", BIG]);
    expect(items("[]")).toEqual([]);
    expect(members('{"jobs":[{"x":[1,2]},{}],"next":null}').get("jobs")).toBe('[{"x":[1,2]},{}]');
  });

  it("keeps a member named __proto__", () => {
    expect(members('{"__proto__":1}').get("__proto__")).toBe("1");
  });
});

describe("pretty", () => {
  it("changes nothing but blanks", () => {
    const text = `{"b":{"10":${BIG},"9":[1.50,2E3,"\\u00e9 , : {"]},"a":[[],{}],"long":["${"x".repeat(80)}"]}`;
    const shown = pretty(text);
    expect(JSON.parse(shown)).toEqual(JSON.parse(text));
    expect(shown.replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
    expect(shown).toContain(`"10": ${BIG}, "9": [1.50`.slice(0, 12));
  });

  it("puts short leaves on one line", () => {
    expect(pretty('{"a":[1,2],"b":{"c":{}}}')).toBe('{\n  "a": [1, 2],\n  "b": {\n    "c": {}\n  }\n}');
    expect(pretty(BIG)).toBe(BIG);
  });
});

it("walks over texts of megabytes", () => {
  const text = JSON.stringify({ plain: "x".repeat(8_000_000), escaped: '"'.repeat(2_000_000), list: Array(200_000).fill([1]) });
  expect(fault(text)).toBeNull();
  expect(members(text).get("plain")).toHaveLength(8_000_002);
});

it("brief cuts long texts", () => {
  expect(brief('{"a":\n 1}')).toBe('{"a": 1}');
  expect(brief("x".repeat(1000), 10)).toBe("x".repeat(10) + "…");
});

it("python gives a literal", () => {
  expect(python(`{"a":[true,false , null],"b":"true\\/\\n","c":${BIG}}`)).toBe(`{"a": [True, False, None], "b": "true/\\n", "c": ${BIG}}`);
});

it.each([
  ['{ "a": [1, 2.5, null], "b": "\\u00e9" }', true],
  [`{"id": ${BIG}}`, false],
  ['{"price": 1.0}', false],
  ['{"b": 1, "10": 2, "9": 3}', false],
  ['{"a": 1, "a": 2}', false],
])("%s survives JavaScript's values: %s", (text, expected) => {
  expect(survives(text)).toBe(expected);
});
