/**
 * The list of a user's jobs, newest first. Events keep it up to date, and after events were missed the API does. Rows never move under a finger: a
 * job that came later is not in the list until the reader asks for it, and one that no longer fits the search stays in its place.
 */
import { api } from "../api/api";
import { hasEnded, type Job } from "../api/model";
import type { Search } from "../search";
import { apply } from "./lane.svelte";
import type { JobEvent, Refresh } from "./live.svelte";
import { Loaded } from "./loaded.svelte";
import { Pages } from "./pages.svelte";

const PAGE = 50;
const PAGE_TO_CATCH_UP = 100;
/** Jobs that are asked for by their ids, in one request. If more of the list no longer fit the search, it is loaded again. */
const ASKED_TOGETHER = 100;
/** Those that have ended are asked for once in this time, however many they are. */
const ENDS_MS = 1000;

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
  /** Jobs in the list that ended by an event, which says neither when nor why: they are asked for, many in one request. */
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
    this.#ends = new Loaded(async () => byIds([...this.#ended].slice(0, ASKED_TOGETHER)), isFollowed, (jobs) => { this.#showEnds(jobs); });
  }

  /** Load the list again, from the newest job on. */
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
    if (this.#ended.size) this.#ends.soon(ENDS_MS);
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
    const hasTooMany = others.length > ASKED_TOGETHER;
    let ids = hasTooMany ? [] : others.map((other) => other.job_id);
    while (ids.length) {
      const answered = await byIds(ids);
      for (const [id, job] of answered) if (job) jobs.set(id, job);
      ids = ids.filter((id) => !answered.has(id));
    }
    return { search, jobs, newer, hasTooMany };
  }

  #show({ search, jobs, newer, hasTooMany, events }: Changes): void {
    if (search !== this.search()) return; // the list was loaded again
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
    if (this.#ended.size) this.#ends.soon(ENDS_MS);
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

/** These jobs as they are now; null for one that is kept no more. Those that one answer has no room for are left out. */
async function byIds(ids: readonly string[]): Promise<Map<string, Job | null>> {
  if (!ids.length) return new Map(); // the API would list all jobs
  const { items, next } = await api.jobs({ job_id: ids, limit: ASKED_TOGETHER });
  const jobs = new Map<string, Job | null>(ids.filter((id) => next === null || id >= next).map((id) => [id, null]));
  for (const job of items) jobs.set(job.job_id, job);
  return jobs;
}
