"""Registration, log-in, log-out, and every token that must be refused."""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import httpx
import jwt
import pytest
from redis.exceptions import ResponseError

from laneway.api.revocations import Revocations
from laneway.api.tokens import InvalidToken, Token, Tokens
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import connect_async
from laneway.storage.users import Role
from tests.api.running import SECRET, Api, problem, wait_for

PASSWORD = "correct horse battery"
PUBLIC = {
    ("post", "/api/register"),
    ("get", "/api/login"),
    ("post", "/api/login"),
    ("post", "/api/login/oidc"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}


def register(api: Api, name: Any, password: Any = PASSWORD) -> httpx.Response:
    return api.http.post("/api/register", json={"username": name, "password": password})


def login(api: Api, name: Any, password: Any = PASSWORD) -> httpx.Response:
    return api.http.post("/api/login", json={"username": name, "password": password})


def test_register_log_in_enqueue_log_out(api: Api) -> None:
    name = api.user()
    registered = register(api, name)
    assert (registered.status_code, registered.json()) == (201, {"message": f"registered {name}"})
    answer = login(api, name)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", 3600)
    headers = {"authorization": f"Bearer {body['token']}"}
    assert api.http.post("/api/enqueue", json={"request": 1}, headers=headers).status_code == 200
    assert api.http.post("/api/logout", headers=headers).status_code == 204
    for method, path in (
        ("POST", "/api/enqueue"),
        ("GET", "/api/jobs"),
        ("GET", "/api/queue"),
        ("POST", "/api/logout"),
    ):
        json_ = {"request": 1} if path == "/api/enqueue" else None
        problem(api.http.request(method, path, json=json_, headers=headers), 401, "invalid-token")
    assert login(api, name).status_code == 200  # the new token is not revoked


def test_every_endpoint_that_is_not_public_needs_a_token(api: Api) -> None:
    paths: dict[str, dict[str, Any]] = api.http.get("/openapi.json").json()["paths"]
    documented = {(method, path) for path, operations in paths.items() for method in operations}
    assert documented > PUBLIC
    for method, path in documented - PUBLIC:
        ids = {"operation_id": "0", "webhook_id": "0" * 12}
        url = path.format(user="ann", job_id="0" * 25, key_id="0", name="nightly", **ids)
        problem(api.http.request(method, url), 401, "invalid-token")


def test_the_claims_of_a_token(api: Api) -> None:
    name = api.user()
    register(api, name)
    token = login(api, name).json()["token"]
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "1", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims.keys() == {"sub", "role", "iat", "exp", "jti"}
    assert (claims["sub"], claims["role"]) == (name, "user")
    assert claims["exp"] - claims["iat"] == pytest.approx(3600, abs=1)


def test_a_name_can_be_registered_only_once(api: Api) -> None:
    name = api.user()
    assert register(api, name).status_code == 201
    problem(register(api, name, "another password"), 400, "cannot-register")
    assert login(api, name).status_code == 200


def test_one_of_several_simultaneous_registrations_gets_the_name(api: Api) -> None:
    name = api.user()

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
            body = {"username": name, "password": PASSWORD}
            replies = await asyncio.gather(*(client.post("/api/register", json=body) for _ in range(4)))
        return sorted(reply.status_code for reply in replies)

    assert asyncio.run(all_at_once()) == [201, 400, 400, 400]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a b",
        " ann",
        "ann\n",
        "ann\0",
        "a\x1b[31mnn",
        "anné",
        "аnn",  # noqa: RUF001 - Cyrillic
        "-ann",
        ".ann",
        "a/b/c",
        "../ann",
        "ann*",
        "a" * 65,
        "a" * 10_240,
        "\u202eann",
    ],
)
def test_a_malformed_username_is_refused(api: Api, name: str) -> None:
    reply = register(api, name)
    document = problem(reply, 400, "cannot-register")
    assert document["errors"][0]["pointer"] == "#/body/username"
    assert len(reply.content) < 1000
    problem(login(api, name), 400, "invalid-credentials")


@pytest.mark.parametrize("name", ["abc", "a" * 64, "A.b_c-1", "007"])
def test_a_valid_username_is_accepted(start_api: Callable[..., Api], name: str) -> None:
    assert register(start_api(), name).status_code == 201


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "\u00af1\u00af2\u00af3",
        "password",
        "PassWord123",
        "aaaaaaaaaaaa",
        "x" * 1025,
        "abc\0defgh",
    ],
)
def test_a_weak_password_is_refused(api: Api, password: str) -> None:
    name = api.user()
    document = problem(register(api, name, password), 400, "cannot-register")
    assert document["errors"][0]["pointer"] == "#/body/password"
    problem(login(api, name, password), 400, "invalid-credentials")


def test_the_username_is_refused_as_a_password(api: Api) -> None:
    name = api.user()
    problem(register(api, name, name.upper()), 400, "cannot-register")


@pytest.mark.parametrize("password", ["x y z ä 😀 1", "1024 " * 204, "long enough"])
def test_passwords_of_any_characters(api: Api, password: str) -> None:
    name = api.user()
    assert register(api, name, password).status_code == 201
    assert login(api, name, password).status_code == 200
    problem(login(api, name, password + " "), 400, "invalid-credentials")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "ann"},
        {"username": "ann", "password": 12345678},
        {"username": ["ann"], "password": PASSWORD},
        {"username": {"$gt": ""}, "password": {"$gt": ""}},
        {"username": None, "password": None},
        {"username": "ann", "password": PASSWORD, "role": "admin"},
        [],
        None,
    ],
)
@pytest.mark.parametrize("path", ["/api/register", "/api/login"])
def test_a_malformed_body_is_refused(api: Api, path: str, body: Any) -> None:
    problem(api.http.post(path, json=body), 400, "bad-request")


def test_other_bad_bodies_of_a_login(api: Api) -> None:
    headers = {"content-type": "application/json"}
    problem(api.http.post("/api/login", content=b"{", headers=headers), 400, "bad-request")
    problem(
        api.http.post("/api/login", content=b'{"username":"\\ud800"}', headers=headers), 400, "bad-request"
    )
    problem(api.http.post("/api/login", data={"username": "ann", "password": PASSWORD}), 400, "bad-request")
    problem(api.http.post("/api/login", content=b" " * 70_000, headers=headers), 413, "body-too-large")


@pytest.mark.usefixtures("production_hashes")
def test_an_unknown_user_looks_like_a_wrong_password(start_api: Callable[..., Api]) -> None:
    """In its answer and in its time: without a hash the answer would take a tenth."""
    api = start_api()
    name = api.user()
    register(api, name)

    def seconds(who: str) -> float:
        started = time.perf_counter()
        assert login(api, who, "wrong password").status_code == 400
        return time.perf_counter() - started

    answers = [login(api, who, "wrong password").json() for who in (name, api.user())]
    ids = {answer.pop("request_id") for answer in answers}
    assert answers[0] == answers[1]
    assert len(ids) == 2
    wrong, unknown = [], []
    for _ in range(5):
        wrong.append(seconds(name))
        unknown.append(seconds(api.user()))
    assert statistics.median(unknown) > statistics.median(wrong) / 2
    assert statistics.median(wrong) > 0.01


@pytest.mark.usefixtures("production_hashes")
def test_a_flood_of_log_ins_is_refused_and_does_not_slow_enqueue(start_api: Callable[..., Api]) -> None:
    api = start_api(argon2_parallel=1)
    during: list[float] = []
    alone: list[float] = []

    async def flood() -> tuple[list[httpx.Response], float]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=api.url, timeout=60, limits=limits) as client:
            headers = api.auth(api.user())

            async def enqueue(seconds: list[float]) -> None:
                started = time.perf_counter()
                reply = await client.post("/api/enqueue", json={"request": 1}, headers=headers)
                assert reply.status_code == 200
                seconds.append(time.perf_counter() - started)

            begun = time.perf_counter()
            bodies = [{"username": f"nobody{number}", "password": PASSWORD} for number in range(60)]
            logins = [asyncio.create_task(client.post("/api/login", json=body)) for body in bodies]
            while not all(login.done() for login in logins):
                await enqueue(during)
                await asyncio.wait(logins, timeout=0.05)
            lasted = time.perf_counter() - begun
            for _ in range(20):
                await enqueue(alone)
            return [login.result() for login in logins], lasted

    replies, lasted = asyncio.run(flood())
    refused = [reply for reply in replies if reply.status_code == 503]
    checked = [reply for reply in replies if reply.status_code == 400]
    assert len(refused) + len(checked) == 60
    assert refused
    assert len(checked) >= 17  # one is checked and sixteen wait, and more are checked if the others come late
    problem(refused[0], 503, "too-many-passwords")
    assert refused[0].headers["retry-after"] == "1"
    assert statistics.median(during) < statistics.median(alone) + lasted / len(checked) / 2
    assert login(api, "nobody").status_code == 400  # the queue is empty again


@pytest.mark.usefixtures("production_hashes")
def test_guessing_one_password_does_not_keep_others_from_logging_in(start_api: Callable[..., Api]) -> None:
    api = start_api(argon2_parallel=1)
    name = api.user()
    register(api, name)

    async def guess() -> list[int]:
        async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
            body = {"username": "victim", "password": "wrong password"}
            guesses = [asyncio.create_task(client.post("/api/login", json=body)) for _ in range(60)]
            await asyncio.wait(
                guesses, return_when=asyncio.FIRST_COMPLETED
            )  # by now all of them have arrived
            right = {"username": name, "password": PASSWORD}
            statuses = [(await client.post("/api/login", json=right)).status_code for _ in range(3)]
            assert {(await task).status_code for task in guesses} == {400, 503}
            return statuses

    assert asyncio.run(guess()) == [200, 200, 200]


@pytest.mark.parametrize("length", [4097, 60_000])
def test_a_password_of_an_impossible_length_is_a_wrong_one(api: Api, length: int) -> None:
    name = api.user()
    register(api, name)
    problem(login(api, name, "x" * length), 400, "invalid-credentials")


# -- tokens -------------------------------------------------------------------------------------------------------


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    all_ = {"sub": "ann", "role": "user", "iat": now, "exp": now + 60, "jti": "t1"} | changed
    return {name: value for name, value in all_.items() if value is not None}


def signed(payload: dict[str, Any], key: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm, headers={"kid": "1"} | header)


def unsigned(header: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    return b".".join([*parts, b""]).decode()


BAD_TOKENS = {
    "no token": "garbage",
    "three parts": "a.b.c",
    "not base64": "é.é.é",
    "alg none": unsigned({"alg": "none", "kid": "1"}),
    "alg None": unsigned({"alg": "NoNe", "kid": "1", "typ": "JWT"}),
    "no alg": unsigned({"kid": "1"}),
    "another algorithm": signed(claims(), SECRET * 2, "HS512"),
    "a foreign key": signed(claims(), "b" * 32),
    "an unknown key id": signed(claims(), kid="2"),
    "a key id that is no text": unsigned({"alg": "HS256", "kid": ["1"]}),
    "no key id": jwt.encode(claims(), SECRET, "HS256"),
    "expired": signed(claims(exp=int(time.time()) - 1)),
    "never expires": signed(claims(exp=None)),
    "expires at a text": signed(claims(exp="soon")),
    "no user": signed(claims(sub=None)),
    "no token id": signed(claims(jti=None)),
    "no role": signed(claims(role=None)),
    "another role": signed(claims(role="root")),
    "no time of issue": signed(claims(iat=None)),
    "a user that cannot be": signed(claims(sub="a/b")),
    "a user with a line break": signed(claims(sub="ann\n")),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
@pytest.mark.parametrize("path", ["/api/enqueue", "/api/queue"])
def test_a_bad_token_is_refused(api: Api, token: str, path: str) -> None:
    method, body = ("POST", {"request": 1}) if path == "/api/enqueue" else ("GET", None)
    reply = api.http.request(method, path, json=body, headers={b"authorization": f"Bearer {token}".encode()})
    problem(reply, 401, "invalid-token")
    assert reply.headers["www-authenticate"] == 'Bearer realm="laneway", error="invalid_token"'


@pytest.mark.parametrize("path", ["/api/enqueue", "/api/queue"])
def test_without_a_token_the_challenge_names_no_error(api: Api, path: str) -> None:
    reply = api.http.post(path, json={"request": 1}) if path == "/api/enqueue" else api.http.get(path)
    problem(reply, 401, "invalid-token")
    assert reply.headers["www-authenticate"] == 'Bearer realm="laneway"'


@pytest.mark.parametrize("value", ["Basic YW5uOng=", "Bearer", "Token x", "{token}"])
def test_another_scheme_is_refused(api: Api, value: str) -> None:
    value = value.format(token=api.tokens.issue("ann", Role.USER))
    problem(api.http.get("/api/queue", headers={"authorization": value}), 401, "invalid-token")


def test_a_forged_token_is_refused_although_the_genuine_one_is_remembered(api: Api) -> None:
    headers = api.auth(api.user())
    assert api.http.get("/api/queue", headers=headers).status_code == 200
    head, _, signature = headers["authorization"].split(".")
    forged = (
        base64.urlsafe_b64encode(json.dumps(claims(sub="bob", role="admin")).encode()).rstrip(b"=").decode()
    )
    problem(
        api.http.get("/api/queue", headers={"authorization": f"{head}.{forged}.{signature}"}),
        401,
        "invalid-token",
    )


def test_pods_accept_each_others_tokens_while_a_new_key_is_rolled_out(start_api: Callable[..., Api]) -> None:
    """As docs/operations.md describes it: every pod knows the new key before one of them signs with it."""
    new = "n" * 32
    pods = [
        start_api(jwt_previous_keys=json.dumps({"2": new})),
        start_api(jwt_secret=new, jwt_key_id="2", jwt_previous_keys=json.dumps({"1": SECRET})),
    ]
    name = pods[0].user()
    register(pods[0], name)
    for pod in pods:
        headers = {"authorization": f"Bearer {login(pod, name).json()['token']}"}
        assert [other.http.get("/api/queue", headers=headers).status_code for other in pods] == [200, 200]


def test_tokens_of_the_previous_key_are_accepted_after_a_rotation(start_api: Callable[..., Api]) -> None:
    api = start_api(jwt_secret="n" * 32, jwt_key_id="2", jwt_previous_keys=json.dumps({"1": SECRET}))
    assert api.enqueue(api.user())  # its token is signed with key 1
    new = Tokens({"2": b"n" * 32}, "2", seconds=60).issue("ann", Role.USER)
    assert api.http.get("/api/queue", headers={"authorization": f"Bearer {new}"}).status_code == 200
    name = api.user()
    register(api, name)
    assert jwt.get_unverified_header(login(api, name).json()["token"])["kid"] == "2"


def test_a_remembered_token_expires() -> None:
    tokens = Tokens({"1": SECRET.encode()}, "1", seconds=1)
    header = f"Bearer {tokens.issue('ann', Role.USER)}".encode()
    assert tokens.verify(header).user == "ann"

    def reason() -> str:
        try:
            return tokens.verify(header).user * 0
        except InvalidToken as error:
            return str(error)

    assert "expired" in wait_for(reason, 5)


def test_the_number_of_remembered_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.api.tokens.MAX_REMEMBERED", 3)
    tokens = Tokens({"1": SECRET.encode()}, "1", seconds=60)
    headers = [f"Bearer {tokens.issue('ann', Role.USER)}".encode() for _ in range(5)]
    for header in headers:
        tokens.verify(header)
        tokens.verify(headers[0])
    assert list(tokens._verified) == [headers[3], headers[4], headers[0]]


def test_a_revocation_lasts_as_long_as_the_token(api: Api) -> None:
    headers = api.auth(api.user())
    token = api.tokens.verify(headers["authorization"].encode())
    assert api.http.post("/api/logout", headers=headers).status_code == 204
    milliseconds = api.lanes.client.pttl(api.lanes.keys.revoked(token.token_id))
    left = token.expires_at - time.time()
    assert (left - 1) * 1000 < milliseconds <= (left + 1) * 1000, (
        "or it would be taken again before it expires"
    )


def test_concurrent_checks_of_revocations_share_round_trips(redis_url: str, prefix: str) -> None:
    """Each caller gets its own answer, and an error if the server is away."""

    def token(number: int) -> Token:
        return Token("ann", Role.USER, f"t{number}", time.time(), time.time() + 60)

    async def run() -> None:
        client = connect_async(redis_url)
        revocations = Revocations(client, Keys(prefix))
        await revocations.revoke(token(7))
        before = (await client.info("commandstats"))["cmdstat_mget"]["calls"] if await client.mget("x") else 0
        answers = await asyncio.gather(
            *(revocations.check(token(n)) for n in range(50)), return_exceptions=True
        )
        after = (await client.info("commandstats"))["cmdstat_mget"]["calls"]
        assert [n for n, answer in enumerate(answers) if answer is not None] == [7]
        assert after - before <= 2
        await client.aclose()
        away = Revocations(connect_async("redis://127.0.0.1:1/0", timeout_seconds=1), Keys(prefix))
        answers = await asyncio.gather(*(away.check(token(n)) for n in range(5)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)

    asyncio.run(run())


def test_an_error_that_nobody_expected_reaches_all_who_share_a_check_and_hangs_none(
    redis_url: str, prefix: str
) -> None:
    """Not only that the server is away: it may refuse the command."""

    async def run() -> None:
        client = connect_async(redis_url)
        revocations = Revocations(client, Keys(prefix))
        tokens = [Token("ann", Role.USER, f"t{n}", time.time(), time.time() + 60) for n in range(5)]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(client, "mget", Mock(side_effect=ResponseError("an error of another kind")))
            answers = await asyncio.wait_for(
                asyncio.gather(*map(revocations.check, tokens), return_exceptions=True), 10
            )
            assert all(isinstance(answer, Exception) for answer in answers), answers
        await asyncio.wait_for(revocations.check(tokens[0]), 10)  # the next one asks again
        await client.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["admin", "root", "Admin", "ROOT"])
def test_names_that_sound_like_operators_cannot_be_registered_by_default(api: Api, name: str) -> None:
    problem(register(api, name), 400, "cannot-register")


# -- guessing -----------------------------------------------------------------------------------------------------

FORWARDED = "x-forwarded-for"


def guess_meanwhile(
    api: Api, guesses: int, victim: str, guesser: Callable[[int], tuple[str, str]], address: str = "192.0.2.1"
) -> list[int]:
    """Log the victim in three times while others guess without a pause. Returns how many guesses were answered during each log-in.

    `guesser` gives the name and the address of each of the `guesses` connections.
    """

    async def run() -> list[int]:
        answered = 0
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.url, timeout=60, limits=limits) as client:

            async def guess(number: int) -> None:
                nonlocal answered
                name, guesser_address = guesser(number)
                body = {"username": name, "password": "wrong password"}
                while True:
                    reply = await client.post("/api/login", json=body, headers={FORWARDED: guesser_address})
                    assert reply.status_code in (400, 503)
                    answered += 1

            tasks = [asyncio.create_task(guess(number)) for number in range(guesses)]
            await asyncio.sleep(0.5)
            meanwhile = []
            for _ in range(3):
                before = answered
                body = {"username": victim, "password": PASSWORD}
                reply = await client.post("/api/login", json=body, headers={FORWARDED: address})
                assert reply.status_code == 200, reply.text
                meanwhile.append(answered - before)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return meanwhile

    return asyncio.run(run())


def test_a_user_whose_password_16_guess_gets_in(start_api: Callable[..., Api]) -> None:
    """From anywhere, even from the user's own address: each log-in waits for some guesses of each, not for all that come
    meanwhile. How many is a matter of how long MongoDB takes beside a hash."""
    api = start_api(mongo_timeout_seconds=10)
    name = api.user()
    register(api, name)
    assert max(guess_meanwhile(api, 16, name, lambda n: (name, "192.0.2.1"))) < 5 * 16
    assert max(guess_meanwhile(api, 16, name, lambda n: (name, f"198.51.100.{n}"))) < 5 * 16


@pytest.mark.thorough  # 16 who guess one name are more in one another's way
def test_120_guesses_of_random_names_keep_nobody_out(start_api: Callable[..., Api]) -> None:
    api = start_api(mongo_timeout_seconds=10)
    name = api.user()
    register(api, name)
    assert len(guess_meanwhile(api, 120, name, lambda n: (f"nobody{n}", "198.51.100.1"))) == 3


def test_log_ins_are_logged_and_counted(
    start_api: Callable[..., Api], capfd: pytest.CaptureFixture[str]
) -> None:
    api = start_api()
    name = api.user()
    register(api, name)
    headers = {FORWARDED: "2001:db8:1:2:3:4:5:6"}
    for password in (PASSWORD, "wrong password"):
        api.http.post("/api/login", json={"username": name, "password": password}, headers=headers)
    out: list[str] = []

    def logged() -> list[tuple[str, str, str]]:
        out.append(capfd.readouterr().out)
        lines = [json.loads(line) for line in "".join(out).splitlines() if "log_in_" in line]
        return [(line["event"], line["user"], line["address"]) for line in lines]

    network = "2001:db8:1:2::/64"
    assert wait_for(lambda: logged() if len(logged()) == 2 else []) == [
        ("log_in_succeeded", name, network),
        ("log_in_failed", name, network),
    ]
    page = api.metrics()
    for outcome in ("succeeded", "failed"):
        assert f'laneway_log_ins_total{{outcome="{outcome}"}}' in page


def test_an_address_is_taken_from_trusted_proxies_only(
    start_api: Callable[..., Api], capfd: pytest.CaptureFixture[str]
) -> None:
    api = start_api(trusted_proxies="192.0.2.0/24")
    api.http.post(
        "/api/login",
        json={"username": api.user(), "password": PASSWORD},
        headers={FORWARDED: "203.0.113.9"},
    )
    out = wait_for(capfd.readouterr).out
    assert '"address":"127.0.0.1"' in out
    assert "203.0.113.9" not in out
