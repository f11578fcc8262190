/**
 * The list of a user's jobs, newest first. Events keep it up to date, and after events were missed the API does. Rows never move under a finger: a
 * job that came later is not in the list until the reader asks for it, and one that no longer fits the search stays in its place.
 */
import { api } from "../api/api";
import { Problem } from "../api/http";
import { hasEnded, type Job } from "../api/model";
import type { Search } from "../search";
import { apply } from "./lane.svelte";
import type { JobEvent, Refresh } from "./live.svelte";
import { Loaded } from "./loaded.svelte";
import { Pages } from "./pages.svelte";

const PAGE = 50;
const PAGE_TO_CATCH_UP = 100;
/** Up to this many jobs that no longer fit the search are asked for one by one. If there are more, the list is loaded anew. */
const MOST_ASKED_ONE_BY_ONE = 50;
const ASKED_TOGETHER = 10;

/** The cursor of the page that begins with this job. */
const before = (id: string): string => (BigInt(`0x${id}`) + 1n).toString(16).padStart(id.length, "0");

interface Changes {
  search: Search;
  jobs: Map<string, Job>;
  newer: string[];
  /** What has come since. */
  events: JobEvent[];
  /** Too many jobs no longer fit the search. */
  hasTooMany: boolean;
}

export class JobList {
  readonly pages: Pages<Job>;
  /** Jobs that came after the list was loaded. */
  newer = $state.raw(new Set<string>());
  readonly #missed: Loaded<Changes>;
  /** Jobs in the list that ended by an event, which says neither when nor why: they are asked for, a few at a time. */
  #ended = new Set<string>();
  readonly #ends: Loaded<Map<string, Job | null>>;
  /** Events since a load of what was missed has begun, while it lasts: its answer may be older. */
  #events: JobEvent[] | null = null;

  constructor(
    readonly search: () => Search,
    isFollowed: () => boolean,
  ) {
    this.pages = new Pages((cursor) => api.jobs({ ...search(), limit: PAGE, before: cursor }));
    this.#missed = new Loaded(async () => this.#changes(), isFollowed, (changes) => { this.#show(changes); });
    this.#ends = new Loaded(async () => ones([...this.#ended].slice(0, ASKED_TOGETHER)), isFollowed, (jobs) => { this.#showEnds(jobs); });
  }

  /** Begin anew. */
  async show(): Promise<void> {
    this.newer = new Set();
    this.#ended.clear();
    await this.pages.restart();
  }

  /** Show what the events tell, and ask for what they do not. `isAll`: every job fits the search. */
  take(events: JobEvent[], refresh: Refresh, isAll: boolean): void {
    const { items } = this.pages;
    this.pages.items = apply(items, events);
    this.#events?.push(...events);
    const newest = items[0]?.job_id ?? "";
    const newer = events.filter((event) => event.event === "state" && event.job_id > newest).map((event) => event.job_id);
    if (newer.length && isAll) this.newer = new Set([...this.newer, ...newer]);
    const ended = new Set(events.filter((event) => event.event === "state" && hasEnded(event.state)).map((event) => event.job_id));
    if (ended.size) for (const { job_id } of items) if (ended.has(job_id)) this.#ended.add(job_id);
    if (this.#ended.size) this.#ends.soon();
    if (refresh === "missed") this.#missed.soon();
    else if (refresh === "asked") void this.#missed.refresh();
  }

  close(): void {
    this.#missed.close();
    this.#ends.close();
  }

  async #changes(): Promise<Changes> {
    const events: JobEvent[] = (this.#events = []);
    try {
      return { ...(await this.#found()), events };
    } finally {
      this.#events = null;
    }
  }

  async #found(): Promise<Omit<Changes, "events">> {
    const search = this.search();
    const { items } = this.pages;
    const [newest] = items;
    const top = newest || this.pages.isWhole ? (await api.jobs({ ...search, limit: PAGE })).items : [];
    const newer = top.map((job) => job.job_id).filter((id) => id > (newest?.job_id ?? ""));
    const open = items.filter((job) => !hasEnded(job.state) || job.finished_at === null);
    const jobs = await found(search, open);
    const others = open.filter((job) => !jobs.has(job.job_id));
    const hasTooMany = others.length > MOST_ASKED_ONE_BY_ONE;
    for (let i = 0; i < others.length && !hasTooMany; i += ASKED_TOGETHER) {
      for (const [id, job] of await ones(others.slice(i, i + ASKED_TOGETHER).map((other) => other.job_id))) if (job) jobs.set(id, job);
    }
    return { search, jobs, newer, hasTooMany };
  }

  #show({ search, jobs, newer, hasTooMany, events }: Changes): void {
    if (search !== this.search()) return; // the list has begun anew
    if (hasTooMany) {
      void this.show();
      return;
    }
    this.pages.items = apply(this.pages.items.map((job) => jobs.get(job.job_id) ?? job), events);
    if (newer.length) this.newer = new Set([...this.newer, ...newer]);
  }

  #showEnds(jobs: Map<string, Job | null>): void {
    for (const id of jobs.keys()) this.#ended.delete(id);
    this.pages.items = this.pages.items.map((job) => {
      const now = jobs.get(job.job_id);
      return now && hasEnded(now.state) ? now : job;
    });
    if (this.#ended.size) this.#ends.soon();
  }
}

/** These jobs, in the order of the list, as they are now, if they still fit the search. */
async function found(search: Search, jobs: readonly Job[]): Promise<Map<string, Job>> {
  const result = new Map<string, Job>();
  const [first, last] = [jobs[0], jobs.at(-1)];
  if (!first || !last) return result;
  let cursor: string | null = before(first.job_id);
  while (cursor && cursor > last.job_id) {
    const page: { items: Job[]; next: string | null } = await api.jobs({ ...search, limit: PAGE_TO_CATCH_UP, before: cursor });
    for (const job of page.items) result.set(job.job_id, job);
    cursor = page.next;
  }
  return result;
}

/** These jobs as they are now, asked for together; null for one that is kept no more. */
const ones = async (ids: readonly string[]): Promise<Map<string, Job | null>> =>
  new Map(await Promise.all(ids.map(async (id): Promise<[string, Job | null]> => [id, await one(id)])));

async function one(id: string): Promise<Job | null> {
  try {
    return await api.job(id);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}
