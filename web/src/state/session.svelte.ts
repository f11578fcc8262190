/** Who is logged in. The token is kept for this tab alone (sessionStorage) and never stands in an address. */
import { Problem, send } from "../api/http";
import { comeBack } from "./issuer";

const KEY = "laneway.token";
const LINK_TRIES = 10;

interface Claims {
  sub: string;
  role: "user" | "admin";
  exp: number;
}

function claimsOf(token: string): Claims | null {
  try {
    const part = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(atob(part)) as Claims;
    return claims.exp * 1000 > Date.now() ? claims : null;
  } catch {
    return null;
  }
}

class Session {
  token = $state<string | null>(null);
  /** The user whose session has just ended, so that logging in goes on where it was. */
  expired = $state<string | null>(null);
  readonly claims = $derived(this.token === null ? null : claimsOf(this.token));
  readonly user = $derived(this.claims?.sub ?? "");
  readonly isAdmin = $derived(this.claims?.role === "admin");

  constructor() {
    const kept = sessionStorage.getItem(KEY);
    if (kept && claimsOf(kept)) this.token = kept;
    else sessionStorage.removeItem(KEY);
  }

  /** Throws Problem. */
  async logIn(username: string, password: string): Promise<void> {
    const reply = await send("api/login", { method: "POST", body: JSON.stringify({ username, password }) });
    const { token } = (await reply.json()) as { token: string };
    this.renew(token);
  }

  /** Log in with the code of a link that `laneway dev` has printed. Throws Problem. */
  async logInByLink(code: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        const reply = await send("api/login/link", { method: "POST", body: JSON.stringify({ code }) });
        this.renew(((await reply.json()) as { token: string }).token);
        return;
      } catch (error) {
        if (!(error instanceof Problem && error.status === 503) || tries === LINK_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000)); // a system that has just started
      }
    }
  }

  /** Log in with an issuer's answer, and return the view to show. Throws LogInRefused, Problem. */
  async logInAtIssuer(answer: URLSearchParams): Promise<string> {
    const { token, view } = await comeBack(answer);
    this.renew(token);
    return view;
  }

  /** Go on with this token: the server has ended those issued before it. */
  renew(token: string): void {
    this.#set(token);
    this.expired = null;
  }

  /** Throws Problem. */
  async signUp(username: string, password: string): Promise<void> {
    await send("api/register", { method: "POST", body: JSON.stringify({ username, password }) });
    await this.logIn(username, password);
  }

  /** End the session of this tab. */
  end(): void {
    this.#set(null);
    this.expired = null;
  }

  /** End the session here, and at the server if it answers. */
  async logOut(): Promise<void> {
    const token = this.token;
    this.end();
    try {
      if (token) await send("api/logout", { method: "POST", token });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  /** The server refuses the token. */
  expire(): void {
    this.expired = this.user || this.expired;
    this.#set(null);
  }

  #set(token: string | null): void {
    this.token = token;
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  }
}

export const session = new Session();
