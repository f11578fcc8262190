"""The address of Redis: one URL with one meaning for every client of it.

redis-py and kombu read the same URL differently: each ignores options that the other obeys, and kombu does not verify
certificates unless it is asked to. So a URL is parsed here, once, when the settings are read; options that not all clients obey
are refused, and the clients get what the parsed URL says.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

DEFAULT_PORT = 6379
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
_FORMS = "redis://:PASSWORD@HOST:PORT/DB, rediss://... for TLS, or unix:///PATH?db=DB"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL. `socket` is the path of a Unix socket, else empty; `tls` has the TLS options, None without TLS."""

    login: str
    host: str
    port: int
    socket: str
    database: int
    tls: tuple[tuple[str, str], ...] | None

    @property
    def url(self) -> str:
        """The URL for redis-py, which verifies certificates and host names by default."""
        if self.socket:
            return f"unix://{self.login}{quote(self.socket)}?db={self.database}"
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{self.login}{self.host}:{self.port}/{self.database}{query}"

    @property
    def broker_url(self) -> str:
        """The URL for kombu. With TLS it needs `broker_use_ssl` too."""
        if self.socket:
            return f"redis+socket://{self.login}{quote(self.socket)}?virtual_host={self.database}"
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{self.login}{self.host}:{self.port}/{self.database}"

    @property
    def broker_use_ssl(self) -> dict[str, Any] | None:
        """Celery's setting `broker_use_ssl`: certificate and host name are verified unless the URL says otherwise."""
        if self.tls is None:
            return None
        given = dict(self.tls)
        verified = given.pop("ssl_cert_reqs", "required") == "required"
        check_name = verified and given.pop("ssl_check_hostname", "true") == "true"
        given.pop("ssl_check_hostname", None)
        reqs = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
        return {"ssl_cert_reqs": reqs, "ssl_check_hostname": check_name, **given}


def parse(url: str) -> RedisAddress:
    """Parse a URL. Raises ValueError, whose text says what to write instead and holds no password."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("must have no blanks and no line feeds")
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix") or "://" not in url:
        raise ValueError(f"must be {_FORMS}")
    if parts.fragment:
        raise ValueError("write %23 instead of # in the password")
    options = _options(parts)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError("must have the path of the socket, as in unix:///run/redis.sock")
        return RedisAddress(login, "", 0, unquote(parts.path), _database("", options), None)
    host, port = _host_and_port(parts)
    database = _database(unquote(parts.path).strip("/"), options)
    tls = tuple(sorted(options.items())) if parts.scheme == "rediss" else None
    return RedisAddress(login, host, port, "", database, tls)


def _options(parts: SplitResult) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in options:
            raise ValueError(f"has the option {name!r} twice")
        is_tls = name in _TLS_FILES or name in _TLS_OPTIONS
        if name != "db" and not is_tls:
            why = "Laneway sets its own" if "time" in name or "retry" in name else "Laneway chooses it itself"
            raise ValueError(f"has the option {name!r}, which is not supported ({why}); write {_FORMS}")
        if is_tls and parts.scheme != "rediss":
            raise ValueError(
                f"has the option {name!r}, which needs TLS; write rediss:// instead of {parts.scheme}://"
            )
        if name in _TLS_FILES and not Path(value).is_file():
            raise ValueError(f"{name}: there is no file {value}")
        if name in _TLS_OPTIONS and value.lower() not in _TLS_OPTIONS[name]:
            raise ValueError(f"{name}: write {' or '.join(_TLS_OPTIONS[name])}")
        options[name] = value.lower() if name in _TLS_OPTIONS else value
    return options


def _database(path: str, options: dict[str, str]) -> int:
    """Take the number of the database from the path or the option `db`."""
    option = options.pop("db", path)
    if (path and option != path) or (option and not option.isdecimal()):
        raise ValueError("must name one database by its number, as in /0 or ?db=0")
    return int(option or 0)


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            "must have a port number behind the host; percent-encode : / ? # @ in the password"
        ) from None
    if not parts.hostname:
        raise ValueError(f"must have a host; write {_FORMS}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, port or DEFAULT_PORT
