"""No token, password or key is ever logged, whatever a client does with it and however chatty the log is."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect as open_socket

from laneway.storage.users import Role
from tests.api.running import SECRET, Process, process, settings_of, wait_for
from tests.servers.issuer import CLIENT_ID, Issuer, issuer

PASSWORDS = (
    "correct horse battery",
    "wrong horse battery",
    "an administrators password",
    "a secret of the client",
)


@pytest.mark.parametrize("level", [pytest.param("INFO", marks=pytest.mark.thorough), "DEBUG"])
def test_nothing_secret_is_logged(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path, level: str
) -> None:
    with issuer() as idp:
        idp.client_secret = PASSWORDS[3]
        settings = settings_of(
            redis_url,
            mongo_url,
            prefix,
            mongo_database,
            log_level=level,
            heartbeat_seconds=0.5,
            admin_username="boss",
            admin_password=PASSWORDS[2],
            oidc_issuer=idp.url,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=idp.client_secret,
        )
        with process(settings, tmp_path / "api.log") as running:
            secrets = [*use_everything(running), *use_issuer(running, idp), *PASSWORDS, SECRET]
            wait_for(lambda: '"accepted"' in running.log.read_text())
    text = running.log.read_text()
    assert '"log_in_failed"' in text
    for secret in secrets:
        assert secret not in text
        assert secret[-20:] not in text, "a part of it"


def use_issuer(running: Process, idp: Issuer) -> list[str]:
    """Log in at the issuer, right and wrong, and with its tokens. Returns what nobody may read."""
    verifier, nonce, address = "v" * 43, "n" * 22, "http://127.0.0.1/ui/login"
    code = idp.code("ann", verifier, address, nonce)
    sent = {"code": code, "code_verifier": verifier, "nonce": nonce, "redirect_uri": address}
    answers = [running.api.http.post("/api/login/oidc", json=sent) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    tokens = [idp.token("ann"), idp.token("ann", aud="shop")]
    headers = [{"authorization": f"Bearer {token}"} for token in tokens]
    statuses = [running.api.http.get("/api/queue", headers=each).status_code for each in headers]
    assert statuses == [200, 401]
    return [code, verifier, answers[0].json()["token"], *tokens]


def use_everything(running: Process) -> list[str]:
    """Send tokens and passwords by every way, right and wrong. Returns the tokens."""
    api = running.api
    account = {"username": "ann", "password": PASSWORDS[0]}
    assert api.http.post("/api/register", json=account).status_code == 201
    token = str(api.http.post("/api/login", json=account).json()["token"])
    api.http.post("/api/login", json=account | {"password": PASSWORDS[1]})
    admin = api.auth("boss", Role.ADMIN)["authorization"].removeprefix("Bearer ")
    reply = api.http.post("/api/admin/invitations", json={}, headers={"authorization": f"Bearer {admin}"})
    invitation = str(reply.json()["invitation"])
    api.http.post("/api/register", json=account | {"username": "bob", "invitation": invitation})
    headers = {"authorization": f"Bearer {token}"}
    assert api.http.post("/api/enqueue", json={"request": 1}, headers=headers).status_code == 200
    for path in ("/api/enqueue", "/api/nowhere", "/api/queue", "/healthz"):
        api.http.get(path, headers=headers, params={"access_token": token})
        api.http.post(path, content=token, headers={"authorization": f"Basic {token}"})
    live(api.url, token)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(
            f"GET /api/queue?access_token={token} HTTP/1.1\r\nauthorization {token}\r\n\r\n".encode()
        )
        client.recv(65536)
    api.http.post("/api/logout", headers=headers)
    live(api.url, token)  # revoked by now
    return [token, admin, invitation]


def live(url: str, token: str) -> None:
    """Open live connections with the token in every place, right ones and wrong ones."""
    socket_url = url.replace("http", "ws", 1) + "/api/connect"
    for options in (
        {"subprotocols": ["laneway", f"bearer.{token}"]},
        {"additional_headers": {"authorization": f"Bearer {token}"}},
        {"subprotocols": [token]},
    ):
        for query in ("", f"?access_token={token}"):
            with (
                suppress(InvalidStatus, WebSocketException, EOFError),
                open_socket(socket_url + query, proxy=None, **options) as connection,
            ):
                connection.recv(timeout=5)
    for path in (f"/api/events?access_token={token}", f"/api/connect?access_token={token}"):
        with httpx.Client(base_url=url, timeout=5).stream("GET", path) as reply:
            next(reply.iter_lines(), None)
