/** Something that is asked for again and again. What was loaded stays when a later load fails, and is marked as old. */
import { Problem } from "../api/http";

const SHORTEST_MS = 500;

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
    this.#timer = setTimeout(() => void this.#follow(), Math.max(SHORTEST_MS, this.#lastMs * 4)) as unknown as number;
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
      this.#closed = true;
      clearInterval(timer);
      clearTimeout(this.#timer);
      document.removeEventListener("visibilitychange", seen);
    };
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
