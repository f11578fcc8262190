import { execFileSync } from "node:child_process";

import { expect, it } from "vitest";

import { snippets } from "./snippets";

it("quotes what a user has typed so that a shell takes it as it is", () => {
  const request = `{"text":"it's $HOME \\"now\\" \`id\`"}`;
  const [, , cli] = snippets("http://host", "ann", "word'count", request);
  const line = cli?.text.split("\n").at(-1) ?? "";
  const shown = execFileSync("sh", ["-c", line.replace("laneway", "printf '%s\\n'")], { encoding: "utf8" });
  expect(shown.split("\n")).toEqual(["enqueue", "word'count", request, "--wait", ""]);
});

it("writes Python for Python", () => {
  const [, inPython] = snippets("http://host", "ann", "echo", `{"ok":true}`);
  expect(inPython?.text).toContain('client.enqueue("echo", {"ok": True})');
});
