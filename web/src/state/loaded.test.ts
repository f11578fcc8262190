import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Loaded, repeat } from "./loaded.svelte";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
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
  vi.unstubAllGlobals();
});
