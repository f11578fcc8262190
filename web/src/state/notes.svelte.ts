/** Short notes on what was done or went wrong. */
import { Problem } from "../api/http";

export interface Note {
  id: number;
  kind: "done" | "failed";
  text: string;
  /** A view to go on to. */
  link?: { path: string; label: string };
}

const SECONDS = 6;

class Notes {
  list = $state<Note[]>([]);
  #last = 0;

  say(kind: Note["kind"], text: string, link?: Note["link"]): void {
    const note: Note = { id: ++this.#last, kind, text, ...(link ? { link } : {}) };
    this.list = [...this.list.slice(-2), note];
    setTimeout(() => {
      this.drop(note.id);
    }, SECONDS * 1000);
  }

  /** Say that a call has failed. Throws what is not the API's. */
  failed(error: unknown): void {
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 401) this.say("failed", error.message); // a log-in opens, and says it
  }

  /** Do something, and say that it is done or that it has failed. */
  async attempt(done: string, action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.say("done", done);
    } catch (error) {
      this.failed(error);
    }
  }

  drop(id: number): void {
    this.list = this.list.filter((note) => note.id !== id);
  }
}

export const notes = new Notes();
