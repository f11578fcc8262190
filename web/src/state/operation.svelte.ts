/** An operation of the reader: counted, confirmed, started, followed to its end. The API goes on with it when the page is left. */
import { api, type Work } from "../api/api";
import { Problem } from "../api/http";
import type { Operation } from "../api/model";

const POLL_MS = 300;

export class Followed {
  /** The operation that runs, null if none does. */
  running = $state.raw<Operation | null>(null);
  #isLeft = false;

  /** Follow an operation that was started before, on this page or elsewhere. Its end is reported as that of any other. */
  async resume(actions: readonly Work["action"][]): Promise<Operation | null> {
    const found = (await api.operations(10)).find((one) => one.state === "running" && actions.includes(one.action));
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

  async #follow(operation: Operation): Promise<Operation | null> {
    this.running = operation;
    try {
      while (this.running.state === "running") {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        if (this.#isLeft) return null;
        this.running = await api.operation(operation.operation_id);
      }
      return this.running;
    } finally {
      this.running = null;
    }
  }
}
