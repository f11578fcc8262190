/**
 * Log-in at an OpenID Connect issuer: an authorization code with PKCE. The browser goes to the issuer and comes back to `ui/login`;
 * what proves that the answer is for this tab waits in sessionStorage. The API exchanges the code: the page speaks to no other host.
 */
import { send } from "../api/http";
import type { Issuer, WaysToLogIn } from "../api/model";
import { ROOT } from "../root";

const KEY = "laneway.issuer";

export interface Kept {
  issuer: string;
  state: string;
  nonce: string;
  verifier: string;
  redirectUri: string;
  /** The view to go to afterwards. */
  view: string;
}

/** An answer that is not the one to our question, or a refusal. `message` is for people. */
export class LogInRefused extends Error {}

export const waysToLogIn = async (): Promise<WaysToLogIn> => (await send("api/login")).json() as Promise<WaysToLogIn>;

/** The issuer as people know it. */
export const nameOf = (issuer: string): string => new URL(issuer).host;

const base64url = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const random = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

export async function challengeOf(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

export async function addressOf(issuer: Issuer, kept: Kept): Promise<string> {
  const url = new URL(issuer.authorization_endpoint ?? "");
  const query = {
    response_type: "code",
    client_id: issuer.client_id,
    redirect_uri: kept.redirectUri,
    scope: issuer.scope,
    state: kept.state,
    nonce: kept.nonce,
    code_challenge: await challengeOf(kept.verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url.toString();
}

/** Leave for the issuer. Throws LogInRefused, Problem. */
export async function goToIssuer(view: string): Promise<void> {
  const { issuer } = await waysToLogIn();
  if (!issuer?.authorization_endpoint) throw new LogInRefused("The issuer does not answer. Try again.");
  if (!window.isSecureContext) throw new LogInRefused("Log-in at the issuer needs https.");
  const redirectUri = `${window.location.origin}${ROOT}ui/login`;
  const kept: Kept = { issuer: issuer.issuer, state: random(), nonce: random(), verifier: random(), redirectUri, view };
  sessionStorage.setItem(KEY, JSON.stringify(kept));
  window.location.assign(await addressOf(issuer, kept));
}

/** The code in an answer to this tab's question. Throws LogInRefused. */
export function codeIn(answer: URLSearchParams, kept: Kept | null): string {
  const code = answer.get("code");
  const issuer = answer.get("iss");
  if (kept === null || answer.get("state") !== kept.state) throw new LogInRefused("This log-in was not begun in this tab. Log in again.");
  if (issuer !== null && issuer.replace(/\/$/, "") !== kept.issuer.replace(/\/$/, "")) throw new LogInRefused("The answer is of another issuer.");
  if (answer.has("error")) throw new LogInRefused(`The issuer refuses: ${answer.get("error_description") ?? answer.get("error") ?? ""}.`);
  if (!code) throw new LogInRefused("The issuer sent no code. Log in again.");
  return code;
}

/** Exchange the issuer's answer for a token; it can be used once. Throws LogInRefused, Problem. */
export async function comeBack(answer: URLSearchParams): Promise<{ token: string; view: string }> {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Kept | null;
  sessionStorage.removeItem(KEY);
  const code = codeIn(answer, kept);
  const { verifier, nonce, redirectUri, view } = kept as Kept;
  const body = JSON.stringify({ code, code_verifier: verifier, nonce, redirect_uri: redirectUri });
  const reply = await send("api/login/oidc", { method: "POST", body });
  return { token: ((await reply.json()) as { token: string }).token, view };
}
