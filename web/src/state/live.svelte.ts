/**
 * What happens to the user's jobs, as it happens: one stream of server-sent events for the whole page, opened again when it breaks.
 * It only watches: the page is no presence, so closing it changes nothing. It is read with `fetch`, since EventSource could send the token only in the address.
 */
import { Problem, send } from "../api/http";
import type { JobState, LogLine } from "../api/model";
import { session } from "./session.svelte";

export type JobEvent =
  | { event: "state"; job_id: string; state: JobState; attempts: number }
  | { event: "progress"; job_id: string; percent: number; note: string | null }
  | { event: "log"; job_id: string; attempt: number; lines: LogLine[] };

type Message = JobEvent | { event: "connected"; heartbeat_seconds: number } | { event: "missed" };

/** What else a listener has to do: ask for the state, as events were missed, or as the reader did something and wants to see it. */
export type Refresh = "none" | "missed" | "asked";
export type Listener = (events: JobEvent[], refresh: Refresh) => void;

export type Status = "connecting" | "live" | "lost" | "stopped";

const RETRY_SECONDS = [1, 2, 4, 8, 15];
const SILENT_HEARTBEATS = 2.5;
const STOPPED = "stopped";
/** Most events that wait to be published: browsers run the timers of a hidden page once a minute. Beyond that they are dropped, and listeners load the state. */
const MAX_WAITING = 2000;

class Live {
  status = $state<Status>("connecting");
  /** Since when nothing has come, where the connection is lost or stopped. */
  since = $state(0);
  retryAt = $state(0);

  readonly #listeners = new Set<Listener>();
  #waiting: JobEvent[] = [];
  #isDue = false;
  #hasDropped = false;
  /** The newest message that has come, and to whom: a new stream goes on after it. */
  #lastId = "";
  #lastUser = "";
  #abort: AbortController | null = null;
  #wake: (() => void) | null = null;
  #watchdog = 0;
  #silentMs = 30_000;

  /** Call the listener, at most once a frame, until the function returned is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hold the stream open until the function returned is called. */
  open(): () => void {
    let ended = false;
    const run = async (): Promise<void> => {
      for (let tries = 0; !ended; ) {
        if (!this.isFollowed) {
          await this.#sleep(Infinity);
          continue;
        }
        this.#abort = new AbortController();
        const { signal } = this.#abort;
        const wasLive = await this.#read(signal);
        if (ended || signal.reason === STOPPED) continue;
        tries = wasLive ? 0 : tries + 1;
        this.#lost();
        const seconds = (RETRY_SECONDS[Math.min(tries, RETRY_SECONDS.length - 1)] ?? 15) * (0.75 + Math.random() / 2);
        this.retryAt = Date.now() + seconds * 1000;
        await this.#sleep(seconds * 1000);
      }
    };
    this.status = "connecting";
    void run();
    const again = (): void => {
      this.retry();
    };
    window.addEventListener("online", again);
    return () => {
      ended = true;
      window.removeEventListener("online", again);
      this.#abort?.abort();
      this.#wake?.();
    };
  }

  /** Whether the page changes by itself. Where it does not, only what the reader asks for is shown. */
  get isFollowed(): boolean {
    return this.status !== "stopped";
  }

  /** Do not wait for the next try. */
  retry(): void {
    if (this.status === "lost") this.#wake?.();
  }

  /** Leave the page as it is: events that wait to be published are dropped, and loads under way show nothing. */
  stop(): void {
    if (this.status !== "lost") this.since = Date.now();
    this.status = "stopped";
    this.#waiting = [];
    this.#hasDropped = false;
    this.#abort?.abort(STOPPED);
  }

  /** Show what the reader has just done, where no event will. */
  acted(): void {
    if (this.status !== "live") this.#publish("asked");
  }

  go(): void {
    this.status = "connecting";
    this.#wake?.();
  }

  #lost(): void {
    if (this.status !== "lost") this.since = Date.now();
    this.status = "lost";
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (ms !== Infinity) setTimeout(resolve, ms);
    });
  }

  /** Read the stream to its end; whether it has been live. */
  async #read(signal: AbortSignal): Promise<boolean> {
    let wasLive = false;
    const token = session.token;
    try {
      if (this.#lastUser !== session.user) this.#lastId = "";
      this.#lastUser = session.user;
      const after = this.#lastId ? { "last-event-id": this.#lastId } : {};
      const response = await send("api/events", { token, signal, headers: { accept: "text/event-stream", ...after } });
      const reader = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        this.#watch();
        const { done, value } = await reader.read();
        if (done) break;
        const messages = (rest + value).split("\n\n");
        rest = messages.pop() ?? "";
        for (const message of messages) wasLive = this.#take(message) || wasLive;
      }
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && token === session.token) session.expire();
    } finally {
      clearTimeout(this.#watchdog);
    }
    return wasLive;
  }

  /** Half-open connections are noticed: the server writes at every heartbeat. */
  #watch(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#abort?.abort(), this.#silentMs) as unknown as number;
  }

  /** Whether it was a message, and not only a sign of life. */
  #take(message: string): boolean {
    const line = message.split("\n").find((part) => part.startsWith("data: "));
    if (!line) return false;
    const data = JSON.parse(line.slice(6)) as { id?: string } & Message;
    if (data.id) this.#lastId = data.id;
    if (data.event === "connected") {
      this.#silentMs = data.heartbeat_seconds * 1000 * SILENT_HEARTBEATS;
      this.status = "live";
      this.#publish("missed");
    } else if (data.event === "missed") this.#publish("missed");
    else {
      if (!this.#isDue) {
        this.#isDue = true;
        setTimeout(() => {
          this.#isDue = false;
          this.#publish(this.#hasDropped ? "missed" : "none");
        }, 100);
      }
      if (this.#waiting.length === MAX_WAITING) {
        this.#waiting = [];
        this.#hasDropped = true;
      }
      this.#waiting.push(data);
    }
    return true;
  }

  #publish(refresh: Refresh): void {
    const events = this.#waiting;
    this.#waiting = [];
    this.#hasDropped = false;
    if (!events.length && refresh === "none") return;
    for (const listener of this.#listeners) listener(events, refresh);
  }
}

export const live = new Live();
