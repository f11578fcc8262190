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

it("reloads nothing that is seen after the first page could not be loaded", async () => {
  let isUp = true;
  const pages = new Pages(() => (isUp ? Promise.resolve({ items: ["old"], next: null }) : Promise.reject(new Problem(403, "no"))));
  await pages.restart();
  isUp = false;
  await pages.restart();
  isUp = true;
  await pages.reloadSeen((item) => item, 0, 1, () => true);
  expect([pages.items, pages.error?.message]).toEqual([["old"], "no"]);
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

it("moves no row when others have come or gone: they are shown when the reader asks for them", async () => {
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

/** Lanes with so many jobs each, two a page, listed by name; `asked` are the cursors of the pages that were asked for. */
async function lanes(names: string) {
  type Named = [name: string, jobs: number];
  const server = { lanes: [...names].map((name): Named => [name, 1]), asked: [] as (string | null)[] };
  const pages = new Pages<Named>((after) => {
    server.asked.push(after);
    const rest = server.lanes.filter(([name]) => name > (after ?? ""));
    return Promise.resolve({ items: rest.slice(0, 2), next: rest.length > 2 ? (rest[1]?.[0] ?? null) : null });
  });
  await pages.restart();
  for (let shown = 0; pages.items.length > shown && !pages.isWhole; ) {
    shown = pages.items.length;
    pages.more();
    await expect.poll(() => pages.isLoading).toBe(false);
  }
  server.asked = [];
  const set = (now: Record<string, number>): void => { server.lanes = Object.entries(now); };
  const seen = (first: number, last: number): Promise<void> => pages.reloadSeen(([name]) => name, first, last, () => true);
  const shown = (): string => pages.items.map(([name, jobs]) => `${name}${String(jobs)}`).join(" ");
  return { server, pages, set, seen, shown };
}

it("reloads only the pages whose items are seen, and the next one", async () => {
  const { server, set, seen, shown } = await lanes("abcdefgh");
  set({ a: 2, b: 2, c: 2, d: 2, e: 2, f: 2, g: 2, h: 2 });
  await seen(3, 4);
  expect([server.asked, shown()]).toEqual([["b", "d"], "a1 b1 c2 d2 e2 f2 g1 h1"]);
  await seen(1, 3);
  expect([server.asked.slice(2), shown()]).toEqual([[null, "b", "d"], "a2 b2 c2 d2 e2 f2 g1 h1"]);
  await seen(7, 8);
  expect([server.asked.slice(5), shown()]).toEqual([["f"], "a2 b2 c2 d2 e2 f2 g2 h2"]);
});

it("says whether pages were left as they were, so that the number of items is not known exactly", async () => {
  const { set, seen, pages } = await lanes("abcdef");
  set({ a: 1, b: 1, c: 1, d: 1, e: 1 }); // f has gone
  await seen(0, 1);
  expect([pages.items.length, pages.isPartlyOld]).toEqual([6, true]);
  await seen(5, 6);
  expect([pages.items.length, pages.isPartlyOld]).toEqual([5, true]);
  await seen(0, 4);
  expect([pages.items.length, pages.isPartlyOld]).toEqual([5, false]);
  await seen(5, 6);
  await pages.restart();
  expect(pages.isPartlyOld).toBe(false);
});

it("shows each item once, and in order, when some have come or gone among those that are seen", async () => {
  const { set, seen, shown, pages } = await lanes("bdfhjlnp");
  set({ b: 2, f: 2, h: 2, j: 2, l: 2, n: 2, p: 2 }); // d has gone
  await seen(0, 2);
  expect(shown()).toBe("b2 f2 h2 j2 l1 n1 p1");
  await seen(2, 5);
  expect(shown()).toBe("b2 f2 h2 j2 l2 n2 p2");
  set({ a: 3, b: 3, c: 3, f: 3, h: 3, j: 3, l: 3, n: 3, p: 3 }); // a and c have come
  await seen(0, 2);
  expect(shown()).toBe("a3 b3 c3 f3 l2 n2 p2"); // h and j are on a page behind these, which is not seen
  await seen(2, 6);
  expect(shown()).toBe("a3 b3 c3 f3 h3 j3 l3 n3");
  pages.more();
  await expect.poll(shown).toBe("a3 b3 c3 f3 h3 j3 l3 n3 p3");
});

it("ends the list where the pages that are seen end it, and goes on where they go on", async () => {
  const { set, seen, shown, pages } = await lanes("abcdef");
  set({ a: 2, b: 2, c: 2 });
  await seen(2, 3);
  expect([shown(), pages.isWhole]).toEqual(["a1 b1 c2", true]);
  set({ a: 3, b: 3, c: 3, d: 3, e: 3 });
  await seen(2, 3);
  expect([shown(), pages.isWhole]).toEqual(["a1 b1 c3 d3", false]);
  pages.more();
  await expect.poll(shown).toBe("a1 b1 c3 d3 e3");
  set({});
  await seen(0, 5);
  expect([shown(), pages.isWhole]).toEqual(["", true]);
  set({ a: 4 });
  await seen(0, 0);
  expect(shown()).toBe("a4");
});
