"""Log-in at an OpenID Connect issuer from a terminal: the browser does it, and comes back to a port of this machine (RFC 8252)."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import typer

if TYPE_CHECKING:
    from laneway.client import Client

WAIT_SECONDS = 300.0
PATH = "/ui/login"
DONE = b"<!doctype html><title>Laneway</title><p>You can close this page and go back to the terminal."


def log_in(client: Client, url: str) -> str:
    """Return a token for the user who logs in with the browser. Raises `typer.BadParameter` and errors of the client."""
    issuer = client.ways_to_log_in().issuer
    if issuer is None or issuer.authorization_endpoint is None:
        raise typer.BadParameter(
            "the issuer does not answer; try again"
            if issuer
            else "this API has no issuer; log in with a password",
            param_hint="--issuer",
        )
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Return(urlsplit(url).path.rstrip("/") + PATH, state) as way_back:
        query = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": way_back.url,
            "scope": issuer.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if urlsplit(issuer.authorization_endpoint).query else "?"
        address = issuer.authorization_endpoint + separator + urlencode(query)
        typer.echo(f"Log in with your browser: {address}", err=True)
        webbrowser.open(address)
        code = way_back.wait()
    return client.log_in_at_issuer(code, code_verifier=verifier, nonce=nonce, redirect_uri=way_back.url)


class _Return(HTTPServer):
    """Waits for the browser to come back with the answer to this question."""

    def __init__(self, path: str, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.path, self.state = path, state
        self.url = f"http://127.0.0.1:{self.server_port}{path}"
        self.answer: dict[str, list[str]] | None = None

    def wait(self) -> str:
        """Return the code."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.answer is None:
            self.timeout = deadline - time.monotonic()
            if self.timeout <= 0:
                raise typer.BadParameter("nobody came back from the issuer", param_hint="--issuer")
            self.handle_request()
        if code := self.answer.get("code"):
            return code[0]
        reason = self.answer.get("error_description") or self.answer.get("error") or ["no code"]
        raise typer.BadParameter(f"the issuer refuses: {reason[0]}", param_hint="--issuer")


class _Handler(BaseHTTPRequestHandler):
    server: _Return
    timeout = 5

    def do_GET(self) -> None:
        """Take the answer, if it is one to our question: other programs and pages can ask this port, too."""
        address = urlsplit(self.path)
        answer = parse_qs(address.query)
        if address.path != self.server.path or answer.get("state") != [self.server.state]:
            self.send_error(404)
            return
        self.server.answer = answer
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(DONE)))
        self.end_headers()
        self.wfile.write(DONE)

    def log_message(self, *_: object) -> None:
        """Say nothing: the code is in the address."""
