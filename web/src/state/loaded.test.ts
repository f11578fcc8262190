import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Problem } from "../api/http";
import { Loaded, repeat } from "./loaded.svelte";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Something whose loads are answered one after another by `answer`, and whether updates are followed. */
function something() {
  const answers: ((value: string) => void)[] = [];
  const updates = { areFollowed: true };
  const loaded = new Loaded<string>(() => new Promise((resolve) => answers.push(resolve)), () => updates.areFollowed);
  const answer = async (value: string): Promise<void> => {
    answers.shift()?.(value);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { loaded, updates, answers, answer };
}

it("shows nothing of a load that is under way when updates are stopped", async () => {
  const { loaded, updates, answer } = something();
  void loaded.refresh();
  await answer("seen");
  loaded.soon();
  await vi.advanceTimersByTimeAsync(1000);
  updates.areFollowed = false;
  await answer("not to be seen");
  expect(loaded.value).toBe("seen");
});

it("begins no load that was due when updates were stopped", async () => {
  const { loaded, updates, answers } = something();
  loaded.soon();
  updates.areFollowed = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(answers).toEqual([]);
  updates.areFollowed = true;
  loaded.soon();
  await vi.advanceTimersByTimeAsync(1000);
  expect(answers.length).toBe(1);
});

it("shows what the reader asks for while updates are stopped, from a load that began after the question", async () => {
  const { loaded, updates, answers, answer } = something();
  loaded.soon();
  await vi.advanceTimersByTimeAsync(1000);
  updates.areFollowed = false;
  void loaded.refresh();
  await answer("from before");
  expect(loaded.value).toBe(null);
  await answer("asked for");
  expect([loaded.value, answers.length]).toEqual(["asked for", 0]);
});

it("repeats less often what takes long, rests while the page is hidden, and ends when it is told to", async () => {
  let isHidden = false;
  vi.stubGlobal("document", { get hidden() { return isHidden; } });
  const starts: number[] = [];
  let takesMs = 100;
  const began = performance.now();
  const end = repeat(1, async () => {
    starts.push(Math.round(performance.now() - began));
    await new Promise((resolve) => setTimeout(resolve, takesMs));
  });
  await vi.advanceTimersByTimeAsync(2500);
  expect(starts).toEqual([1000, 2100]);
  takesMs = 1000;
  await vi.advanceTimersByTimeAsync(6500);
  expect(starts).toEqual([1000, 2100, 3200, 8200]);
  isHidden = true;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(starts.length).toBe(4);
  isHidden = false;
  while (starts.length < 5) await vi.advanceTimersByTimeAsync(100);
  end(); // while it loads
  await vi.advanceTimersByTimeAsync(20_000);
  expect(starts.length).toBe(5);
});

it("loads again what an outage has cut off, also what was asked for only once", async () => {
  let isUp = false;
  let loads = 0;
  const loaded = new Loaded(() => (loads++, isUp ? Promise.resolve("up") : Promise.reject(new Problem(0, "away"))), () => true);
  await loaded.refresh();
  expect(loaded.error?.message).toBe("away");
  await vi.advanceTimersByTimeAsync(3100);
  expect([loads, loaded.value]).toEqual([2, null]);
  isUp = true;
  await vi.advanceTimersByTimeAsync(3100);
  expect([loads, loaded.value, loaded.error]).toEqual([3, "up", null]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(loads).toBe(3);
});

it("waits no longer because nobody has answered for long, and loads at once when it is known that something has changed", async () => {
  let loads = 0;
  const loaded = new Loaded(async () => {
    loads++;
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    throw new Problem(0, "away");
  }, () => true);
  void loaded.refresh();
  await vi.advanceTimersByTimeAsync(15_100);
  loaded.soon();
  await vi.advanceTimersByTimeAsync(600);
  expect(loads).toBe(2);
});

it("loads nothing more once it is closed or refused", async () => {
  for (const status of [503, 403]) {
    let loads = 0;
    const loaded = new Loaded(() => (loads++, Promise.reject(new Problem(status, "no"))), () => true);
    await loaded.refresh();
    if (status === 503) loaded.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(loads).toBe(1);
  }
});

/** A document that is seen, for `every`. */
const seen = { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined };

it("loads soon after it is told to though a tick that would rest comes first", async () => {
  vi.stubGlobal("document", seen);
  let loads = 0;
  let isOn = true;
  const loaded = new Loaded(() => Promise.resolve(loads++), () => true);
  const end = loaded.every(1, () => isOn);
  await vi.advanceTimersByTimeAsync(700);
  isOn = false;
  loaded.soon();
  await vi.advanceTimersByTimeAsync(1000);
  expect(loads).toBe(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(loads).toBe(2);
  end();
});

it("goes on loading at every interval after a load that threw", async () => {
  vi.stubGlobal("document", seen);
  let loads = 0;
  let isBroken = false;
  const loaded = new Loaded(() => (loads++, isBroken ? Promise.reject(new TypeError("broken")) : Promise.resolve(loads)), () => true);
  const end = loaded.every(1);
  await vi.advanceTimersByTimeAsync(0);
  isBroken = true;
  await expect(loaded.refresh()).rejects.toThrow("broken");
  isBroken = false;
  await vi.advanceTimersByTimeAsync(1100);
  expect([loads, loaded.value]).toEqual([3, 3]);
  end();
});

it("loads at every interval while the page is seen, and less often where it takes long", async () => {
  let hidden = false;
  vi.stubGlobal("document", { get hidden() { return hidden; }, addEventListener: () => undefined, removeEventListener: () => undefined });
  let takesMs = 0;
  let loads = 0;
  const loaded = new Loaded(async () => {
    loads++;
    await new Promise((resolve) => setTimeout(resolve, takesMs));
  }, () => true);
  const during = async (ms: number): Promise<number> => {
    loads = 0;
    await vi.advanceTimersByTimeAsync(ms);
    return loads;
  };
  const end = loaded.every(1);
  expect(await during(10_500)).toBe(10);
  takesMs = 2000;
  await during(2000);
  expect(await during(30_000)).toBe(3); // 2 s for a load, 8 s of rest
  takesMs = 0;
  await during(10_000);
  hidden = true;
  expect(await during(10_500)).toBe(0);
  hidden = false;
  expect(await during(10_500)).toBeGreaterThan(8);
  end();
  expect(await during(10_500)).toBe(0);
});
