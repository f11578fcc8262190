import { expect, it } from "vitest";

import { Problem } from "../api/http";
import { Pages } from "./pages.svelte";

const numbers = (pages: number[][]) => (after: string | null) => {
  const i = Number(after ?? 0);
  return Promise.resolve({ items: pages[i] ?? [], next: i + 1 < pages.length ? String(i + 1) : null });
};

it("goes on after pages that are empty, to the end", async () => {
  const pages = new Pages(numbers([[], [], [1], [], [2, 3]]));
  await pages.restart();
  expect([pages.items, pages.isWhole]).toEqual([[1], false]);
  pages.more();
  await expect.poll(() => pages.items).toEqual([1, 2, 3]);
  expect(pages.isWhole).toBe(true);
});

it("drops an answer to an older question", async () => {
  const answers: ((page: { items: string[]; next: null }) => void)[] = [];
  const pages = new Pages<string>(() => new Promise((resolve) => answers.push(resolve)));
  const first = pages.restart();
  const second = pages.restart();
  answers[1]?.({ items: ["new"], next: null });
  await second;
  answers[0]?.({ items: ["old"], next: null });
  await first;
  expect(pages.items).toEqual(["new"]);
});

it("keeps what is shown when the next page fails, and can try again", async () => {
  let isUp = true;
  const pages = new Pages((after) => (isUp ? Promise.resolve({ items: [after], next: "x" }) : Promise.reject(new Problem(503, "away"))));
  await pages.restart();
  isUp = false;
  pages.more();
  await expect.poll(() => pages.error?.message).toBe("away");
  expect(pages.items).toEqual([null]);
  isUp = true;
  pages.retry();
  await expect.poll(() => pages.items).toEqual([null, "x"]);
});

it("reloads as much as is shown", async () => {
  const pages = new Pages(numbers([[1], [2], [3]]));
  await pages.restart();
  pages.more();
  await expect.poll(() => pages.items).toEqual([1, 2]);
  await pages.reload();
  expect([pages.items, pages.isWhole]).toEqual([[1, 2], false]);
});
