/** An action on the dead letters that the reader has chosen, one after another, with progress, that can be stopped in between. */
import { api } from "../api/api";
import { Problem } from "../api/http";
import type { Job } from "../api/model";

export interface Outcome {
  done: number;
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

  /** Drop these, in order. */
  drop(jobs: readonly Job[]): Promise<Outcome> {
    return this.#each(jobs, api.drop);
  }

  /** Retry these, in order. */
  retryThese(jobs: readonly Job[]): Promise<Outcome> {
    return this.#each(jobs, api.retry);
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

  /** Call `part` until it returns false, fails or is stopped. */
  async #run(total: number, part: (outcome: Outcome) => Promise<boolean>): Promise<Outcome> {
    const outcome: Outcome = { done: 0, error: null };
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
