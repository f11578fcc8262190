"""On a replica set whose URL prefers secondaries, whatever was written is read from the primary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.api.running import in_thread, settings_of, wait_for
from tests.storage.replica_set import replica_set

ACCOUNT = {"username": "ann", "password": "correct horse battery"}


@pytest.mark.parametrize("preference", ["secondaryPreferred", "nearest"])
def test_what_was_written_is_found_though_the_url_prefers_secondaries(
    redis_url: str, prefix: str, tmp_path: Path, preference: str
) -> None:
    with replica_set(tmp_path) as (url_of_set, primary, secondary):
        url = f"{url_of_set}&readPreference={preference}"
        with in_thread(settings_of(redis_url, url, prefix, "laneway")) as api:
            assert api.http.post("/api/register", json=ACCOUNT).status_code == 201
            logged_in = api.http.post("/api/login", json=ACCOUNT)
            assert logged_in.status_code == 200, logged_in.text
            headers = {"authorization": f"Bearer {logged_in.json()['token']}"}
            key = api.http.post("/api/keys", json={"name": "k", "scopes": ["read"]}, headers=headers).json()
            with_key = {"authorization": f"Bearer {key['key']}"}
            assert api.http.get("/api/queue", headers=with_key).status_code == 200
            job_id = api.end("ann")
            api.archive()
            assert api.job("ann", job_id)["state"] == "succeeded"
            listed = api.http.get("/api/jobs", headers=headers).json()["jobs"]
            assert [job["job_id"] for job in listed] == [job_id]
        assert {"insert", "find"} <= set(primary.commands)
        assert not {"find", "aggregate", "count", "insert", "update"} & set(secondary.commands)
        _assert_drivers_take_it_for_a_set(url.replace(preference, "secondary"), secondary.commands)


def _assert_drivers_take_it_for_a_set(url: str, commands: list[str]) -> None:
    """A client that follows the URL reads from the secondary, and finds nothing."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        wait_for(lambda: client.primary and client.secondaries)
        assert client["laneway"]["users"].find_one() is None
    assert "find" in commands
