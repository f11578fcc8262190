/** A list that comes in pages: the next one is loaded when the end comes near. */
import { Problem } from "../api/http";
import type { Page } from "../api/model";

/** Pages of a filter may be empty though there is more: so many are asked for before the reader must ask. */
const EMPTY_PAGES = 10;

export class Pages<T> {
  items = $state.raw<T[]>([]);
  isWhole = $state(false);
  isLoading = $state(false);
  error = $state<Problem | null>(null);

  #next: string | null = null;
  #generation = 0;

  constructor(readonly load: (after: string | null) => Promise<Page<T>>) {}

  /** Begin anew. What is shown stays until the first page has come. */
  async restart(): Promise<void> {
    this.#generation++;
    this.#next = null;
    this.isWhole = false;
    this.isLoading = false;
    await this.#load(true);
  }

  more(): void {
    if (!this.isWhole && !this.isLoading && !this.error) void this.#load(false);
  }

  retry(): void {
    this.error = null;
    this.more();
  }

  /** Load the first pages again, as many as are shown now, and replace them in one go, if they are still wanted then. */
  async reload(isWanted: () => boolean = () => true): Promise<void> {
    const generation = this.#generation;
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      const items: T[] = [];
      let next: string | null = null;
      do {
        const page: Page<T> = await this.load(next);
        items.push(...page.items);
        next = page.next;
      } while (next && items.length < this.items.length);
      if (generation === this.#generation && isWanted()) {
        this.items = items;
        this.#next = next;
        this.isWhole = next === null;
        this.error = null;
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      if (generation === this.#generation) this.isLoading = false;
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
      if (generation === this.#generation) this.#failed(error);
    } finally {
      if (generation === this.#generation) this.isLoading = false;
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof Problem)) throw error;
    this.error = error;
  }
}
