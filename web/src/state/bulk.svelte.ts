/** An action on many dead letters, one page after another, with progress, that can be stopped between pages. */
import { api, type DeadLetterFilter } from "../api/api";
import { Problem } from "../api/http";
import type { Job } from "../api/model";

const PAGE = 100;

export interface Outcome {
  done: number;
  /** What could not be done, and why. */
  refused: { user: string; job_id: string; detail: string }[];
  /** Why it ended before the end; null where it did not. */
  error: Problem | null;
}

export class Bulk {
  /** How many are done, while it runs; null otherwise. */
  done = $state<number | null>(null);
  total = $state(0);
  #isStopped = false;

  stop(): void {
    this.#isStopped = true;
  }

  /**
   * Enqueue those that match again, no more than the `total` that the reader has confirmed: each user's in the order in which
   * they were accepted.
   */
  retry(filter: DeadLetterFilter, total: number): Promise<Outcome> {
    let after = "";
    return this.#run(total, async (outcome) => {
      const left = total - outcome.done - outcome.refused.length;
      const part = await api.retryMany(filter, after, Math.min(PAGE, left));
      outcome.done += part.count;
      outcome.refused.push(...part.refused);
      after = part.next ?? "";
      return part.next !== null && outcome.done + outcome.refused.length < total;
    });
  }

  /** Drop these, in order. */
  drop(jobs: readonly Job[]): Promise<Outcome> {
    return this.#each(jobs, api.drop);
  }

  /** Retry these, in order. */
  retryThese(jobs: readonly Job[]): Promise<Outcome> {
    return this.#each(jobs, api.retry);
  }

  /** Drop all that match, also those that the page has not loaded. */
  dropAll(filter: DeadLetterFilter, total: number): Promise<Outcome> {
    let after: string | null = null;
    return this.#run(total, async (outcome) => {
      const page = await api.deadLetters(filter, after);
      for (const job of page.items) {
        if (this.#isStopped) return false;
        await this.#drop(job);
        this.done = ++outcome.done;
      }
      after = page.next;
      return after !== null;
    });
  }

  #each(jobs: readonly Job[], action: (job: Job) => Promise<unknown>): Promise<Outcome> {
    const left = jobs.values();
    return this.#run(jobs.length, async (outcome) => {
      const { value: job } = left.next();
      if (!job) return false;
      await action(job);
      outcome.done++;
      return true;
    });
  }

  /** Another administrator may have dropped it first. */
  async #drop(job: Job): Promise<void> {
    try {
      await api.drop(job);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
    }
  }

  /** Call `part` until it returns false, fails or is stopped. */
  async #run(total: number, part: (outcome: Outcome) => Promise<boolean>): Promise<Outcome> {
    const outcome: Outcome = { done: 0, refused: [], error: null };
    this.#isStopped = false;
    this.total = total;
    this.done = 0;
    try {
      while (!this.#isStopped && (await part(outcome))) this.done = outcome.done;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      outcome.error = error;
    } finally {
      this.done = null;
    }
    return outcome;
  }
}
