import { sentence } from "../format";
import { ROOT } from "../root";
import type { components } from "./schema";

export type ProblemDocument = components["schemas"]["Problem"];

/** An answer that is an error, or no answer (`status` 0). `message` is for people. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly document: ProblemDocument | null = null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  /** Whether nobody answered, or somebody who will answer again soon. */
  get isOutage(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  token?: string | null;
  /** JSON text, sent as it is. */
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const ANSWER_SECONDS = 15;

/** Send a request to the API. Throws Problem for everything but success; an abort by `signal` is passed on. */
export async function send(path: string, { method = "GET", token, body, headers = {}, signal }: Call = {}): Promise<Response> {
  const all: Record<string, string> = { accept: "application/json", ...headers };
  if (token) all.authorization = `Bearer ${token}`;
  if (body !== undefined) all["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(ROOT + path, { method, headers: all, signal: signal ?? AbortSignal.timeout(ANSWER_SECONDS * 1000), ...(body === undefined ? {} : { body }) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "The server does not answer.");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response: Response): Promise<Problem> {
  const after = Number(response.headers.get("retry-after"));
  let document: ProblemDocument | null = null;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    document = (await response.json()) as ProblemDocument;
  }
  const detail = document ? sentence(document.detail || document.title) : `The server answered with status ${response.status}.`;
  return new Problem(response.status, detail, document, after > 0 ? after : null);
}
