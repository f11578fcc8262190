import { afterEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import { Pages } from "./pages.svelte";

afterEach(() => {
  vi.useRealTimers();
});

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

it("loads by itself what an outage has cut off, until the page is left", async () => {
  vi.useFakeTimers();
  let isUp = false;
  let loads = 0;
  const load = (): Promise<{ items: string[]; next: null }> => (loads++, isUp ? Promise.resolve({ items: ["a"], next: null }) : Promise.reject(new Problem(0, "away")));
  const [pages, left] = [new Pages(load), new Pages(load)];
  await pages.restart();
  await left.restart();
  left.close();
  expect([pages.error?.message, pages.items, loads]).toEqual(["away", [], 2]);
  isUp = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([pages.error, pages.items, left.items, loads]).toEqual([null, ["a"], [], 3]);
});

it("tries again what has failed: the first page of a new question replaces the answer to the old one", async () => {
  let isUp = true;
  let question = "old";
  const pages = new Pages(() => (isUp ? Promise.resolve({ items: [question], next: null }) : Promise.reject(new Problem(403, "no"))));
  await pages.restart();
  question = "new";
  isUp = false;
  await pages.restart();
  expect([pages.items, pages.error?.message]).toEqual([["old"], "no"]);
  isUp = true;
  pages.retry();
  await expect.poll(() => pages.items).toEqual(["new"]);
});

/** A list of people with how often each was seen, a page with all of them. */
function people() {
  const server = { people: [["ann", 1], ["bob", 1]] as [string, number][] };
  const pages = new Pages<[string, number]>(() => Promise.resolve({ items: server.people, next: null }), ([name]) => name);
  return { server, pages };
}

it("catches up with what has changed in its rows", async () => {
  const { server, pages } = people();
  await pages.restart();
  server.people = [["ann", 2], ["bob", 1]];
  await pages.catchUp(() => false);
  expect(pages.items[0]).toEqual(["ann", 1]);
  await pages.catchUp(() => true);
  expect([pages.items, pages.isOutdated]).toEqual([server.people, false]);
});

it("moves no row when others have come or gone: they are shown when the reader begins anew", async () => {
  const { server, pages } = people();
  await pages.restart();
  for (const changed of [[["aaron", 9], ["ann", 3], ["bob", 4]], [["bob", 5]]] as [string, number][][]) {
    server.people = changed;
    await pages.catchUp(() => true);
    expect(pages.items.map(([name]) => name)).toEqual(["ann", "bob"]);
    expect(pages.items[1]).toEqual(changed.at(-1));
    expect(pages.isOutdated).toBe(true);
  }
  await pages.restart();
  expect([pages.items, pages.isOutdated]).toEqual([[["bob", 5]], false]);
});
