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
/** Of so many jobs that no longer fit the search the state is asked for one by one. Beyond that the list begins anew. */
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
  isOther: boolean;
}

export class JobList {
  readonly pages: Pages<Job>;
  /** Jobs that came after the list was loaded. */
  newer = $state.raw(new Set<string>());
  readonly #missed: Loaded<Changes>;
  /** Events since a load of what was missed has begun, while it lasts: its answer may be older. */
  #events: JobEvent[] | null = null;

  constructor(
    readonly search: () => Search,
    isFollowed: () => boolean,
  ) {
    this.pages = new Pages((cursor) => api.jobs({ ...search(), limit: PAGE, before: cursor }));
    this.#missed = new Loaded(async () => this.#changes(), isFollowed, (changes) => { this.#show(changes); });
  }

  /** Begin anew. */
  async show(): Promise<void> {
    this.newer = new Set();
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
    if (refresh === "missed") this.#missed.soon();
    else if (refresh === "asked") void this.#missed.refresh();
  }

  close(): void {
    this.#missed.close();
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
    const top = newest ? (await api.jobs({ ...search, limit: PAGE })).items : [];
    const newer = top.map((job) => job.job_id).filter((id) => id > (newest?.job_id ?? ""));
    const open = items.filter((job) => !hasEnded(job.state) || job.finished_at === null);
    const jobs = await found(search, open);
    const others = open.filter((job) => !jobs.has(job.job_id));
    const isOther = others.length > MOST_ASKED_ONE_BY_ONE;
    for (let i = 0; i < others.length && !isOther; i += ASKED_TOGETHER) {
      for (const job of await Promise.all(others.slice(i, i + ASKED_TOGETHER).map(one))) if (job) jobs.set(job.job_id, job);
    }
    return { search, jobs, newer, isOther };
  }

  #show({ search, jobs, newer, isOther, events }: Changes): void {
    if (search !== this.search()) return; // the list has begun anew
    if (isOther) {
      void this.show();
      return;
    }
    this.pages.items = apply(this.pages.items.map((job) => jobs.get(job.job_id) ?? job), events);
    if (newer.length) this.newer = new Set([...this.newer, ...newer]);
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

/** The job as it is now; null if it is kept no more. */
async function one({ job_id }: Job): Promise<Job | null> {
  try {
    return await api.job(job_id);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}
