/** Something that is asked for again and again. What was loaded stays when a later load fails, and is marked as old. */
import { Problem } from "../api/http";

const SHORTEST_MS = 500;
/** How long to wait before a load is repeated that an outage cut off. */
export const RETRY_MS = 3000;
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
  /** Whether `soon` was called since the last load began: a tick of `every` that comes first must then load. */
  #isWanted = false;
  #timer = 0;
  #due = 0;
  #lastMs = 0;
  #closed = false;
  /** Of `every`; 0 without it. */
  #everyMs = 0;
  #isDue = (): boolean => true;

  /** While `isFollowed` is false, only what the reader asks for (`refresh`) is shown. `shown` gets each value that is. */
  constructor(
    readonly load: () => Promise<T>,
    readonly isFollowed: () => boolean,
    readonly shown: (value: T) => void = () => undefined,
  ) {}

  /** Load because the reader asks for it: now, or once more after the load that is under way. */
  async refresh(): Promise<void> {
    this.#isAsked = true;
    await this.#load();
  }

  /** Load within a moment, to follow what happens; many calls are one load. A slow server is asked less often. */
  soon(ms = SHORTEST_MS): void {
    this.#isWanted = true;
    this.#wait(ms);
  }

  /** Load now and then every `seconds` while the page is seen, less often where it takes long, until the function returned is called. */
  every(seconds: number, isOn: () => boolean = () => true): () => void {
    this.#everyMs = seconds * 1000;
    this.#isDue = () => !document.hidden && isOn();
    void this.refresh();
    const seen = (): void => {
      if (this.#isDue()) this.soon();
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      this.close();
      document.removeEventListener("visibilitychange", seen);
    };
  }

  /** Load again what could not be loaded. */
  retry(): void {
    void this.refresh();
  }

  /** Ignore the answer to a load that is under way, and do not start one that is due. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #follow(): Promise<void> {
    if (this.isFollowed()) await this.#load();
    else this.#rest();
  }

  /** Wait for the next load of `every`. */
  #rest(): void {
    if (this.#everyMs) this.#wait(this.#everyMs, async () => (this.#isWanted || this.#isDue() ? this.#follow() : this.#rest()));
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
    this.#isAsked = this.#again = this.#isWanted = false;
    const started = performance.now();
    try {
      const value = await this.load();
      this.#lastMs = performance.now() - started;
      if (isAsked || this.isFollowed()) this.#show(value);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#lastMs = 0; // how long nobody answered says nothing about the next load
      if (isAsked || this.isFollowed()) this.error = error;
    } finally {
      this.#running = false;
      if (this.#isAsked) void this.#load();
      else if (this.#again) this.soon();
      else if (this.error?.isOutage) this.#wait(Math.min(RETRY_MS, this.#everyMs || RETRY_MS));
      else this.#rest();
    }
  }

  /** Let this be done after a while, if nothing is to be done sooner. */
  #wait(ms: number, next = (): Promise<void> => this.#follow()): void {
    const due = performance.now() + restMs(ms, this.#lastMs);
    if (this.#closed || (this.#timer && this.#due <= due)) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      void next();
    }, due - performance.now()) as unknown as number;
  }

  #show(value: T): void {
    if (this.#closed) return;
    this.value = value;
    this.error = null;
    this.loadedAt = Date.now();
    this.shown(value);
  }
}
