"""Who may register, how often from one address, and that an administrator is always left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from laneway.api.tokens import Tokens
from laneway.storage.users import Role
from tests.api.running import SECRET, Api, problem

PASSWORD = "correct horse battery"


def register(api: Api, name: str, address: str = "192.0.2.1", **more: Any) -> httpx.Response:
    body = {"username": name, "password": PASSWORD} | more
    return api.http.post("/api/register", json=body, headers={"x-forwarded-for": address})


def invitation(api: Api) -> str:
    reply = api.http.post("/api/admin/invitations", json={}, headers=api.admin())
    assert reply.status_code == 201
    assert reply.json()["expires_in"] == 7 * 86_400
    return str(reply.json()["invitation"])


# -- who may ------------------------------------------------------------------------------------------------------


def test_registration_can_be_closed(start_api: Callable[..., Api]) -> None:
    api = start_api(registration="closed")
    problem(register(api, api.user()), 403, "registration-closed")
    problem(register(api, api.user(), invitation=invitation(api)), 403, "registration-closed")


def test_an_invitation_registers_one_user(start_api: Callable[..., Api]) -> None:
    api = start_api(registration="invitation")
    text = invitation(api)
    assert register(api, api.user(), invitation=text).status_code == 201
    problem(register(api, api.user(), invitation=text), 403, "not-invited")
    problem(register(api, api.user()), 403, "not-invited")


def test_a_refused_registration_does_not_use_the_invitation_up(start_api: Callable[..., Api]) -> None:
    api = start_api(registration="invitation")
    text = invitation(api)
    problem(register(api, "no", invitation=text), 400, "cannot-register")
    assert register(api, api.user(), invitation=text).status_code == 201


def test_what_is_no_invitation_is_refused(start_api: Callable[..., Api]) -> None:
    api = start_api(registration="invitation")
    expired = Tokens({"1": SECRET.encode()}, "1", seconds=1).invite(-1)
    foreign = Tokens({"1": b"x" * 32}, "1", seconds=1).invite(60)
    log_in = api.auth(api.user(), Role.ADMIN)["authorization"].removeprefix("Bearer ")
    for text in ("", "x", expired, foreign, log_in):
        problem(register(api, api.user(), invitation=text), 403, "not-invited")


def test_an_invitation_is_no_token(api: Api) -> None:
    headers = {"authorization": f"Bearer {invitation(api)}"}
    problem(api.http.get("/api/queue", headers=headers), 401, "invalid-token")


# -- how often ----------------------------------------------------------------------------------------------------


def test_registrations_from_one_address_are_limited(start_api: Callable[..., Api]) -> None:
    api = start_api(registrations_per_minute=3)
    assert [register(api, api.user()).status_code for _ in range(3)] == [201] * 3
    refused = register(api, api.user())
    problem(refused, 429, "too-many-registrations")
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert register(api, api.user(), "192.0.2.2").status_code == 201


def test_addresses_of_one_ipv6_network_are_one(start_api: Callable[..., Api]) -> None:
    api = start_api(registrations_per_minute=1)
    assert register(api, api.user(), "2001:db8::1").status_code == 201
    problem(register(api, api.user(), "2001:db8::2"), 429, "too-many-registrations")
    assert register(api, api.user(), "2001:db8:0:1::1").status_code == 201


# -- the last administrator ---------------------------------------------------------------------------------------


def administrator(api: Api) -> tuple[str, dict[str, str]]:
    name = api.user()
    assert register(api, name).status_code == 201
    api.mongo()["users"].update_one({"_id": name}, {"$set": {"role": "admin"}})
    return name, api.auth(name, Role.ADMIN)


def set_role(api: Api, name: str, role: str, headers: dict[str, str]) -> httpx.Response:
    return api.http.put(f"/api/admin/users/{name}/role", json={"role": role}, headers=headers)


def test_the_last_administrator_keeps_the_role(start_api: Callable[..., Api]) -> None:
    api = start_api()
    ann, headers = administrator(api)
    bob = api.user()
    register(api, bob)
    problem(set_role(api, ann, "user", headers), 409, "last-administrator")
    assert api.http.get("/api/admin/users", headers=headers).status_code == 200  # the token still counts
    assert set_role(api, bob, "user", headers).status_code == 200
    assert set_role(api, bob, "admin", headers).status_code == 200
    assert set_role(api, ann, "user", headers).status_code == 200
    assert api.mongo()["users"].count_documents({"role": "admin"}) == 1


def test_administrators_who_demote_each_other_leave_one(start_api: Callable[..., Api]) -> None:
    api = start_api()
    admins = [administrator(api) for _ in range(2)]
    caller = api.admin()

    async def both() -> list[int]:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
            replies = await asyncio.gather(
                *(
                    client.put(f"/api/admin/users/{name}/role", json={"role": "user"}, headers=caller)
                    for name, _ in admins
                )
            )
        return [reply.status_code for reply in replies]

    assert set(asyncio.run(both())) <= {200, 409}
    assert api.mongo()["users"].count_documents({"role": "admin"}) >= 1
