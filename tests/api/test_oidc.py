"""Log-in by an OpenID Connect issuer, real but for its people, and the tokens that must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from laneway.oidc import fetched, provider
from laneway.storage.users import Role
from tests.api.running import Api, closed, in_thread, problem, settings_of, wait_for
from tests.servers.issuer import CLIENT_ID, Issuer, Key, issuer

PASSWORD = "correct horse battery"
VERIFIER = "v" * 43
NONCE = "n" * 22
REDIRECT = "https://laneway.example.com/ui/login"


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


@pytest.fixture
def idp(shared_issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """The issuer as it was made: keys take time to make."""
    keys = shared_issuer.keys[:2]
    shared_issuer.keys, shared_issuer.people, shared_issuer.client_secret = keys, {}, None
    shared_issuer.is_away, shared_issuer.discovery, shared_issuer.id_claims = False, {}, {}
    shared_issuer.asked.clear()
    monkeypatch.setattr(fetched, "RETRY_SECONDS", 0.2)
    return shared_issuer


Start = Callable[..., Api]


@pytest.fixture
def start(start_api: Start, idp: Issuer) -> Start:
    def run(**options: Any) -> Api:
        return start_api(**{"oidc_issuer": idp.url, "oidc_client_id": CLIENT_ID} | options)

    return run


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def account(api: Api, token: str) -> httpx.Response:
    return api.http.get("/api/account", headers=bearer(token))


def username(api: Api, token: str) -> str:
    reply = account(api, token)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["username"])


def log_in(api: Api, idp: Issuer, subject: str, **changes: Any) -> httpx.Response:
    """Log in as the dashboard does, with parts of what it sends replaced."""
    sent = {
        "code": idp.code(subject, VERIFIER, REDIRECT, NONCE),
        "code_verifier": VERIFIER,
        "nonce": NONCE,
        "redirect_uri": REDIRECT,
    }
    return api.http.post("/api/login/oidc", json=sent | changes)


# -- programs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["RSA", "elliptic curve"])
def test_a_token_of_the_issuer_does_what_one_of_ours_does(start: Start, idp: Issuer, number: int) -> None:
    api = start()
    headers = bearer(idp.token("Ann-1", key=idp.keys[number]))
    reply = api.http.post("/api/enqueue", json={"request": 1}, headers=headers)
    assert reply.status_code == 200, reply.text
    job = api.http.get(f"/api/jobs/{reply.json()['job_id']}", headers=headers).json()
    assert job["user"] == "oidc.ann-1"
    shown = api.http.get("/api/account", headers=headers).json()
    assert (shown["username"], shown["role"], shown["issuer"]) == ("oidc.ann-1", "user", idp.url)
    assert shown["created_at"]
    with api.connect(headers, path="/api/events"):
        pass
    problem(api.http.get("/api/admin/users", headers=headers), 403, "forbidden")


def test_the_issuer_is_asked_once_for_many_requests(start: Start, idp: Issuer) -> None:
    api = start()
    for number in range(5):
        assert username(api, idp.token(f"ann-{number}")) == f"oidc.ann-{number}"
    assert idp.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


def none_signed(claims: dict[str, Any], algorithm: str = "none") -> str:
    parts = ({"alg": algorithm, "typ": "JWT", "kid": "rsa-1"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), ""]
    )


def signed_with_public_key(idp: Issuer, algorithm: str, **header: str) -> str:
    """As an attacker does who hopes that the public key counts as a secret. PyJWT itself refuses to make such a token."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = {"alg": algorithm, "typ": "JWT", "kid": "rsa-1"} | header
    text = part(json.dumps(head).encode()) + b"." + part(json.dumps(idp.claims("eve")).encode())
    digest = hmac.new(idp.keys[0].pem(), text, hashlib.sha256).digest()
    return (text + b"." + part(digest)).decode()


def flipped(token: str) -> str:
    return token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]


NOW = int(time.time())
ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda idp: none_signed(idp.claims("eve")),
    "alg NoNe": lambda idp: none_signed(idp.claims("eve"), "NoNe"),
    "HS256 with the public key": lambda idp: signed_with_public_key(idp, "HS256"),
    "HS256 with the public key and our key id": lambda idp: signed_with_public_key(idp, "HS256", kid="1"),
    "RS256 in name": lambda idp: signed_with_public_key(idp, "RS256"),
    "another key with a known id": lambda idp: idp.token("eve", key=Key("rsa-1", "RS256")),
    "an unknown key": lambda idp: idp.token("eve", key=Key("rsa-9", "RS256")),
    "the id of a key of another kind": lambda idp: idp.token("eve", header={"kid": "ec-1"}),
    "no key id, though there are two": lambda idp: jwt.encode(
        idp.claims("eve"), idp.keys[0].private, "RS256"
    ),
    "an algorithm that the key is not for": lambda idp: jwt.encode(
        idp.claims("eve"), idp.keys[0].private, "RS512", {"kid": "rsa-1"}
    ),
    "another signature": lambda idp: flipped(idp.token("eve")),
    "another issuer": lambda idp: idp.token("eve", iss="https://login.example.com"),
    "the issuer with a slash": lambda idp: idp.token("eve", iss=idp.url + "/"),
    "no issuer": lambda idp: idp.token("eve", iss=None),
    "another audience": lambda idp: idp.token("eve", aud="shop"),
    "no audience": lambda idp: idp.token("eve", aud=None),
    "another client": lambda idp: idp.token("eve", azp="shop"),
    "several audiences and no client": lambda idp: idp.token("eve", aud=[CLIENT_ID, "shop"]),
    "expired": lambda idp: idp.token("eve", iat=NOW - 600, exp=NOW - 300),
    "never expires": lambda idp: idp.token("eve", exp=None),
    "valid for a month": lambda idp: idp.token("eve", exp=NOW + 30 * 86_400),
    "not valid yet": lambda idp: idp.token("eve", nbf=NOW + 3600),
    "issued in the future": lambda idp: idp.token("eve", iat=NOW + 3600, exp=NOW + 3700),
    "no time of issue": lambda idp: idp.token("eve", iat=None),
    "expires at a text": lambda idp: idp.token("eve", exp="soon"),
    "no subject": lambda idp: idp.token("eve", sub=None),
    "an empty subject": lambda idp: idp.token(""),
    "a long subject": lambda idp: idp.token("e" * 256),
    "a logout token": lambda idp: idp.token("eve", header={"typ": "logout+jwt"}),
    "an event": lambda idp: idp.token(
        "eve", events={"http://schemas.openid.net/event/backchannel-logout": {}}
    ),
    "a huge token": lambda idp: idp.token("eve", groups=["g" * 50] * 400),
}


@pytest.fixture(scope="module")
def attacked(shared_issuer: Issuer, redis_url: str, mongo_url: str) -> Iterator[Api]:
    name = "t" + secrets.token_hex(8)
    options = {"oidc_issuer": shared_issuer.url, "oidc_client_id": CLIENT_ID}
    with in_thread(settings_of(redis_url, mongo_url, name, name, **options)) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("path", ["/api/enqueue", "/api/account"])
def test_a_bad_token_is_refused(
    attacked: Api, idp: Issuer, attack: Callable[[Issuer], str], path: str
) -> None:
    method, body = ("POST", {"request": 1}) if path == "/api/enqueue" else ("GET", None)
    headers = bearer(attack(idp))
    problem(attacked.http.request(method, path, json=body, headers=headers), 401, "invalid-token")
    assert username(attacked, idp.token("eve")) == "oidc.eve", "the test's own token is wrong"


def test_a_clock_may_differ_by_some_seconds(start: Start, idp: Issuer) -> None:
    api, now = start(), int(time.time())
    assert username(api, idp.token("ann", iat=now + 15, nbf=now + 15)) == "oidc.ann"
    assert username(api, idp.token("ann", iat=now - 300, exp=now - 15)) == "oidc.ann"


def test_programs_may_have_an_audience_of_their_own(start: Start, idp: Issuer) -> None:
    api = start(oidc_audience="laneway-api")
    assert username(api, idp.token("ann", aud=["laneway-api", "shop"], azp="shop")) == "oidc.ann"
    problem(account(api, idp.token("ann")), 401, "invalid-token")


def test_a_token_that_has_expired_is_refused_although_it_is_remembered(
    start: Start, idp: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, now = start(), int(time.time())
    token = idp.token("ann", iat=now - 300, exp=now - 28)
    assert username(api, token) == "oidc.ann"
    wait_for(lambda: account(api, token).status_code != 200)
    assert "expired" in problem(account(api, token), 401, "invalid-token")["detail"]


def with_twin_signature(token: str) -> str:
    """Return a token with the other signature of an elliptic curve that fits: of (r, s) and (r, -s) both do."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
    text, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    return f"{text}.{base64.urlsafe_b64encode(twin).decode().rstrip('=')}"


def test_a_log_out_revokes_the_token_in_whatever_way_its_signature_is_written(
    start: Start, idp: Issuer
) -> None:
    api = start()
    token = idp.token("ann", key=idp.keys[1])
    twin = with_twin_signature(token)
    assert twin != token
    assert username(api, twin) == username(api, token) == "oidc.ann"
    with api.connect(bearer(token), path="/api/events") as socket:
        assert api.http.post("/api/logout", headers=bearer(token)).status_code == 204
        assert closed(socket)[0] == 1008
    for text in (token, twin):
        problem(account(api, text), 401, "invalid-token")
        problem(
            api.http.post("/api/enqueue", json={"request": 1}, headers=bearer(text)), 401, "invalid-token"
        )
    assert username(api, idp.token("ann", jti="another")) == "oidc.ann"


def test_our_own_tokens_and_passwords_go_on_beside_the_issuer(start: Start, idp: Issuer) -> None:
    api = start()
    idp.is_away = True
    name = api.user()
    credentials = {"username": name, "password": PASSWORD}
    assert api.http.post("/api/register", json=credentials).status_code == 201
    token = api.http.post("/api/login", json=credentials).json()["token"]
    assert username(api, token) == name
    detail = problem(account(api, idp.token("ann")), 503, "issuer-unavailable")["detail"]
    assert "OpenID Connect" in detail
    idp.is_away = False
    wait_for(lambda: account(api, idp.token("ann")).status_code == 200)


# -- keys ---------------------------------------------------------------------------------------------------------


def test_a_new_key_of_the_issuer_is_known_at_once(
    start: Start, idp: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "AGAIN_SECONDS", 0)
    api = start()
    assert username(api, idp.token("ann")) == "oidc.ann"
    new = Key("rsa-2", "RS256")
    idp.keys = [*idp.keys, new]
    assert username(api, idp.token("ann", key=new)) == "oidc.ann"
    assert idp.asked["/keys"] == 2


def test_strangers_cannot_make_us_ask_the_issuer_all_the_time(start: Start, idp: Issuer) -> None:
    api = start()
    assert username(api, idp.token("ann")) == "oidc.ann"
    for number in range(20):
        token = idp.token("eve", header={"kid": f"made-up-{number}"})
        problem(account(api, token), 401, "invalid-token")
    assert idp.asked["/keys"] == 1


def test_a_key_that_was_withdrawn_is_refused(
    start: Start, idp: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a token that is remembered."""
    monkeypatch.setattr(provider, "KEYS_FRESH_SECONDS", 0)
    monkeypatch.setattr("laneway.api.callers.FRESH_SECONDS", 0)
    api = start()
    token = idp.token("ann")
    assert username(api, token) == "oidc.ann"
    idp.keys = idp.keys[1:]
    wait_for(lambda: account(api, token).status_code == 401)


def test_while_the_issuer_is_away_its_keys_are_used_for_a_time(
    start: Start, idp: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "KEYS_FRESH_SECONDS", 0)
    monkeypatch.setattr(provider, "KEYS_USABLE_SECONDS", 1.5)
    api = start()
    assert username(api, idp.token("ann")) == "oidc.ann"
    idp.is_away = True
    assert username(api, idp.token("bob")) == "oidc.bob"
    unknown = (idp.token(f"new-{number}") for number in range(10_000))
    wait_for(lambda: account(api, next(unknown)).status_code != 200)
    problem(account(api, next(unknown)), 503, "issuer-unavailable")
    idp.is_away = False
    wait_for(lambda: account(api, next(unknown)).status_code == 200)


WRONG_DISCOVERIES: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://login.example.com"},
    "no keys": {"jwks_uri": None},
    "keys nowhere": {"jwks_uri": "http://127.0.0.1:1/keys"},
    "keys in a file": {"jwks_uri": "file:///etc/passwd"},
    "keys that are none": {
        "jwks_uri": "http://127.0.0.1:{port}/realms/main/.well-known/openid-configuration"
    },
}


@pytest.mark.parametrize("wrong", WRONG_DISCOVERIES.values(), ids=WRONG_DISCOVERIES.keys())
def test_an_issuer_that_says_something_wrong_is_not_used(
    start: Start, idp: Issuer, wrong: dict[str, Any]
) -> None:
    idp.discovery = {
        name: value and value.replace("{port}", str(idp.server_port)) for name, value in wrong.items()
    }
    problem(account(start(), idp.token("ann")), 503, "issuer-unavailable")


# -- users --------------------------------------------------------------------------------------------------------


def test_a_local_user_and_one_of_the_issuer_never_share_a_name(start: Start, idp: Issuer) -> None:
    api = start(oidc_user_prefix="-")
    credentials = {"username": "ann", "password": PASSWORD}
    assert api.http.post("/api/register", json=credentials).status_code == 201
    for subject in ("ann", "Ann", "\uff21\uff2e\uff2e"):
        problem(account(api, idp.token(subject)), 403, "not-a-user")
        problem(log_in(api, idp, subject), 403, "not-a-user")
    assert username(api, idp.token("bob")) == "bob"
    reply = api.http.post("/api/register", json={"username": "Bob", "password": PASSWORD})
    problem(reply, 400, "cannot-register")
    problem(api.http.post("/api/login", json={"username": "bob", "password": ""}), 400, "invalid-credentials")
    problem(account(api, idp.token("admin")), 403, "not-a-user")


def test_nobody_can_register_a_name_of_the_issuers_users(start: Start, start_api: Start) -> None:
    body = {"username": "OIDC.ann", "password": PASSWORD}
    problem(start().http.post("/api/register", json=body), 400, "cannot-register")
    assert start_api().http.post("/api/register", json=body).status_code == 201, "without an issuer they can"


def test_two_subjects_never_share_a_name(start: Start, idp: Issuer) -> None:
    """Not even when the issuer gives the second what it gave the first, or names differ in case alone."""
    api = start(oidc_user_claim="email")
    idp.people = {"1": {"email": "ann@example.com"}, "2": {"email": "ANN@example.com"}}
    assert username(api, idp.token("1")) == "oidc.ann-example.com"
    problem(account(api, idp.token("2")), 403, "not-a-user")
    idp.people["1"] = {"email": "ann@new.example.com"}
    assert username(api, idp.token("1", jti="later")) == "oidc.ann-example.com", "the lane stays"
    idp.people["1"] = {}
    assert username(api, idp.token("1", jti="last")) == "oidc.ann-example.com"


@pytest.mark.parametrize("value", [None, "", 7, ["ann"], "x" * 60, {"a": 1}])
def test_a_claim_that_is_no_name_is_told(start: Start, idp: Issuer, value: Any) -> None:
    api = start(oidc_user_claim="nick")
    detail = problem(account(api, idp.token("ann", nick=value)), 403, "not-a-user")["detail"]
    assert "'nick'" in detail
    assert api.mongo()["users"].count_documents({}) == 0


def test_requests_of_a_new_user_at_the_same_time_make_one_user(start: Start, idp: Issuer) -> None:
    apis = [start(), start()]
    tokens = [idp.token("ann", jti=str(number)) for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda pair: account(*pair), zip(apis * 10, tokens, strict=True)))
    assert [reply.status_code for reply in replies] == [200] * 20
    assert [user["_id"] for user in apis[0].mongo()["users"].find()] == ["oidc.ann"]
    assert apis[0].mongo()["identities"].count_documents({}) == 1


def test_a_deleted_user_stays_out(start: Start, idp: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.api.callers.FRESH_SECONDS", 0)
    api = start()
    token = idp.token("ann")
    assert username(api, token) == "oidc.ann"
    old = idp.token("ann", iat=int(time.time()) - 1200)
    deletion = {"password": ""}
    refused = api.http.post("/api/account/delete", headers=bearer(old), json=deletion)
    problem(refused, 403, "log-in-too-old")
    assert api.http.post("/api/account/delete", headers=bearer(token), json=deletion).status_code == 200
    for text in (token, old):
        problem(account(api, text), 401, "invalid-token")
    new = idp.token("ann", iat=int(time.time()) + 2)
    problem(account(api, new), 403, "not-a-user")
    problem(log_in(api, idp, "ann"), 403, "not-a-user")


def test_a_user_of_the_issuer_has_no_password_to_change(start: Start, idp: Issuer) -> None:
    api = start()
    body = {"password": "", "new_password": PASSWORD}
    reply = api.http.put("/api/account/password", json=body, headers=bearer(idp.token("ann")))
    problem(reply, 400, "invalid-credentials")
    body = {"username": "oidc.ann", "password": PASSWORD}
    problem(api.http.post("/api/login", json=body), 400, "invalid-credentials")


# -- roles --------------------------------------------------------------------------------------------------------

ADMIN_CLAIMS = [
    ("groups", "laneway-admins", {"groups": ["staff", "laneway-admins"]}),
    ("realm_access.roles", "admin", {"realm_access": {"roles": ["admin"]}}),
    ("https://example.com/role", "admin", {"https://example.com/role": "admin"}),
    ("is_admin", "true", {"is_admin": True}),
]
NOT_ADMIN: list[dict[str, Any]] = [
    {},
    {"groups": []},
    {"groups": "laneway-admins2"},
    {"groups": {"laneway-admins": True}},
    {"groups": [["laneway-admins"]]},
    {"realm_access": ["roles"]},
]


@pytest.mark.parametrize(("claim", "value", "claims"), ADMIN_CLAIMS)
def test_a_claim_makes_an_administrator(
    start: Start, idp: Issuer, claim: str, value: str, claims: dict[str, Any]
) -> None:
    api = start(oidc_admin_claim=claim, oidc_admin_value=value)
    headers = bearer(idp.token("ann", **claims))
    assert api.http.get("/api/admin/users", headers=headers).status_code == 200
    for number, others in enumerate(NOT_ADMIN):
        headers = bearer(idp.token(f"bob-{number}", **others))
        problem(api.http.get("/api/admin/users", headers=headers), 403, "forbidden")


def test_without_a_claim_roles_are_given_here(start: Start, idp: Issuer) -> None:
    api = start()
    token = idp.token("ann", groups=["admin"], role="admin")
    assert username(api, token) == "oidc.ann"
    body = {"role": "admin"}
    assert api.http.put("/api/admin/users/oidc.ann/role", json=body, headers=api.admin()).status_code == 200
    headers = bearer(log_in(api, idp, "ann").json()["token"])
    assert api.http.get("/api/admin/users", headers=headers).status_code == 200


def test_a_log_in_without_the_claim_takes_the_role_away_from_what_was_given_before(
    start: Start, idp: Issuer
) -> None:
    api = start(oidc_admin_claim="groups", oidc_admin_value="boss")
    idp.people = {"ann": {"groups": ["boss"]}}
    before = [log_in(api, idp, "ann").json()["token"], idp.token("ann", iat=int(time.time()) - 5)]
    for token in before:
        assert api.http.get("/api/admin/users", headers=bearer(token)).status_code == 200
    idp.people = {}
    after = log_in(api, idp, "ann").json()["token"]
    problem(api.http.get("/api/admin/users", headers=bearer(after)), 403, "forbidden")
    for token in before:
        problem(api.http.get("/api/admin/users", headers=bearer(token)), 401, "invalid-token")
    assert api.mongo()["users"].find_one({"_id": "oidc.ann"})["role"] == "user"


def test_a_role_stays_taken_away_for_as_long_as_a_token_of_the_issuer_may_be_valid(
    start: Start, idp: Issuer
) -> None:
    api = start()
    assert username(api, idp.token("ann")) == "oidc.ann"
    body = {"role": "user"}
    assert api.http.put("/api/admin/users/oidc.ann/role", json=body, headers=api.admin()).status_code == 200
    assert api.lanes.client.pttl(api.lanes.keys.revoked("role/oidc.ann")) > 86_400_000


# -- the dashboard's way ------------------------------------------------------------------------------------------


def test_a_code_is_exchanged_for_a_token_of_ours(start: Start, idp: Issuer) -> None:
    api = start()
    reply = log_in(api, idp, "ann")
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 3600)
    assert api.tokens.verify(f"Bearer {answer['token']}".encode()).user == "oidc.ann"
    user = api.mongo()["users"].find_one({"_id": "oidc.ann"})
    assert user["last_login_at"]
    assert "password" not in user
    idp.is_away = True
    assert username(api, answer["token"]) == "oidc.ann"


def test_how_users_log_in_is_told(start: Start, idp: Issuer, api: Api) -> None:
    plain = {"registration": "open", "issuer": None, "dev": False}
    assert api.http.get("/api/login").json() == plain
    problem(log_in(api, idp, "ann"), 404, "no-issuer")
    with_issuer = start(registration="closed", oidc_scopes="openid email")
    issuer_ = {
        "issuer": idp.url,
        "client_id": CLIENT_ID,
        "scope": "openid email",
        "authorization_endpoint": idp.url + "/authorize",
    }
    expected = {"registration": "closed", "issuer": issuer_, "dev": False}
    assert with_issuer.http.get("/api/login").json() == expected
    for_programs = start(oidc_client_id="", oidc_audience="laneway-api")
    assert for_programs.http.get("/api/login").json() == plain
    problem(log_in(for_programs, idp, "ann"), 404, "no-issuer")
    idp.is_away = True
    away = start(registration="closed", oidc_scopes="openid email").http.get("/api/login")
    assert away.json() == expected | {"issuer": issuer_ | {"authorization_endpoint": None}}


WRONG_CODES: dict[str, dict[str, str]] = {
    "another verifier": {"code_verifier": "w" * 43},
    "a made-up code": {"code": "made-up"},
    "another nonce": {"nonce": "m" * 22},
    "another address": {"redirect_uri": "https://evil.example.com/ui/login"},
}


@pytest.mark.parametrize("wrong", WRONG_CODES.values(), ids=WRONG_CODES.keys())
def test_a_wrong_code_is_refused(start: Start, idp: Issuer, wrong: dict[str, str]) -> None:
    problem(log_in(start(), idp, "ann", **wrong), 400, "invalid-code")


def test_a_code_is_good_for_one_log_in(start: Start, idp: Issuer) -> None:
    api = start()
    code = idp.code("ann", VERIFIER, REDIRECT, NONCE)
    assert log_in(api, idp, "ann", code=code).status_code == 200
    problem(log_in(api, idp, "ann", code=code), 400, "invalid-code")


@pytest.mark.parametrize(
    "claims",
    [{"aud": "shop"}, {"azp": "shop"}, {"iss": "https://x.example.com"}, {"nonce": None}, {"exp": NOW - 100}],
)
def test_an_id_token_that_is_not_for_this_log_in_is_refused(
    start: Start, idp: Issuer, claims: dict[str, Any]
) -> None:
    idp.id_claims = claims
    problem(log_in(start(oidc_audience="shop"), idp, "ann"), 400, "invalid-code")


@pytest.mark.parametrize(
    "address",
    [
        "https://laneway.example.com/ui/login?next=https://evil.example.com",
        "https://laneway.example.com/ui/login#x",
        "https://evil.example.com/",
        "javascript:/ui/login",
        "https://laneway.example.com/elsewhere/ui/login",
    ],
)
def test_the_address_of_the_way_back_is_fixed(start: Start, idp: Issuer, address: str) -> None:
    api = start(root_path="/queue")
    code = idp.code("ann", VERIFIER, address, NONCE)
    problem(log_in(api, idp, "ann", code=code, redirect_uri=address), 400, "bad-request")
    right = "https://laneway.example.com/queue/ui/login"
    code = idp.code("ann", VERIFIER, right, NONCE)
    assert log_in(api, idp, "ann", code=code, redirect_uri=right).status_code == 200


def test_a_client_with_a_secret_sends_it(start: Start, idp: Issuer) -> None:
    idp.client_secret = "s3cret: 50 %+"
    assert log_in(start(oidc_client_secret=idp.client_secret), idp, "ann").status_code == 200
    refused = problem(log_in(start(oidc_client_secret="wrong"), idp, "ann"), 503, "issuer-unavailable")
    assert "s3cret" not in json.dumps(refused)


def test_what_the_issuer_says_is_no_name_and_no_role_of_ours(start: Start, idp: Issuer) -> None:
    """Claims that our own tokens have mean nothing in one of the issuer."""
    api = start()
    token = idp.token("ann", role=Role.ADMIN.value, jti="1", use="invitation")
    problem(api.http.get("/api/admin/users", headers=bearer(token)), 403, "forbidden")
