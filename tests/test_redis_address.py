"""The address of Redis: one meaning for redis-py and kombu, and a clear refusal of what they read differently."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis

from laneway.redis_address import parse

URLS = [
    "redis://127.0.0.1",
    "redis://127.0.0.1/",
    "redis://127.0.0.1:7000/3",
    "redis://127.0.0.1:7000?db=3",
    "redis://:p%40ss%2Fword@redis.example:7000/3",
    "redis://ann:secret@[::1]:7000/1",
    "rediss://:secret@redis.example:7000/3",
    "unix:///run/redis/redis.sock",
    "unix:///run/redis/redis.sock?db=3",
    "unix://ann:secret@/run/redis.sock?db=3",
]
"""Every form that is supported."""


def redis_py(url: str) -> dict[str, Any]:
    """What redis-py connects to, in a few words."""
    pool = redis.ConnectionPool.from_url(url)
    options = pool.connection_kwargs
    names = ("host", "port", "path", "username", "password", "db")
    return {name: options[name] for name in names if options.get(name)} | {
        "tls": pool.connection_class is redis.SSLConnection
    }


def through_kombu(url: str) -> dict[str, Any]:
    address = parse(url)
    connection = kombu.Connection(address.broker_url, ssl=address.broker_use_ssl or False)
    transport = connection.transport
    channel = transport.Channel.__new__(transport.Channel)
    channel.connection = transport
    channel.global_keyprefix = ""
    options = channel._connparams()
    names = ("host", "port", "path", "username", "password", "db")
    return {name: options[name] for name in names if options.get(name)} | {
        "tls": issubclass(options["connection_class"], redis.SSLConnection)
    }


@pytest.mark.parametrize("url", URLS)
def test_redis_py_and_kombu_read_the_same(url: str) -> None:
    assert redis_py(parse(url).url) == through_kombu(url)


@pytest.mark.parametrize("url", URLS)
def test_the_canonical_url_is_read_as_itself(url: str) -> None:
    assert parse(parse(url).url) == parse(url)


@pytest.mark.parametrize(
    ("options", "verified", "name_checked"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=required", ssl.CERT_REQUIRED, True),
        ("?ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
    ],
)
def test_certificates_are_verified_unless_the_url_says_otherwise(
    options: str, verified: ssl.VerifyMode, name_checked: bool
) -> None:
    address = parse(f"rediss://host/0{options}")
    connection: Any = redis.ConnectionPool.from_url(address.url).make_connection()
    assert (connection.cert_reqs, connection.check_hostname) == (verified, name_checked)
    broker = address.broker_use_ssl
    assert broker == {"ssl_cert_reqs": verified, "ssl_check_hostname": name_checked}


def test_files_of_tls_reach_both_clients(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    address = parse(f"rediss://host/0?ssl_ca_certs={ca}")
    assert redis.ConnectionPool.from_url(address.url).connection_kwargs["ssl_ca_certs"] == str(ca)
    assert (address.broker_use_ssl or {})["ssl_ca_certs"] == str(ca)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://host", "rediss://"),
        ("redis:host", "rediss://"),
        ("redis://host/0?health_check_interval=30", "'health_check_interval'"),
        ("redis://host/0?socket_timeout=5", "'socket_timeout'"),
        ("redis://host/0?protocol=3", "'protocol'"),
        ("redis://host/0?decode_responses=True", "'decode_responses'"),
        ("redis://host/0?max_connections=1", "'max_connections'"),
        ("redis://host/abc", "by its number"),
        ("redis://host/0?db=x", "by its number"),
        ("redis://host/1?db=2", "by its number"),
        ("redis://host/-1", "by its number"),
        ("redis://host/0?db=0&db=1", "'db' twice"),
        ("redis://host/0?ssl_ca_certs=/etc/hosts", "rediss:// instead of redis://"),
        ("rediss://host/0?ssl_ca_certs=/no/such/file", "no file /no/such/file"),
        ("rediss://host/0?ssl_cert_reqs=optional", "required or none"),
        ("redis://:pa#ss@host/0", "%23"),
        ("redis://:pa/ss@host/0", "percent-encode"),
        ("redis:///0", "must have a host"),
        ("redis://host:port/0", "port number"),
        ("unix://", "path of the socket"),
        ("unix://redis.sock", "path of the socket"),
        ("redis://host /0", "no blanks"),
    ],
)
def test_what_clients_would_read_differently_is_refused(url: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(url)
    assert what in str(caught.value)
    assert "pa#ss" not in str(caught.value)
    assert "pa/ss" not in str(caught.value)
