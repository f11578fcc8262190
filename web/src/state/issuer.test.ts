import { expect, test } from "vitest";

import type { Issuer } from "../api/model";
import type { Kept } from "./issuer";

// The page's modules look at the window as soon as they are loaded.
Object.assign(globalThis, { window: { location: { origin: "https://laneway.example.com" } } });
const { addressOf, challengeOf, codeIn, LogInRefused, nameOf } = await import("./issuer");

const issuer: Issuer = {
  issuer: "https://login.example.com/realms/main",
  client_id: "laneway",
  scope: "openid email",
  authorization_endpoint: "https://login.example.com/authorize?kind=x",
};
const kept: Kept = {
  issuer: issuer.issuer,
  state: "the-state",
  nonce: "the-nonce",
  verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
  redirectUri: "https://laneway.example.com/ui/login",
  view: "history",
};
const answer = (values: Record<string, string>): URLSearchParams => new URLSearchParams(values);

test("the challenge is the one of RFC 7636", async () => {
  expect(await challengeOf(kept.verifier)).toBe("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("the issuer gets the challenge and never the verifier", async () => {
  const url = new URL(await addressOf(issuer, kept));
  expect(url.href).not.toContain(kept.verifier);
  expect(Object.fromEntries(url.searchParams)).toEqual({
    kind: "x",
    response_type: "code",
    client_id: "laneway",
    redirect_uri: kept.redirectUri,
    scope: "openid email",
    state: "the-state",
    nonce: "the-nonce",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    code_challenge_method: "S256",
  });
});

test("an answer counts in the tab that asked, once, and from the issuer that was asked", () => {
  const right = { code: "c", state: "the-state" };
  expect(codeIn(answer(right), kept)).toBe("c");
  expect(codeIn(answer({ ...right, iss: issuer.issuer + "/" }), kept)).toBe("c");
  for (const [values, mine] of [
    [right, null],
    [{ code: "c" }, kept],
    [{ ...right, state: "another" }, kept],
    [{ ...right, state: "" }, { ...kept, state: "x" }],
    [{ ...right, iss: "https://evil.example.com" }, kept],
    [{ state: "the-state" }, kept],
    [{ ...right, error: "access_denied" }, kept],
  ] as const) {
    expect(() => codeIn(answer(values), mine)).toThrow(LogInRefused);
  }
});

test("an issuer is named by its host", () => {
  expect(nameOf(issuer.issuer)).toBe("login.example.com");
});
