"""Canaries: what `laneway.compat.secantus` relies on in SecantusDB."""

from __future__ import annotations

import time
from pathlib import Path

import pymongo
import pymongo.errors
import pytest

pytest.importorskip("secantus")

from laneway.compat import secantus
from laneway.dev.embedded import free_port


def test_a_server_has_its_user_and_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    server = secantus.start("127.0.0.1", port, username="ann", password="secret")
    assert hasattr(server, "_socket"), "SecantusDBServer has no _socket any more: how does stop() end now?"
    url = f"127.0.0.1:{port}/?authSource=admin"
    with pymongo.MongoClient[dict[str, object]](f"mongodb://ann:secret@{url}") as client:
        client.test.things.insert_one({"_id": 1})
        assert client.test.things.count_documents({}) == 1, "storage.add_user makes no user any more"
    with (
        pymongo.MongoClient[dict[str, object]](f"mongodb://ann:wrong@{url}") as client,
        pytest.raises(pymongo.errors.OperationFailure),
    ):
        client.test.things.find_one()
    began = time.monotonic()
    secantus.stop(server)
    assert time.monotonic() - began < 1.5, "shutting its socket down no longer wakes the server's accept()"
