/** The search of the history: its parameters stand in the address, and most go to the API as they are. */
import { type JobState, STATES } from "./api/model";

export interface Search {
  state: JobState | null;
  type: string;
  schedule: string;
  error: string;
  id: string;
  since: string | null;
  until: string | null;
}

/** A local time, as an input of the browser writes it, for the API; null where it is none. */
const instant = (local: string | null): string | null => (local && !Number.isNaN(Date.parse(local)) ? new Date(local).toISOString() : null);

export const searchOf = (query: URLSearchParams): Search => ({
  state: STATES.find((name) => name === query.get("state")) ?? null,
  type: query.get("type") ?? "",
  schedule: query.get("schedule") ?? "",
  error: query.get("error") ?? "",
  id: (query.get("id") ?? "").toLowerCase().replace(/[^0-9a-f]/g, ""),
  since: instant(query.get("since")),
  until: instant(query.get("until")),
});

/** Whether the search has conditions that operations on all jobs do not know. */
export const isNarrow = ({ schedule, error, id, since, until }: Search): boolean => schedule !== "" || error !== "" || id !== "" || since !== null || until !== null;
