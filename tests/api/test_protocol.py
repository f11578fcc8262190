"""What a connection may do before any endpoint sees it."""

from __future__ import annotations

import json
import re
import secrets
import socket
import time

import pytest

from laneway.api.protocol import HEAD_BYTES, HEAD_SECONDS, LINGER_BYTES, LimitedProtocol
from tests.api.running import Api

START = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


def connected(api: Api) -> socket.socket:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=3 * HEAD_SECONDS)


def answer(client: socket.socket) -> bytes:
    """Return everything up to the end of the connection."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def assert_refused_soon(client: socket.socket, piece: bytes) -> None:
    """Send the same piece over and over: 431 must come long before the end."""
    sent = 0
    try:
        while sent < 100 * HEAD_BYTES:
            sent += client.send(piece)
        reply = b""
    except OSError:
        reply = b"HTTP/1.1 431"  # the connection was reset, which may discard the answer
    assert (reply or answer(client)).startswith(b"HTTP/1.1 431")
    assert sent < 100 * HEAD_BYTES


def test_a_head_that_is_too_large_is_refused_before_its_end(api: Api) -> None:
    with connected(api) as client:
        client.sendall(START + b"x-long: ")
        assert_refused_soon(client, b"x" * 8192)


def test_many_headers_are_too_large_too(api: Api) -> None:
    with connected(api) as client:
        client.sendall(START)
        for number in range(2 * HEAD_BYTES // 16):
            try:
                client.sendall(b"x-%08d: 1\r\n" % number)
            except OSError:
                break
        else:
            assert answer(client).startswith(b"HTTP/1.1 431")


def test_a_head_is_too_large_also_if_it_arrives_at_once(api: Api) -> None:
    for size in (HEAD_BYTES, 2 * HEAD_BYTES):
        with connected(api) as client:
            client.sendall(START + b"x-long: " + b"x" * size + b"\r\n\r\n")
            assert answer(client).startswith(b"HTTP/1.1 431")


def test_many_small_requests_in_one_piece_are_no_large_head(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = HEAD_BYTES // 8
    monkeypatch.setattr(LimitedProtocol, "HEAD_BYTES", most)
    small = START + b"\r\n"
    count = 2 * most // len(small)
    with connected(api) as client:
        client.sendall(small * count + small[:10])
        time.sleep(0.2)  # it must be read before the rest comes
        client.sendall(small[10:-2] + b"connection: close\r\n\r\n")
        assert answer(client).count(b"HTTP/1.1 200") == count + 1


@pytest.mark.parametrize("endless", [b"1;x=", b"1\r\n{\r\n0\r\n"], ids=["chunk extension", "trailers"])
def test_a_body_with_too_much_beside_its_data_is_refused(api: Api, endless: bytes) -> None:
    """The parser keeps trailers, and nobody had counted them."""
    more = b"x" * 60_000 if endless.endswith(b"=") else b"x-trailer: %b\r\n" % (b"x" * 1000) * 60
    with connected(api) as client:
        head = b"POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        client.sendall(head + b"transfer-encoding: chunked\r\n\r\n" + endless)
        assert_refused_soon(client, more)


def test_a_long_head_that_is_allowed(api: Api) -> None:
    reply = api.http.get("/healthz", headers={"x-long": "x" * 30_000})
    assert reply.status_code == 200


def test_a_head_without_an_end_times_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = HEAD_SECONDS / 5
    monkeypatch.setattr(LimitedProtocol, "HEAD_SECONDS", seconds)
    begun = time.monotonic()
    with connected(api) as half, connected(api) as good:
        half.sendall(START)
        good.sendall(START + b"\r\n")
        assert good.recv(65536).startswith(b"HTTP/1.1 200")
        assert half.recv(1) == b""
        assert time.monotonic() - begun > 0.9 * seconds


OFFERS = (
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAA\r\n",
    b"connection: Upgrade\r\nupgrade: websocket\r\n",
)


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_upgrade_offer_is_ignored_and_the_body_is_read(
    api: Api, offer: bytes, chunked: bool, pieces: int
) -> None:
    """Java's client sends such offers. Were the body taken for the next request, it could smuggle one in."""
    body = b'{"request": "GET /healthz HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n"}'
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
    authorization = api.auth(api.user())["authorization"].encode()
    head = b"POST /api/enqueue HTTP/1.1\r\nhost: x\r\n%bauthorization: %b\r\ncontent-type: application/json\r\n%b\r\n\r\n"
    sent = head % (offer, authorization, framing)
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    half = len(body) // 2
    rest = START + b"connection: close\r\n\r\n"
    parts = {1: [sent + body + rest], 2: [sent, body + rest], 3: [sent, body[:half], body[half:] + rest]}[
        pieces
    ]
    with connected(api) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
        replies = answer(client)
    assert replies.count(b"HTTP/1.1 ") == 2
    first, _, second = replies.partition(b'"duplicate":false}')
    assert first.startswith(b"HTTP/1.1 200")
    assert second.endswith(b'{"status":"ok"}')


# -- answers always arrive ----------------------------------------------------------------------------------------


def request(api: Api, *, length: int, headers: bytes = b"") -> bytes:
    """The head of an enqueue with a body of `length` bytes."""
    authorization = api.auth(api.user())["authorization"].encode()
    return (
        b"POST /api/enqueue HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"authorization: %b\r\ncontent-length: %d\r\n%b\r\n" % (authorization, length, headers)
    )


@pytest.mark.parametrize("headers", [b"connection: close\r\n", b""], ids=["close", "keep alive"])
@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        (b"/api/enqueue", b"", b"413"),
        (b"/api/enqueue", b"x", b"401"),
        (b"/api/enqueue/batch", b"x", b"401"),
        (b"/api/login", b"", b"413"),
        (b"/api/queue", b"", b"405"),
        (b"/nowhere", b"", b"404"),
    ],
)
def test_a_client_that_sends_everything_before_it_reads_gets_its_answer(
    api: Api, path: bytes, token: bytes, status: bytes, headers: bytes
) -> None:
    """urllib, which says `Connection: close`, and Node's fetch, which does not. `token`: what spoils the token."""
    size = 5_000_000
    for _ in range(3):
        with connected(api) as client:
            head = request(api, length=size, headers=headers).replace(b"Bearer ", b"Bearer " + token)
            client.sendall(head.replace(b"POST /api/enqueue", b"POST " + path))
            for _ in range(50):
                client.sendall(b" " * (size // 50))
            reply = b""
            while b"\r\n\r\n" not in reply:
                piece = client.recv(65536)
                assert piece, reply
                reply += piece
        assert reply.startswith(b"HTTP/1.1 " + status)
        assert b"application/problem+json" in reply


@pytest.mark.parametrize("headers", [b"connection: close\r\n", b""], ids=["close", "keep alive"])
def test_a_body_that_trickles_after_its_answer_is_cut_off(
    api: Api, headers: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few bytes, but for ever: the connection would never be free again."""
    monkeypatch.setattr(LimitedProtocol, "LINGER_SECONDS", 0.3)
    with connected(api) as client:
        head = request(api, length=10**9, headers=headers).replace(b"Bearer ", b"Bearer x")
        client.sendall(head)
        assert client.recv(65536).startswith(b"HTTP/1.1 401")
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 3 * HEAD_SECONDS:
                client.sendall(b" ")
                time.sleep(0.02)  # the pace of the client is what is tested
        except OSError:
            return
    pytest.fail("the connection is still open")


def test_a_body_without_an_end_is_not_read_for_ever(api: Api) -> None:
    """Neither after `Connection: close` nor on a connection that is kept open."""
    for headers in (b"", b"connection: close\r\n"):
        with connected(api) as client:
            head = request(api, length=10**12, headers=headers).replace(b"Bearer", b"Basic")
            client.sendall(head.replace(b"/api/enqueue ", b"/api/enqueue/batch "))
            sent = 0
            try:
                while sent < 10 * LINGER_BYTES:
                    sent += client.send(b" " * 65_536)
            except OSError:
                pass
        assert sent < 3 * LINGER_BYTES


def test_the_connection_serves_more_requests_after_a_body_that_nobody_read(api: Api) -> None:
    body = b" " * 100_000
    head = request(api, length=len(body)).replace(b"Bearer", b"Basic")
    with connected(api) as client:
        client.sendall(head)
        assert client.recv(65536).startswith(b"HTTP/1.1 401")
        client.sendall(body + START + b"connection: close\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 200")


# -- malformed requests -------------------------------------------------------------------------------------------

MALFORMED = {
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": START + b"host: y\r\n\r\n",
    "not HTTP": b"hello\r\n\r\n",
    "an unknown version": b"GET /healthz HTTP/3.7\r\nhost: x\r\n\r\n",
    "a header without a colon": START + b"nonsense\r\n\r\n",
    "two lengths": b"POST /api/enqueue HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "a broken chunk": b"POST /api/enqueue/batch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_answered_with_a_problem_document(api: Api, data: bytes) -> None:
    with connected(api) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        head, _, body = answer(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] in (400, 401)


def test_an_answer_before_a_malformed_request_is_complete(api: Api) -> None:
    with connected(api) as client:
        client.sendall(START + b"\r\n" + b"nonsense\r\n\r\n")
        reply = answer(client)
    assert reply.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}' in reply


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (START + b"x-long: " + b"x" * 8 * HEAD_BYTES, b"431"),
        (START + b"x-long: " + b"x" * 2 * HEAD_BYTES + b"\r\n\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
    ids=["an endless head", "a large head", "no HTTP"],
)
@pytest.mark.parametrize("between", [b"", START + b"\r\n"], ids=["one before", "two before"])
def test_a_refusal_comes_behind_the_answers_to_the_requests_before_it(
    api: Api, between: bytes, refused: bytes, status: bytes
) -> None:
    """Registration hashes a password, so its answer is not there when the next head is refused."""
    body = json.dumps({"username": "p" + secrets.token_hex(6), "password": "correct horse battery"}).encode()
    register = (
        b"POST /api/register HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    with connected(api) as client:
        client.sendall(register + between + refused)
        reply = answer(client)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", reply)
    assert statuses == [b"201", *([b"200"] if between else []), status]


def test_a_slow_head_does_not_cost_the_answer_before_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedProtocol, "HEAD_SECONDS", 0.2)
    with connected(api) as client:
        headers = b"".join(b"%b: %b\r\n" % (k.encode(), v.encode()) for k, v in api.auth(api.user()).items())
        client.sendall(
            b"GET /api/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n" + headers + b"\r\n"
        )
        reply = client.recv(65536)
        client.sendall(START[:5])
        assert reply.startswith(b"HTTP/1.1 200")
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            answer(client)  # to the end of the connection, which does not come


def test_http_1_0_needs_no_host(api: Api) -> None:
    with connected(api) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 200")
