"""One attempt at a real receiver: where the connection goes, what TLS checks, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from laneway.webhooks import sending
from laneway.webhooks.addresses import Destinations, Refused, target_of
from laneway.webhooks.deliveries import Delivery
from laneway.webhooks.sending import AT_ONCE, DeliveryFailed, Gone, Sender
from laneway.webhooks.signing import secret_of
from tests.receiver import Receiver, receiving

KEY = "a key of the tests, 32 bytes long"
LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def payload(url: str) -> dict[str, Any]:
    return {
        "webhook_id": "0123456789ab",
        "message_id": "msg_1",
        "url": url,
        "secrets": [1],
        "body": '{"type":"job.succeeded","data":"ü"}',
    }


def deliver(sender: Sender, url: str) -> dict[str, int]:
    return asyncio.run(sender.deliver(payload(url)))


def loopback_sender() -> Sender:
    return Sender(KEY, Destinations(LOOPBACK))


def test_a_delivery_reaches_the_receiver_signed(receiver: Receiver) -> None:
    assert deliver(loopback_sender(), f"{receiver.url}/hooks?a=b") == {"status": 204}
    (request,) = receiver.received
    assert request.path == "/hooks?a=b"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert Webhook(secret_of(KEY, "0123456789ab", 1)).verify(request.body, request.headers)["data"] == "ü"


def test_the_url_is_not_logged_for_it_may_have_a_token(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        deliver(loopback_sender(), f"{receiver.url}/hooks?token=abc")
        httpx2.post(f"{receiver.url}/by-a-handler")
    assert "token=abc" not in caplog.text
    assert "/by-a-handler" in caplog.text


def test_a_job_carries_a_delivery_and_no_secret() -> None:
    job = Delivery(**payload("https://example.com")).job("0" * 12)
    assert b"whsec_" not in job.request
    assert secret_of(KEY, "0123456789ab", 1).encode() not in job.request


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
def test_other_answers_fail_and_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: status
    with pytest.raises(DeliveryFailed, match=f"answered {status}"):
        deliver(loopback_sender(), receiver.url)
    assert [request.path for request in receiver.received] == ["/"]


def test_410_is_final(receiver: Receiver) -> None:
    receiver.answer = lambda _: 410
    with pytest.raises(Gone):
        deliver(loopback_sender(), receiver.url)


def test_a_receiver_that_cannot_be_reached() -> None:
    with receiving() as gone:
        pass
    with pytest.raises(DeliveryFailed, match="no connection"):
        deliver(loopback_sender(), gone.url)


def test_a_slow_receiver_costs_a_limited_time_and_its_room_is_free_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 0.3)
    release = threading.Event()
    receiver.answer = lambda _: 204 if release.wait(20) else 500
    sender = loopback_sender()
    began = time.monotonic()
    with pytest.raises(DeliveryFailed, match=r"did not answer within 0\.3 s"):
        deliver(sender, receiver.url)
    release.set()
    assert time.monotonic() - began < 5
    assert sender.room() == AT_ONCE


def test_a_name_that_resolves_to_a_private_address_later_is_refused(receiver: Receiver) -> None:
    """DNS rebinding: the name was public when the webhook was made."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])

    async def resolve(_host: str, _port: int) -> list[str]:
        return next(answers)

    destinations = Destinations((), resolve)
    url = f"https://hooks.example:{receiver.port}/"
    assert [str(a) for a in asyncio.run(destinations.addresses(target_of(url)))] == ["8.8.8.8"]
    with pytest.raises(Refused, match="not public"):
        deliver(Sender(KEY, destinations), url)
    assert receiver.received == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for hooks.example, in one file."""
    path, names = tmp_path / "server.pem", "subjectAltName=DNS:hooks.example"
    files = ["-keyout", str(path), "-out", str(tmp_path / "c")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
    subprocess.run([*command, *files, "-addext", names], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "c").read_text())
    return path


def tls_sender(certificate: Path, asked: list[str]) -> Sender:
    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    return Sender(KEY, Destinations(LOOPBACK, resolve), ssl.create_default_context(cafile=certificate))


def test_the_connection_goes_to_the_checked_address_and_tls_to_the_name(certificate: Path) -> None:
    """The name is resolved once: nothing resolves it again between the check and the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str] = []
    with receiving(context) as receiver:
        url = f"https://hooks.example:{receiver.port}/hooks"
        assert deliver(tls_sender(certificate, asked), url) == {"status": 204}
        assert asked == ["hooks.example"]
        assert receiver.names == ["hooks.example"]
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as receiver:
        with pytest.raises(DeliveryFailed, match="certificate verify failed"):
            deliver(tls_sender(certificate, []), f"https://other.example:{receiver.port}/")
        assert receiver.received == []


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert deliver(loopback_sender(), receiver.url) == {"status": 204}
