/**
 * JSON as text. Payloads and results are shown and sent exactly as they are: a 64-bit integer does not survive a JavaScript
 * number, and objects lose the order of keys like "10" and "9". So nothing here builds values; all of it walks over the text.
 */

export class JsonError extends Error {
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

type Token = { start: number; end: number; kind: "{" | "}" | "[" | "]" | "," | ":" | "string" | "scalar" };

const SPACE = /[ \t\n\r]*/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** The tokens of a text; throws JsonError at what cannot be one. Brackets are matched by `check`. */
function* tokens(text: string): Generator<Token> {
  let at = 0;
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  for (;;) {
    match(SPACE);
    if (at >= text.length) return;
    const start = at;
    const character = text[at] as string;
    if ("{}[],:".includes(character)) {
      at++;
      yield { start, end: at, kind: character as Token["kind"] };
    } else if (match(STRING)) {
      yield { start, end: at, kind: "string" };
    } else if (match(SCALAR)) {
      yield { start, end: at, kind: "scalar" };
    } else {
      throw new JsonError(character === '"' ? "this text has no end, or a character that must be escaped" : `${character} cannot stand here`, start);
    }
  }
}

/** Throws JsonError, with the place, unless the text is exactly one JSON value. */
export function check(text: string): void {
  const open: ("{" | "[")[] = [];
  let expected: "value" | "value or ]" | "name" | "name or }" | ":" | ", or end" = "value";
  let last = 0;
  for (const { start, end, kind } of tokens(text)) {
    const fail = (message: string): never => {
      throw new JsonError(message, start);
    };
    const inside = open.at(-1);
    last = end;
    if (expected === ", or end") {
      if (inside === undefined) fail("the value has ended before this");
      else if (kind === ",") expected = inside === "{" ? "name" : "value";
      else if ((kind === "}" && inside === "{") || (kind === "]" && inside === "[")) open.pop();
      else fail("a comma is missing before this");
    } else if (expected === ":") {
      if (kind !== ":") fail("a colon is missing before this");
      expected = "value";
    } else if (expected === "name" || expected === "name or }") {
      if (kind === "string") expected = ":";
      else if (kind === "}" && expected === "name or }") {
        open.pop();
        expected = ", or end";
      } else fail("a name in double quotes is missing here");
    } else if (kind === "{" || kind === "[") {
      open.push(kind);
      expected = kind === "{" ? "name or }" : "value or ]";
    } else if (kind === "string" || kind === "scalar") expected = ", or end";
    else if (kind === "]" && expected === "value or ]") {
      open.pop();
      expected = ", or end";
    } else fail("a value is missing here");
  }
  if (open.length || expected !== ", or end") {
    throw new JsonError(open.length ? `a ${open.at(-1) === "{" ? "}" : "]"} is missing at the end` : "a value is missing", last);
  }
}

/** What is wrong with a text, with line and column; null if it is one JSON value. */
export function fault(text: string): string | null {
  try {
    check(text);
    return null;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const before = text.slice(0, error.offset).split("\n");
    return `Line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${error.message}.`;
  }
}

/** The members of an object or the items of an array, each as its own text. The text must be valid JSON. */
function parts(text: string): { name: string; value: string }[] {
  const found: { name: string; value: string }[] = [];
  let depth = 0;
  let name = "";
  let start = -1;
  for (const token of tokens(text)) {
    if (token.kind === "}" || token.kind === "]") depth--;
    if (depth === 0) {
      if (start >= 0) found.push({ name, value: text.slice(start, token.start).trimEnd() });
    } else if (depth === 1 && token.kind === ",") {
      found.push({ name, value: text.slice(start, token.start).trimEnd() });
      start = -1;
      name = "";
    } else if (depth === 1 && token.kind === ":") {
      name = JSON.parse(text.slice(start, token.start)) as string;
      start = -1;
    } else if (start < 0) start = token.start;
    if (token.kind === "{" || token.kind === "[") {
      depth++;
      if (depth === 1) start = -1;
    }
  }
  return found;
}

export const items = (text: string): string[] => parts(text).map((part) => part.value);

export const members = (text: string): Map<string, string> => new Map(parts(text).map((part) => [part.name, part.value]));

/** The same JSON with line breaks and indentation. Short arrays and objects without others inside stay on one line. */
export function pretty(text: string, indent = "  "): string {
  const all = [...tokens(text)];
  let out = "";
  let level = 0;
  for (let i = 0; i < all.length; i++) {
    const token = all[i] as Token;
    const raw = text.slice(token.start, token.end);
    if (token.kind === "{" || token.kind === "[") {
      const flat = oneLine(text, all, i);
      if (flat !== null) {
        out += flat.text;
        i = flat.last;
      } else out += raw + "\n" + indent.repeat(++level);
    } else if (token.kind === "}" || token.kind === "]") out += "\n" + indent.repeat(--level) + raw;
    else if (token.kind === ",") out += ",\n" + indent.repeat(level);
    else out += token.kind === ":" ? ": " : raw;
  }
  return out;
}

const LINE_CHARACTERS = 72;

/** The bracket at `first` up to its end on one line, or null where that is too long or has brackets inside. */
function oneLine(text: string, all: Token[], first: number): { text: string; last: number } | null {
  let out = "";
  for (let i = first; i < all.length && out.length <= LINE_CHARACTERS; i++) {
    const token = all[i] as Token;
    if (i > first && (token.kind === "{" || token.kind === "[")) return null;
    out += token.kind === "," ? ", " : token.kind === ":" ? ": " : text.slice(token.start, token.end);
    if (token.kind === "}" || token.kind === "]") return out.length <= LINE_CHARACTERS ? { text: out, last: i } : null;
  }
  return null;
}

/** The text of a JSON string, or the JSON itself: for one line of a list. */
export function brief(text: string, characters = 160): string {
  const start = text.slice(0, characters * 2).replace(/\s+/g, " ");
  return start.length > characters || text.length > characters * 2 ? start.slice(0, characters) + "…" : start;
}

/** Whether the JSON comes out of JavaScript's values as it went in, but for blanks and the escapes of strings. */
export function survives(text: string): boolean {
  let compact = "";
  for (const { start, end, kind } of tokens(text)) {
    const raw = text.slice(start, end);
    compact += kind === "string" ? JSON.stringify(JSON.parse(raw)) : raw;
  }
  return compact === JSON.stringify(JSON.parse(text));
}

const PYTHON: Record<string, string> = { true: "True", false: "False", null: "None" };

/** The same value as a Python literal, on one line. */
export function python(text: string): string {
  let out = "";
  for (const { start, end, kind } of tokens(text)) {
    const raw = text.slice(start, end);
    if (kind === ",") out += ", ";
    else if (kind === ":") out += ": ";
    else if (kind === "string") out += raw.replaceAll("\\/", "/");
    else out += PYTHON[raw] ?? raw;
  }
  return out;
}
