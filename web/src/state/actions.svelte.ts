/** What can be done with a job, the same from every view. */
import { api, newKey } from "../api/api";
import { type Enqueued, hasEnded, type Job, type JobState } from "../api/model";
import { confirmed } from "../components/Confirm.svelte";
import { live } from "./live.svelte";
import { notes } from "./notes.svelte";

interface Draft {
  type: string;
  request: string;
}

class Actions {
  /** The request that is being written in the dialog; null while that is closed. */
  draft = $state<Draft | null>(null);
  /** Types that were seen, to choose from. */
  types = $state<string[]>([]);

  write(draft: Draft = { type: this.types[0] ?? "echo", request: "{}" }): void {
    this.draft = draft;
  }

  seen(jobs: readonly Job[]): void {
    const known = new Set([...this.types, ...jobs.map((job) => job.type)]);
    if (known.size > this.types.length) this.types = [...known].sort();
  }

  /** The job's id. Throws Problem. */
  async enqueue(type: string, request: string, key = newKey()): Promise<string> {
    return this.#accepted(await api.enqueue(type, request, key));
  }

  #accepted(accepted: Enqueued): string {
    const place = accepted.position > 1 ? `: number ${accepted.position} in your lane` : "";
    live.acted();
    notes.say("done", `Accepted${place}.`, { path: `jobs/${accepted.job_id}`, label: "Open" });
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
