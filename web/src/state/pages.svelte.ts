/** A list that comes in pages: the next one is loaded when the end comes near. After an outage, what failed is loaded again. */
import { Problem } from "../api/http";
import type { Page } from "../api/model";
import { RETRY_MS } from "./loaded.svelte";

/** Where a page begins, and how many of the items are on it. */
interface Part {
  after: string | null;
  size: number;
}

/** Pages of a filter may be empty though there is more: so many are asked for before the reader must ask. */
const EMPTY_PAGES = 10;

export class Pages<T> {
  items = $state.raw<T[]>([]);
  isWhole = $state(false);
  isLoading = $state(false);
  error = $state<Problem | null>(null);
  /** Whether items were added or taken away meanwhile: they wait for `restart`, as rows must not move under a finger. */
  isOutdated = $state(false);
  /** Whether the last load left some of the pages as they were: how many items there are is not known exactly then. */
  isPartlyOld = $state(false);

  #next: string | null = null;
  #parts: Part[] = [];
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

  /** Load the first page again, and forget the others. What is shown stays until the first page has come. */
  async restart(): Promise<void> {
    this.#generation++;
    this.#next = null;
    this.#parts = [];
    this.isWhole = false;
    this.isLoading = this.#isReloading = false;
    this.isOutdated = this.isPartlyOld = false;
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
    return this.#reload(isWanted, null, this.items.length, (items, parts) => {
      this.items = items;
      this.#parts = parts;
      this.isPartlyOld = false;
      return true;
    });
  }

  /**
   * Load only the pages again that have the items from `first` to before `last`, and the next one. An item that has moved into them is taken out
   * of the other pages, which stay as they were loaded. The page behind them begins where they end now, once it is loaded again.
   */
  async reloadSeen(key: (item: T) => string, first: number, last: number, isWanted: () => boolean): Promise<void> {
    if (!this.#parts.length) return; // what is shown is from before a restart
    let sum = 0;
    const ends = this.#parts.map(({ size }) => (sum += size));
    const from = Math.max(0, ends.findIndex((end) => end > first));
    const to = Math.min(ends.length, (ends.findIndex((end) => end >= last) + 1 || ends.length) + 1);
    const count = (ends[to - 1] ?? 0) - (ends[from - 1] ?? 0);
    await this.#reload(isWanted, this.#parts[from]?.after ?? null, count, (items, parts, next) => {
      const now = new Set(items.map(key));
      const others = this.#parts.map(({ after, size }, i) => {
        const end = ends[i] ?? 0;
        return { after, items: this.items.slice(end - size, end).filter((item) => !now.has(key(item))) };
      });
      const before = others.slice(0, from);
      const behind = next === null ? [] : others.slice(to);
      if (behind[0]) behind[0].after = next;
      const sized = (some: typeof others): Part[] => some.map(({ after, items }) => ({ after, size: items.length }));
      this.items = [...before.flatMap((part) => part.items), ...items, ...behind.flatMap((part) => part.items)];
      this.#parts = [...sized(before), ...parts, ...sized(behind)];
      this.isPartlyOld = before.length + behind.length > 0;
      return behind.length === 0;
    });
  }

  /** Load the first pages again, as many as are shown now, and show what has changed in the items that are shown. */
  async catchUp(isWanted: () => boolean): Promise<void> {
    const { key } = this;
    if (!key || this.error) return;
    await this.#reload(isWanted, null, this.items.length, (items, parts) => {
      const found = new Map(items.map((item) => [key(item), item]));
      const isSame = this.items.every((item, i) => items[i] !== undefined && key(item) === key(items[i]));
      this.items = isSame ? items : this.items.map((item) => found.get(key(item)) ?? item);
      if (isSame) this.#parts = parts;
      this.isOutdated = !isSame;
      return isSame;
    });
  }

  /** The page is left: load nothing more. */
  close(): void {
    this.#generation++;
    clearTimeout(this.#timer);
  }

  /** Load pages from the cursor on until they have so many items. `show` returns whether the list goes on where they end. */
  async #reload(
    isWanted: () => boolean,
    after: string | null,
    count: number,
    show: (items: T[], parts: Part[], next: string | null) => boolean,
  ): Promise<void> {
    const generation = this.#generation;
    if (this.isLoading || this.#isReloading) return;
    this.#isReloading = true;
    try {
      const items: T[] = [];
      const parts: Part[] = [];
      let next = after;
      do {
        const page: Page<T> = await this.load(next);
        parts.push({ after: next, size: page.items.length });
        items.push(...page.items);
        next = page.next;
      } while (next && items.length < count);
      if (generation === this.#generation && isWanted()) {
        this.error = null;
        if (show(items, parts, next)) {
          this.#next = next;
          this.isWhole = next === null;
        }
      }
    } catch (error) {
      if (generation === this.#generation) this.#fail(error, () => this.#reload(isWanted, after, count, show));
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
        const after = this.#next;
        const page = await this.load(after);
        if (generation !== this.#generation) return;
        this.#next = page.next;
        this.isWhole = page.next === null;
        if (page.items.length || this.isWhole || i === EMPTY_PAGES - 1) {
          const part = { after, size: page.items.length };
          this.items = isFirst ? page.items : [...this.items, ...page.items];
          this.#parts = isFirst ? [part] : [...this.#parts, part];
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
