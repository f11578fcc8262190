/** Something that is asked for again and again. What was loaded stays when a later load fails, and is marked as old. */
import { Problem } from "../api/http";

const SHORTEST_MS = 500;
/** Slow loads are repeated less often: the wait after a load is at least this many times as long as the load. */
const REST = 4;

/** Wait between two loads: at least this long, and longer after a load that took long. */
export const restMs = (shortestMs: number, lastMs: number): number => Math.max(shortestMs, REST * lastMs);

/** Call `load` every `seconds` while the page is seen, less often where it takes long, until the returned function is called. */
export function repeat(seconds: number, load: () => Promise<void>): () => void {
  let isOpen = true;
  let timer = 0;
  const wait = (lastMs: number): void => {
    if (isOpen) timer = setTimeout(() => void next(), restMs(seconds * 1000, lastMs)) as unknown as number;
  };
  const next = async (): Promise<void> => {
    const started = performance.now();
    try {
      if (!document.hidden) await load();
    } finally {
      wait(performance.now() - started);
    }
  };
  wait(0);
  return () => {
    isOpen = false;
    clearTimeout(timer);
  };
}

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  error = $state<Problem | null>(null);
  loadedAt = $state(0);

  #running = false;
  #again = false;
  /** Whether the reader waits for the next load. */
  #isAsked = false;
  #timer = 0;
  #lastMs = 0;
  #closed = false;

  /** While `isFollowed` is false, only what the reader asks for (`refresh`) is shown. */
  constructor(
    readonly load: () => Promise<T>,
    readonly isFollowed: () => boolean,
  ) {}

  /** Load because the reader asks for it: now, or once more after the load that is under way. */
  async refresh(): Promise<void> {
    this.#isAsked = true;
    await this.#load();
  }

  /** Load within a moment, to follow what happens; many calls are one load. A slow server is asked less often. */
  soon(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => void this.#follow(), restMs(SHORTEST_MS, this.#lastMs)) as unknown as number;
  }

  /** Load now and at every interval while the page is seen, until the function returned is called. */
  every(seconds: number, isOn: () => boolean = () => true): () => void {
    void this.refresh();
    const timer = setInterval(() => {
      if (!document.hidden && isOn()) void this.#follow();
    }, seconds * 1000);
    const seen = (): void => {
      if (!document.hidden && isOn()) this.soon();
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      this.close();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }

  /** Ignore the answer to a load that is under way, and do not start one that is due. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #follow(): Promise<void> {
    this.#timer = 0;
    if (this.isFollowed()) await this.#load();
  }

  async #load(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    clearTimeout(this.#timer);
    this.#timer = 0;
    const isAsked = this.#isAsked;
    this.#isAsked = this.#again = false;
    const started = performance.now();
    try {
      const value = await this.load();
      if (isAsked || this.isFollowed()) this.#show(value);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (isAsked || this.isFollowed()) this.error = error;
    } finally {
      this.#running = false;
      this.#lastMs = performance.now() - started;
    }
    if (this.#isAsked) await this.#load();
    else if (this.#again) this.soon();
  }

  #show(value: T): void {
    if (!this.#closed) this.value = value;
    this.error = null;
    this.loadedAt = Date.now();
  }
}
