/** A list that comes in pages: the next one is loaded when the end comes near. After an outage, what failed is loaded again. */
import { Problem } from "../api/http";
import type { Page } from "../api/model";
import { RETRY_MS } from "./loaded.svelte";

/** Pages of a filter may be empty though there is more: so many are asked for before the reader must ask. */
const EMPTY_PAGES = 10;

export class Pages<T> {
  items = $state.raw<T[]>([]);
  isWhole = $state(false);
  isLoading = $state(false);
  error = $state<Problem | null>(null);
  /** Whether items were added or taken away meanwhile: they wait for `restart`, as rows must not move under a finger. */
  isOutdated = $state(false);

  #next: string | null = null;
  #generation = 0;
  #isReloading = false;
  /** Repeats the load that failed. */
  #again: () => Promise<void> = () => Promise.resolve();
  #timer = 0;

  /** With `key`, `catchUp` can bring the items up to date in their places. */
  constructor(
    readonly load: (after: string | null) => Promise<Page<T>>,
    readonly key: ((item: T) => string) | null = null,
  ) {}

  /** Begin anew. What is shown stays until the first page has come. */
  async restart(): Promise<void> {
    this.#generation++;
    this.#next = null;
    this.isWhole = false;
    this.isLoading = this.#isReloading = false;
    this.isOutdated = false;
    await this.#load(true);
  }

  more(): void {
    if (!this.isWhole && !this.isLoading && !this.#isReloading && !this.error) void this.#load(false);
  }

  /** Load again what could not be loaded. */
  retry(): void {
    if (!this.error || this.isLoading || this.#isReloading) return;
    this.error = null;
    void this.#again();
  }

  /** Load the first pages again, as many as are shown now, and replace them in one go, if they are still wanted then. */
  reload(isWanted: () => boolean = () => true): Promise<void> {
    return this.#reload(isWanted, (items) => {
      this.items = items;
      return true;
    });
  }

  /** Load the first pages again, as many as are shown now, and show what has changed in the items that are shown. */
  async catchUp(isWanted: () => boolean): Promise<void> {
    const { key } = this;
    if (!key || this.error) return;
    await this.#reload(isWanted, (items) => {
      const found = new Map(items.map((item) => [key(item), item]));
      const isSame = this.items.every((item, i) => items[i] !== undefined && key(item) === key(items[i]));
      this.items = isSame ? items : this.items.map((item) => found.get(key(item)) ?? item);
      this.isOutdated = !isSame;
      return isSame;
    });
  }

  /** The page is left: load nothing more. */
  close(): void {
    this.#generation++;
    clearTimeout(this.#timer);
  }

  /** `show` returns whether the list goes on where the new pages end. */
  async #reload(isWanted: () => boolean, show: (items: T[]) => boolean): Promise<void> {
    const generation = this.#generation;
    if (this.isLoading || this.#isReloading) return;
    this.#isReloading = true;
    try {
      const items: T[] = [];
      let next: string | null = null;
      do {
        const page: Page<T> = await this.load(next);
        items.push(...page.items);
        next = page.next;
      } while (next && items.length < this.items.length);
      if (generation === this.#generation && isWanted()) {
        this.error = null;
        if (show(items)) {
          this.#next = next;
          this.isWhole = next === null;
        }
      }
    } catch (error) {
      if (generation === this.#generation) this.#fail(error, () => this.#reload(isWanted, show));
    } finally {
      if (generation === this.#generation) this.#isReloading = false;
    }
  }

  async #load(isFirst: boolean): Promise<void> {
    const generation = this.#generation;
    this.isLoading = true;
    this.error = null;
    try {
      for (let i = 0; i < EMPTY_PAGES; i++) {
        const page = await this.load(this.#next);
        if (generation !== this.#generation) return;
        this.#next = page.next;
        this.isWhole = page.next === null;
        if (page.items.length || this.isWhole || i === EMPTY_PAGES - 1) {
          this.items = isFirst ? page.items : [...this.items, ...page.items];
          return;
        }
      }
    } catch (error) {
      if (generation === this.#generation) this.#fail(error, () => this.#load(isFirst));
    } finally {
      if (generation === this.#generation) this.isLoading = false;
    }
  }

  #fail(error: unknown, again: () => Promise<void>): void {
    if (!(error instanceof Problem)) throw error;
    this.error = error;
    this.#again = again;
    clearTimeout(this.#timer);
    if (error.isOutage) this.#timer = setTimeout(() => { this.retry(); }, RETRY_MS) as unknown as number;
  }
}
