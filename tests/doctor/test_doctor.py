"""`laneway doctor` on real servers: each thing that is wrong is named, with its remedy, and no secret is printed."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pymongo
import pytest
import redis
from pymongo.errors import NetworkTimeout, OperationFailure
from typer.testing import CliRunner

from laneway.__main__ import app
from laneway.dev import embedded
from laneway.lanes.health import clock_findings, sync_findings
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.storage import health as mongo
from laneway.storage.mongo import primary
from tests.servers.issuer import CLIENT_ID, Issuer, issuer
from tests.servers.redis_6 import redis_6
from tests.storage.replica_set import Member

SECRET = "a-secret-that-nobody-may-read-here"


class Doctor:
    """Runs the doctor in an environment of its own."""

    def __init__(self, environment: pytest.MonkeyPatch, redis_url: str, mongo_url: str) -> None:
        self._environment = environment
        self.redis_url = redis_url
        self.set(
            LANEWAY_REDIS_URL=redis_url,
            LANEWAY_MONGO_URL=mongo_url,
            LANEWAY_JWT_SECRET=SECRET,
        )

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._environment.setenv(name, value)

    def unset(self, name: str) -> None:
        self._environment.delenv(name)

    def finds(self, code: int = 0) -> dict[str, str]:
        """Return the texts by area, status and kind, and check the exit code and that no secret is printed."""
        people, programs = (CliRunner().invoke(app, ["doctor", *options]) for options in ([], ["--json"]))
        assert (people.exit_code, programs.exit_code) == (code, code), people.output + repr(people.exception)
        passwords = re.findall(r"://[^/@]*:([^/@]+)@", os.environ["LANEWAY_REDIS_URL"])
        for secret in (SECRET, SECRET[::-1], *passwords):
            assert secret not in people.output + programs.output
        lines = [json.loads(line) for line in programs.stdout.splitlines()]
        shown = [re.split(r"\s{2,}", line, maxsplit=2)[2] for line in people.stdout.splitlines()]
        assert [_timeless(line["text"]) for line in lines] == [_timeless(text) for text in shown]
        return {f"{line['area']} {line['status']} {line['kind']}": line["text"] for line in lines}


def _timeless(text: str) -> str:
    """The text without its seconds: two runs of the doctor may see a clock differ by another second."""
    return re.sub(r"\b\d+ s\b", "some s", text)


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Embedded]:
    """A Valkey whose configuration and users may be changed."""
    with embedded.valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def doctor(
    own_redis: embedded.Embedded, mongo_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Doctor]:
    for name in [name for name in os.environ if name.startswith("LANEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with redis.Redis.from_url(own_redis.url) as client:
        before = client.config_get("*max*policy*", "append*")
        yield Doctor(monkeypatch, own_redis.url, mongo_url)
        for name in ("maxmemory-policy", "appendonly", "appendfsync"):
            client.config_set(name, before[name])


def test_mongodb_is_too_old(mongo_url: str) -> None:
    old = Member(mongo_url, set_name="", version="5.0.31")
    url = re.sub(r"(//(?:[^@/]*@)?)[^/]+", rf"\g<1>{old.host}", mongo_url)
    try:
        health = asyncio.run(mongo.mongo_health(url, "doctors", timeout_seconds=5))
    finally:
        old.close()
    assert [problem.kind for problem in health.problems] == ["too_old"]
    assert "5.0.31 is too old" in health.problems[0].text


def test_redis_is_too_old(doctor: Doctor, tmp_path: Path) -> None:
    with redis_6(tmp_path / "redis") as server:
        doctor.set(LANEWAY_REDIS_URL=server.url)
        assert "older than 7.0" in doctor.finds(1)["redis wrong too_old"]


def test_all_is_well(doctor: Doctor) -> None:
    found = doctor.finds()
    found.pop("mongodb note standalone", None)  # a server that is given may be a replica set
    assert set(found) == {
        "settings ok read",
        "handlers ok types",
        "webhooks ok off",
        "redis ok server",
        "mongodb ok server",
    }
    assert "echo" in found["handlers ok types"]
    assert "Valkey 9" in found["redis ok server"]


def test_what_redis_would_lose(doctor: Doctor) -> None:
    with redis.Redis.from_url(doctor.redis_url) as client:
        client.config_set("appendfsync", "everysec")
        assert "always loses none" in doctor.finds()["redis note fsync"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
    found = doctor.finds(1)
    assert "set it to noeviction" in found["redis wrong eviction"]
    assert "set it to yes" in found["redis wrong no_aof"]
    assert "redis note fsync" not in found, "there is no file to sync"


@pytest.mark.parametrize(
    ("rights", "expected", "text", "code"),
    [
        ("-zadd", "redis wrong acl", "ZADD", 1),
        ("-config", "redis note fsync_unknown", "CONFIG GET", 0),
        ("-time", "redis wrong acl", "TIME", 1),
    ],
)
def test_rights_in_redis(doctor: Doctor, rights: str, expected: str, text: str, code: int) -> None:
    with redis.Redis.from_url(doctor.redis_url) as client:
        all_rights = ["reset", "on", ">ann-secret", "allkeys", "allchannels", "+@all"]
        client.execute_command("ACL", "SETUSER", "ann", *all_rights, rights)
    doctor.set(LANEWAY_REDIS_URL=re.sub("//[^@]*@", "//ann:ann-secret@", doctor.redis_url))
    assert text in doctor.finds(code)[expected]


def test_servers_that_are_away_or_refuse_the_password(doctor: Doctor, mongo_url: str) -> None:
    doctor.set(
        LANEWAY_REDIS_URL=re.sub("//[^@]*@", f"//:{SECRET}@", doctor.redis_url),
        LANEWAY_MONGO_URL=re.sub("//(.*@)?", f"//nobody:{SECRET}@", mongo_url),
    )
    found = doctor.finds(1)
    assert "refuses the user or the password" in found["redis wrong log_in"]
    assert "mongodb wrong log_in" in found
    port = embedded.free_port()
    doctor.set(
        LANEWAY_REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{port}",
        LANEWAY_MONGO_URL=f"mongodb://ann:{SECRET}@127.0.0.1:{port}/?timeoutMS=200",
    )
    found = doctor.finds(1)
    assert f"redis://127.0.0.1:{port}" in found["redis wrong no_answer"]
    assert f"mongodb://127.0.0.1:{port}" in found["mongodb wrong no_answer"]


def test_an_address_that_cannot_be_read_keeps_its_password(doctor: Doctor) -> None:
    doctor.set(LANEWAY_MONGO_URL=f"mongodb://ann:{SECRET}/x@127.0.0.1:1/")
    assert "percent-encode" in doctor.finds(1)["mongodb wrong url"]


def test_settings(doctor: Doctor) -> None:
    doctor.set(LANEWAY_LANE_CONCURENCY="1")
    assert "LANEWAY_LANE_CONCURRENCY?" in doctor.finds(2)["settings wrong LANEWAY_LANE_CONCURENCY"]
    doctor.set(LANEWAY_LANE_CONCURRENCY="0", LANEWAY_JWT_SECRET="short")
    found = doctor.finds(2)
    assert set(found) == {
        "settings wrong LANEWAY_LANE_CONCURRENCY",
        "settings wrong LANEWAY_JWT_SECRET",
    }


def test_handlers(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "doctors_own.py").write_text(
        "from laneway import handler\nprint('loud')\n@handler('a')\ndef run(payload): ...\n"
    )
    doctor.set(LANEWAY_HANDLERS="doctors_own")
    assert doctor.finds()["handlers ok types"] == "doctors_own: a"
    doctor.set(LANEWAY_HANDLERS="doctors_missing")
    assert "doctors_missing" in doctor.finds(2)["handlers wrong LANEWAY_HANDLERS"]


@pytest.fixture
def idp() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


def test_an_issuer(doctor: Doctor, idp: Issuer) -> None:
    doctor.set(LANEWAY_OIDC_ISSUER=idp.url, LANEWAY_OIDC_CLIENT_ID=CLIENT_ID)
    assert doctor.finds()["issuer ok issuer"].startswith(idp.url)
    idp.client_secret = "right"
    assert "invalid_client: check LANEWAY_OIDC_CLIENT_ID" in doctor.finds(1)["issuer wrong client"]
    doctor.set(LANEWAY_OIDC_CLIENT_SECRET="wrong")
    assert "LANEWAY_OIDC_CLIENT_SECRET" in doctor.finds(1)["issuer wrong client"]
    doctor.set(LANEWAY_OIDC_CLIENT_SECRET="right")
    assert "issuer ok issuer" in doctor.finds()
    idp.discovery = {"token_endpoint": f"http://127.0.0.1:{embedded.free_port()}/"}
    assert "does not answer" in doctor.finds(1)["issuer wrong token_endpoint"]
    idp.discovery, idp.client_secret = {}, None
    idp.clock_seconds = -60
    assert "s ahead of that of the issuer" in doctor.finds(1)["issuer wrong clock"]
    idp.clock_seconds = 60
    assert "s behind that of the issuer" in doctor.finds(1)["issuer wrong clock"]
    idp.clock_seconds = 0
    idp.discovery = {"token_endpoint": None}
    assert "code flow" in doctor.finds(1)["issuer wrong endpoints"]
    doctor.set(LANEWAY_OIDC_CLIENT_ID="", LANEWAY_OIDC_AUDIENCE="programs")
    assert "issuer ok issuer" in doctor.finds(), "programs need no endpoint for people"
    idp.discovery, idp.keys = {}, []
    assert "no key for signatures" in doctor.finds(1)["issuer wrong keys"]
    idp.discovery = {"jwks_uri": f"{idp.url}/nowhere"}
    assert "/nowhere answered 404" in doctor.finds(1)["issuer wrong keys"]
    idp.discovery = {"issuer": "https://login.example.com"}
    found = doctor.finds(1)["issuer wrong other_issuer"]
    assert "https://login.example.com: set LANEWAY_OIDC_ISSUER to exactly what it says" in found
    idp.is_away = True
    assert "answered 502: check LANEWAY_OIDC_ISSUER" in doctor.finds(1)["issuer wrong discovery"]
    doctor.set(LANEWAY_OIDC_ISSUER=f"http://127.0.0.1:{embedded.free_port()}")
    assert "does not answer" in doctor.finds(1)["issuer wrong discovery"]


def test_webhooks(doctor: Doctor) -> None:
    doctor.set(LANEWAY_WEBHOOKS_ALLOW_PRIVATE="10.1.0.0/16")
    assert "no effect" in doctor.finds()["webhooks note LANEWAY_WEBHOOKS_ALLOW_PRIVATE"]
    doctor.set(LANEWAY_WEBHOOKS_KEY="short")
    assert "32 bytes" in doctor.finds(2)["settings wrong LANEWAY_WEBHOOKS_KEY"]
    doctor.set(LANEWAY_WEBHOOKS_KEY="ab" * 16)
    assert "easy to guess" in doctor.finds(2)["webhooks wrong LANEWAY_WEBHOOKS_KEY"]
    doctor.set(LANEWAY_WEBHOOKS_KEY=SECRET)
    assert "the same as LANEWAY_JWT_SECRET" in doctor.finds(2)["webhooks wrong LANEWAY_WEBHOOKS_KEY"]
    doctor.set(LANEWAY_WEBHOOKS_KEY=SECRET[::-1])
    found = doctor.finds()
    assert "webhooks ok on" in found
    assert "may go to 10.1.0.0/16" in found["webhooks note LANEWAY_WEBHOOKS_ALLOW_PRIVATE"]
    with pymongo.MongoClient[dict[str, Any]](os.environ["LANEWAY_MONGO_URL"]) as client:
        webhooks = client["doctors_webhooks"].webhooks
        webhooks.insert_one({"_id": "0" * 12, "user": "ann"})
        doctor.set(LANEWAY_MONGO_DATABASE="doctors_webhooks")
        assert "webhooks wrong no_key" not in doctor.finds()
        doctor.unset("LANEWAY_WEBHOOKS_KEY")
        assert "to the key that they had" in doctor.finds(1)["webhooks wrong no_key"]
        webhooks.update_one({}, {"$set": {"disabled_reason": "because"}})
        assert "webhooks wrong no_key" not in doctor.finds()
        client.drop_database("doctors_webhooks")
    doctor.set(LANEWAY_WEBHOOKS_KEY=SECRET[::-1])
    doctor.set(LANEWAY_WEBHOOKS_ALLOW_PRIVATE="10.1.0.0/16, 169.254.0.0/16")
    found = doctor.finds(2)
    assert "has 169.254.0.0/16, which the metadata" in found["webhooks wrong LANEWAY_WEBHOOKS_ALLOW_PRIVATE"]


def test_clocks(own_redis: embedded.Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> list[str]:
        client = connect_async(own_redis.url)
        try:
            lanes = AsyncLanes(client, Keys("own"))
            assert await sync_findings(lanes) == []
            assert await clock_findings(lanes) == []
            seconds, microseconds = await client.time()
            found = []
            for shift in (-90, 90):
                monkeypatch.setattr(client, "time", AsyncMock(return_value=(seconds + shift, microseconds)))
                found += await clock_findings(lanes)
            return [finding.text for finding in found]
        finally:
            await client.aclose()

    ahead, behind = asyncio.run(look())
    assert "s ahead of that of Redis" in ahead
    assert "s behind that of Redis" in behind


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OperationFailure("not authorized", 13), "rights", "readWrite"),
        (OperationFailure("cannot use 'j' option", 2), "write_concern", "durably"),
        (NetworkTimeout("timed out"), "write_concern", "rs.status()"),
    ],
)
def test_what_mongodb_refuses(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, text: str
) -> None:
    """What the embedded server never refuses is refused in its place."""
    real = primary

    def refusing(*arguments: object) -> object:
        collection = real(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(type(collection), "update_one", AsyncMock(side_effect=error))
        return collection

    monkeypatch.setattr(mongo, "primary", refusing)
    health = asyncio.run(mongo.mongo_health(mongo_url, "doctors", timeout_seconds=5))
    (problem,) = health.problems
    assert problem.kind == kind
    assert text in problem.text
