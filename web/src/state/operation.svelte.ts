/** An operation of the reader: counted, confirmed, started, followed to its end. The API goes on with it when the page is left. */
import { api, type Work } from "../api/api";
import { Problem } from "../api/http";
import type { Operation } from "../api/model";

const POLL_MS = 300;
/** How long to wait before asking again while the server does not answer. */
const RETRY_MS = 3000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Followed {
  /** The operation that runs, null if none does. */
  running = $state.raw<Operation | null>(null);
  #isLeft = false;

  /** Follow an operation that was started before, on this page or elsewhere. Its end is reported as that of any other. */
  async resume(actions: readonly Work["action"][]): Promise<Operation | null> {
    const found = (await this.#answer(() => api.operations(10)))?.find((one) => one.state === "running" && actions.includes(one.action));
    return found && !this.running ? this.#follow(found) : null;
  }

  /** Start it and follow it; null if the page was left before its end. */
  async run(work: Work, asOf: string): Promise<Operation | null> {
    const started = await api.startOperation(work, asOf);
    return started && this.#follow(started);
  }

  /** End the operation. What has been done stays done. */
  async stop(): Promise<void> {
    if (!this.running) return;
    try {
      await api.cancelOperation(this.running.operation_id);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409) throw error; // it has just ended
    }
  }

  /** The page is left: follow no more. */
  leave(): void {
    this.#isLeft = true;
  }

  /** Ask until there is an answer; null if the page was left before. */
  async #answer<T>(ask: () => Promise<T>): Promise<T | null> {
    while (!this.#isLeft) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof Problem && error.isOutage)) throw error;
        await pause(RETRY_MS);
      }
    }
    return null;
  }

  async #follow(operation: Operation): Promise<Operation | null> {
    this.running = operation;
    try {
      while (this.running.state === "running") {
        await pause(POLL_MS);
        const next = await this.#answer(() => api.operation(operation.operation_id));
        if (!next) return null;
        this.running = next;
      }
      return this.running;
    } finally {
      this.running = null;
    }
  }
}
