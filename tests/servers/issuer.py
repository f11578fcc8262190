"""An OpenID Connect issuer on a free port: discovery, keys, log-in page, and a token endpoint that checks PKCE.

The signatures are real (PyJWT with `cryptography`). Unlike a product it can be told to be away, to change its keys, and to say
what no issuer should say.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

CLIENT_ID = "laneway-dashboard"
PAGE = """<!doctype html><html lang="en"><title>Issuer</title><link rel="icon" href="data:,"><h1>Who are you?</h1>
<form method="post"><input type="hidden" name="query" value="{query}">
<label>Subject <input name="subject"></label><button>Log in</button></form>"""


class Key:
    """A private key and how it is published."""

    def __init__(self, key_id: str, algorithm: str) -> None:
        self.id, self.algorithm = key_id, algorithm
        self.private: Any
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = rsa.generate_private_key(65537, 2048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.public: dict[str, Any] = {**public, "kid": key_id, "alg": algorithm, "use": "sig"}

    def pem(self) -> bytes:
        """Return the public key as text, which everybody can have."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self.private.public_key().public_bytes(serialization.Encoding.PEM, form))


class Issuer(ThreadingHTTPServer):
    """A running issuer. `people` are the claims of its users by subject."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/realms/main"
        self.keys = [Key("rsa-1", "RS256"), Key("ec-1", "ES256")]
        self.people: dict[str, dict[str, Any]] = {}
        self.client_secret: str | None = None
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.is_away = False
        self.clock_seconds = 0.0
        """How much its clock is ahead."""
        self.discovery: dict[str, Any] = {}
        """What the discovery document says beside, or instead of, what is right."""
        self.id_claims: dict[str, Any] = {}
        """What ID tokens say instead of what is right."""

    def claims(self, subject: str, **more: Any) -> dict[str, Any]:
        """Return the claims of a token that is right, with these changed. None leaves one out."""
        now = int(time.time())
        right = {"iss": self.url, "sub": subject, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        return {name: value for name, value in (right | more).items() if value is not None}

    def token(self, subject: str, *, key: Key | None = None, header: Any = None, **more: Any) -> str:
        """Return a token of this subject."""
        key = key or self.keys[0]
        claims = self.claims(subject, **self.people.get(subject, {}) | more)
        return jwt.encode(claims, key.private, key.algorithm, {"kid": key.id} | (header or {}))

    def code(self, subject: str, verifier: str, redirect_uri: str, nonce: str) -> str:
        """Return a code, as if this subject had logged in with a browser."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"redirect_uri": redirect_uri, "nonce": nonce, "code_challenge": challenge}
        return self.new_code(subject, query | {"client_id": CLIENT_ID, "code_challenge_method": "S256"})

    def new_code(self, subject: str, query: dict[str, str]) -> str:
        code = secrets.token_urlsafe(16)
        self.codes[code] = query | {"subject": subject}
        return code

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer the token endpoint. A code is good for one try."""
        if self.client_secret is not None:
            sent = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            # RFC 6749, section 2.3.1: id and secret are form-encoded.
            if [unquote_plus(part) for part in sent.split(":")] != [CLIENT_ID, self.client_secret]:
                return 401, {"error": "invalid_client"}
        kept = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            kept is None
            or form.get("grant_type") != "authorization_code"
            or kept["code_challenge_method"] != "S256"
            or kept["code_challenge"] != challenge
            or kept["redirect_uri"] != form.get("redirect_uri")
            or kept["client_id"] != form.get("client_id")
        ):
            return 400, {"error": "invalid_grant"}
        token = self.token(kept["subject"], **{"nonce": kept["nonce"]} | self.id_claims)
        return 200, {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token}

    def handle_error(self, *_: object) -> None:
        """A client may close its connections as it likes."""


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        path, root = urlsplit(self.path).path, urlsplit(self.server.url).path
        self.server.asked[path.removeprefix(root)] += 1
        if self.server.is_away:
            self._answer(502, {"error": "away"})
        elif path == root + "/.well-known/openid-configuration":
            url = self.server.url
            found = {
                "issuer": url,
                "jwks_uri": url + "/keys",
                "authorization_endpoint": url + "/authorize",
                "token_endpoint": url + "/token",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
            }
            self._answer(200, found | self.server.discovery)
        elif path == root + "/keys":
            self._answer(200, {"keys": [key.public for key in self.server.keys]})
        elif path == root + "/authorize":
            self._page(PAGE.format(query=html.escape(urlsplit(self.path).query)))
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers.get("content-length", 0))).decode()))
        if self.server.is_away:
            self._answer(502, {"error": "away"})
        elif self.path.endswith("/token"):
            self._answer(*self.server.exchange(form, self.headers.get("authorization", "")))
        else:
            query = {name: values[0] for name, values in parse_qs(form["query"]).items()}
            code = self.server.new_code(form["subject"], query)
            self.send_response(302)
            back = urlencode({"code": code, "state": query["state"], "iss": self.server.url})
            self.send_header("location", f"{query['redirect_uri']}?{back}")
            self.end_headers()

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _page(self, text: str) -> None:
        self._send(200, "text/html; charset=utf-8", text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.clock_seconds)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve an issuer."""
    with Issuer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()
