import { afterEach, beforeEach, expect, it, vi } from "vitest";

const stream = vi.hoisted(() => ({ send: vi.fn() }));
vi.mock("../api/http", () => ({ Problem: class extends Error {}, send: stream.send }));
vi.mock("./session.svelte", () => ({ session: { token: "t", user: "ann" } }));
const { live } = await import("./live.svelte");

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", { addEventListener: () => undefined, removeEventListener: () => undefined });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** What a listener has got: how many events, and what else it has to do. */
async function received(messages: unknown[]): Promise<[number, string][]> {
  let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
  stream.send.mockResolvedValue({ body: new ReadableStream({ start: (controller) => { feed = controller; } }) });
  const found: [number, string][] = [];
  const end = live.listen((events, refresh) => found.push([events.length, refresh]));
  const close = live.open();
  for (const message of messages) feed?.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(message)}\n\n`));
  for (let i = 0; i < 20_000; i++) await Promise.resolve();
  await vi.advanceTimersByTimeAsync(1000);
  close();
  end();
  return found;
}
const events = (count: number): unknown[] => Array.from({ length: count }, (_, i) => ({ event: "progress", job_id: "1", percent: i % 100, note: null }));

it("publishes what came within a moment at once", async () => {
  expect(await received(events(50))).toEqual([[50, "none"]]);
});

it("keeps no more than 2,000 events of a page that cannot publish them, and lets it ask for the state", async () => {
  expect(await received(events(5000))).toEqual([[1000, "missed"]]);
});
