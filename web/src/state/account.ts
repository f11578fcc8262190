/** What the account page asks of the API in more than one call. */
import { api } from "../api/api";
import { Problem } from "../api/http";

/** What the deletion of an account ends, counted when the reader is asked. */
export interface Belongings {
  waiting: number;
  running: number;
  keys: number;
}

export async function belongings(): Promise<Belongings> {
  const [queue, keys] = await Promise.all([api.queue(), api.keys()]);
  return { waiting: queue.queued, running: queue.running, keys: keys.length };
}

const PAUSE_MS = 1000;

/** Delete the account. A long history takes several calls; `onPart` is called after each. Throws Problem. */
export async function deleteAccount(password: string, onPart: () => void): Promise<void> {
  for (;;) {
    try {
      await api.deleteAccount(password);
      return;
    } catch (error) {
      if (!(error instanceof Problem) || !error.document?.type.endsWith("history-long")) throw error;
      onPart();
      await new Promise((resolve) => setTimeout(resolve, (error.retryAfterSeconds ?? 0) * 1000 || PAUSE_MS));
    }
  }
}
