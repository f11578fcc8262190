"""Embedded servers that say something else about themselves; and two of them that a driver takes for a replica set, whose secondary
never receives a write.

A proxy before each of them changes what it says about itself when a driver asks (`hello`). There is no mongod among the packages that the
tests may install, and the embedded server knows no replication; but which member a driver reads from, and what comes of a member that
lags behind, is as with a real set.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bson

from laneway.dev import embedded
from laneway.dev.embedded import secantus_names

NAME = "rs0"
PASSWORD = "of-all-members"
_HEADER, _OP_REPLY, _OP_MSG = struct.Struct("<iiii"), 1, 2013
_DOCUMENT_AT = {_OP_REPLY: 20, _OP_MSG: 5}
"""Where the document of a reply begins, behind the header."""
_ABOUT_ITSELF = {"hello", "ismaster", "isMaster"}


@dataclass
class Member:
    """A proxy before a server."""

    url: str
    """Of the server."""
    is_primary: bool = True
    hosts: list[str] = field(default_factory=list)
    set_name: str = NAME
    """Empty: it says that it is no member of any."""
    version: str = ""
    """What it says instead of its own version."""
    commands: list[str] = field(default_factory=list)
    """What clients have asked of it, besides what it is."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.hosts.append(self.host)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                host, _, port = self.url.rpartition("@")[2].removeprefix("mongodb://").partition(":")
                upstream = socket.create_connection((host, int(port.partition("/")[0])))
                for source, target, change in (
                    (client, upstream, self._note),
                    (upstream, client, self._reply),
                ):
                    threading.Thread(target=_relay, args=(source, target, change), daemon=True).start()

    def _note(self, op: int, body: bytes) -> bytes:
        if op == _OP_MSG:
            command = next(iter(bson.decode(body[5 : 5 + struct.unpack_from("<i", body, 5)[0]])))
            if command not in _ABOUT_ITSELF:
                self.commands.append(command)
        return body

    def _reply(self, op: int, body: bytes) -> bytes:
        at = _DOCUMENT_AT[op]
        document = bson.decode(body[at:])
        if "maxWireVersion" in document and self.set_name:
            document.pop("topologyVersion", None)  # the driver asks again and again, instead of being told
            document |= self._membership()
        elif "version" in document and self.version:
            document["version"] = self.version
        else:
            return body
        return body[:at] + bson.encode(document)

    def _membership(self) -> dict[str, Any]:
        return {
            "setName": self.set_name,
            "setVersion": 1,
            "hosts": self.hosts,
            "primary": self.hosts[0],
            "me": self.host,
            "ismaster": self.is_primary,
            "isWritablePrimary": self.is_primary,
            "secondary": not self.is_primary,
        }


def _relay(source: socket.socket, target: socket.socket, change: Any) -> None:
    with suppress(OSError, EOFError), source, target:
        while True:
            length, request, response_to, op = _HEADER.unpack(_exactly(source, _HEADER.size))
            body = change(op, _exactly(source, length - _HEADER.size))
            target.sendall(_HEADER.pack(len(body) + _HEADER.size, request, response_to, op) + body)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := source.recv(size - len(data))):
            raise EOFError
        data += more
    return data


@contextmanager
def replica_set(folder: Path) -> Iterator[tuple[str, Member, Member]]:
    """Yield the URL of the set, its primary and its secondary."""
    hosts: list[str] = []
    with ExitStack() as stack:
        members = []
        for name in ("primary", "secondary"):
            with patch("laneway.dev.embedded.secantus_server.secrets.token_urlsafe", return_value=PASSWORD):
                server = stack.enter_context(embedded.mongo(folder / name))
            members.append(Member(server.url, is_primary=name == "primary", hosts=hosts))
            stack.callback(members[-1].close)
        credentials = f"{secantus_names.USER}:{PASSWORD}"
        url = f"mongodb://{credentials}@{','.join(hosts)}/?authSource=admin&replicaSet={NAME}"
        yield url, members[0], members[1]
