/**
 * Runs the race: two users, made for the first race in a tab, whose jobs go through the real system. Their tokens are kept for this tab alone
 * (sessionStorage), and their passwords nowhere.
 */
import { api, newKey } from "../api/api";
import { Problem, send } from "../api/http";
import type { Queue, Ring } from "../api/model";
import { type Verdict, verdict } from "../race";
import { live } from "./live.svelte";

export const ANNS_JOBS = 1000;
const POLL_MS = 200;
const PAGE = 100;
/** Where this tab keeps its racers, so that not every race leaves two more accounts. They can do nothing but own the jobs of a race. */
const KEY = "laneway.race";
/** Enough pixels that a job takes some milliseconds of a process, and few enough that 1,000 fit into one batch. */
const PICTURE_PIXELS = 512;

type Racer = "ann" | "bob";
interface Job {
  enqueued_at: string;
  started_at: string | null;
  state: string;
}

/** A user who has logged in. */
class User {
  constructor(
    readonly name: string,
    readonly token: string,
  ) {}

  static async make(username: string): Promise<User> {
    const body = JSON.stringify({ username, password: newKey() });
    await send("api/register", { method: "POST", body });
    const reply = await send("api/login", { method: "POST", body });
    return new User(username, ((await reply.json()) as { token: string }).token);
  }

  async ask<T>(path: string, body?: unknown): Promise<T> {
    const call = body === undefined ? {} : { method: "POST" as const, body: JSON.stringify(body) };
    return (await (await send(path, { token: this.token, ...call })).json()) as T;
  }
}

/** A picture for the handler `thumbnail`, as base64. */
function picture(): string {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PICTURE_PIXELS;
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = "#1c5fd4";
    context.fillRect(0, 0, PICTURE_PIXELS, PICTURE_PIXELS);
  }
  return canvas.toDataURL("image/jpeg", 0.5).replace(/^.*,/, "");
}

class Race {
  isRunning = $state(false);
  error = $state<Problem | null>(null);
  names = $state.raw<Record<Racer, string> | null>(null);
  /** Whose jobs have started, in order; while the race runs as often as it is asked. */
  starts = $state.raw<Racer[]>([]);
  /** The lanes as they are now. */
  lanes = $state.raw<Record<Racer, Queue> | null>(null);
  /** How long Bob's job has waited, by the server's clock, as soon as it has started. */
  bobMs = $state<number | null>(null);
  /** How long the race has lasted since Bob's job was accepted: in a single queue it would still wait. */
  lastedMs = $state(0);
  verdict = $state.raw<Verdict | null>(null);

  async start(): Promise<void> {
    this.isRunning = true;
    this.error = null;
    this.verdict = null;
    this.starts = [];
    this.bobMs = null;
    this.lastedMs = 0;
    try {
      await this.#run();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.error = error;
    } finally {
      this.isRunning = false;
    }
  }

  async #run(): Promise<void> {
    const { ann, bob } = await racers();
    this.names = { ann: ann.name, bob: bob.name };
    const { workers } = await api.workers();
    const request = { type: "thumbnail", request: { image: picture(), size: 16 } };
    const sent = await ann.ask<{ job_ids: string[] }>("api/enqueue/batch", { requests: Array.from({ length: ANNS_JOBS }, () => request) });
    const { job_id } = await bob.ask<{ job_id: string }>("api/enqueue", request);
    const slots = await this.#watch(ann, bob, job_id);
    const bobs = await bob.ask<Job>(`api/jobs/${job_id}`);
    const ids = new Set(sent.job_ids);
    const annStarts = await startsOf(ann, ids);
    const bobStarted = Date.parse(bobs.started_at ?? bobs.enqueued_at);
    const processes = workers.reduce((sum, worker) => sum + worker.processes, 0);
    this.verdict = verdict({ ann: annStarts, bobAccepted: Date.parse(bobs.enqueued_at), bobStarted, processes, slots });
    this.starts = Array.from({ length: annStarts.length + 1 }, (_, i) => (i + 1 === this.verdict?.place ? "bob" : "ann"));
  }

  /** Follow both lanes until they are empty. Returns Ann's slots. */
  async #watch(ann: User, bob: User, bobsJob: string): Promise<number> {
    for (;;) {
      const [ring, anns, bobs, job] = await Promise.all([
        api.ring(1),
        ann.ask<Queue>("api/queue"),
        bob.ask<Queue>("api/queue"),
        bob.ask<Job>(`api/jobs/${bobsJob}`),
      ]);
      if (live.isFollowed) this.#draw(ring, anns, bobs, job);
      if (anns.queued + anns.running + bobs.queued + bobs.running === 0) return anns.slots;
      await pause(POLL_MS);
    }
  }

  /** `ring` has the server's time. */
  #draw(ring: Ring, anns: Queue, bobs: Queue, job: Job): void {
    const started = this.starts.filter((racer) => racer === "ann").length;
    const more: Racer[] = Array.from({ length: Math.max(0, ANNS_JOBS - anns.queued - started) }, () => "ann");
    const accepted = Date.parse(job.enqueued_at);
    if (job.started_at !== null) this.bobMs = Date.parse(job.started_at) - accepted;
    this.lastedMs = Math.max(0, Date.parse(ring.at) - accepted);
    if (job.started_at !== null && !this.starts.includes("bob")) more.unshift("bob");
    this.lanes = { ann: anns, bob: bobs };
    this.starts = [...this.starts, ...more];
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The racers of this tab, or new ones if it has none whose tokens are still accepted. */
async function racers(): Promise<Record<Racer, User>> {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Record<Racer, { name: string; token: string }> | null;
  if (kept) {
    try {
      const users = { ann: new User(kept.ann.name, kept.ann.token), bob: new User(kept.bob.name, kept.bob.token) };
      await Promise.all([users.ann.ask("api/queue"), users.bob.ask("api/queue")]);
      return users;
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) throw error; // their tokens have expired, or the data folder is another one
    }
  }
  const suffix = newKey().slice(0, 6);
  const users = { ann: await User.make(`ann-${suffix}`), bob: await User.make(`bob-${suffix}`) };
  sessionStorage.setItem(KEY, JSON.stringify(users));
  return users;
}

/** When these jobs started, in ms since 1970. */
async function startsOf(user: User, ids: ReadonlySet<string>): Promise<number[]> {
  const starts: number[] = [];
  let before: string | null = null;
  do {
    const page: { jobs: (Job & { job_id: string })[]; next: string | null } = await user.ask(`api/jobs?limit=${PAGE}${before ? `&before=${before}` : ""}`);
    starts.push(...page.jobs.filter((job) => ids.has(job.job_id) && job.started_at).map((job) => Date.parse(job.started_at ?? "")));
    before = page.next;
  } while (before && starts.length < ids.size);
  return starts;
}

export const race = new Race();
