/** What can be done with a job, the same from every view. */
import { api, newKey } from "../api/api";
import { Problem } from "../api/http";
import { type Enqueued, hasEnded, type Job, type JobState, type Type } from "../api/model";
import { confirmed } from "../components/Confirm.svelte";
import type { Timing } from "../timing";
import { live } from "./live.svelte";
import { notes } from "./notes.svelte";

interface Draft {
  type: string;
  request: string;
  /** That of the job whose request is changed and run again. */
  uniqueKey?: string | null;
}

class Actions {
  /** The request that is being written in the dialog; null while that is closed. */
  draft = $state<Draft | null>(null);
  /** What can be enqueued, to choose from; empty until the API has said it. */
  types = $state.raw<readonly Type[]>([]);

  write(draft?: Draft): void {
    this.draft = draft ?? { type: this.types.find(({ name }) => name === "echo")?.name ?? this.types[0]?.name ?? "echo", request: "{}" };
    void this.loadTypes();
  }

  async loadTypes(): Promise<void> {
    try {
      this.types = await api.types();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // any type can be typed, and the API checks it
    }
  }

  /** The job's id. Throws Problem. */
  async enqueue(type: string, request: string, key = newKey(), uniqueKey: string | null = null, timing: Timing = {}): Promise<string> {
    return this.#accepted(await api.enqueue(type, request, key, uniqueKey, timing));
  }

  #accepted(accepted: Enqueued): string {
    const place = accepted.position > 1 ? `: number ${accepted.position} in your lane` : "";
    live.acted();
    const text = accepted.duplicate ? "No job was made: this one has the same unique key and has not ended." : `Accepted${place}.`;
    notes.say("done", text, { path: `jobs/${accepted.job_id}`, label: "Open" });
    return accepted.job_id;
  }

  /** The new job's id, or null where it was refused, which is said. */
  async again(job: Job): Promise<string | null> {
    try {
      return this.#accepted(await api.again(job.job_id, newKey()));
    } catch (error) {
      notes.failed(error);
      return null;
    }
  }

  async cancel(job: { job_id: string; type: string; state: JobState }): Promise<void> {
    if (hasEnded(job.state)) return;
    const text =
      job.state === "running"
        ? "It runs now. Its handler is asked to stop; if it ends first, the job still succeeds or fails."
        : "It will not run. It stays in your history as cancelled.";
    if (!(await confirmed(`Cancel this ${job.type} job?`, text, "Cancel the job"))) return;
    try {
      const { state } = await api.cancel(job.job_id);
      live.acted();
      notes.say("done", state === "cancelled" ? "Cancelled." : "Asked to stop.");
    } catch (error) {
      notes.failed(error);
    }
  }
}

export const actions = new Actions();
