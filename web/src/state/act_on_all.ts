/** Acts on all jobs that match: counts them, asks, follows the operation and reports its end. */
import { api, type Work } from "../api/api";
import type { Operation } from "../api/model";
import { confirmed } from "../components/Confirm.svelte";
import { count, plural } from "../format";
import { notes } from "./notes.svelte";
import type { Followed } from "./operation.svelte";

const DONE = { cancel: "cancelled or asked to stop", retry: "enqueued again", drop: "dropped" } as const;

/** What to ask: `text` gets the number of jobs in words. */
export interface Question {
  verb: string;
  noun: string;
  text: (many: string) => string;
  danger: boolean;
}

/** True if something may have changed. */
export async function actOnAll(followed: Followed, work: Work, question: Question): Promise<boolean> {
  try {
    const { count: found, at_least: isLow, as_of: asOf } = await api.countMatching(work);
    if (!found) {
      notes.say("done", "Nothing matches.");
      return false;
    }
    const many = isLow ? `at least ${count(found)} ${question.noun}s` : plural(found, question.noun);
    const action = `${question.verb} ${many}`;
    if (!(await confirmed(`${action}?`, question.text(many), action, question.danger))) return false;
    report(await followed.run(work, asOf));
  } catch (error) {
    notes.failed(error);
  }
  return true;
}

/** Follow an operation that was left running, if there is one. True if something may have changed. */
export async function followOn(followed: Followed, actions: readonly Work["action"][]): Promise<boolean> {
  try {
    const ended = await followed.resume(actions);
    report(ended);
    return ended !== null;
  } catch (error) {
    notes.failed(error);
    return false;
  }
}

function report(ended: Operation | null): void {
  if (!ended) return;
  const stopped = ended.state === "cancelled" ? "Stopped: " : "";
  notes.say("done", `${stopped}${plural(ended.done, "job")} ${DONE[ended.action]}.`);
  const [first] = ended.reasons;
  if (first) notes.say("failed", `${plural(ended.not_done, "job")} stayed: ${first.reason}.`);
}
