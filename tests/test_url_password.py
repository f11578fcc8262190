"""A password that is given apart from its URL arrives there unchanged, whatever characters it has."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from pymongo.uri_parser import parse_uri
from redis.connection import parse_url

from laneway.url_password import with_password, without_secrets

PASSWORDS = ("plain", "p@ss:w/o?r#d", "100%", "%40", "a b+c", "ünï", "$(REDIS)")


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("redis://host:6380/3", None),
        ("rediss://me@host/0?ssl_check_hostname=false", "me"),
        ("redis://host", None),
    ],
)
def test_redis_reads_the_password_back(url: str, user: str | None, password: str) -> None:
    read = parse_url(with_password(url, password))
    assert (read["host"], read["password"], read.get("username")) == ("host", password, user)
    assert urlsplit(with_password(url, password)).path == urlsplit(url).path


@pytest.mark.parametrize("password", PASSWORDS)
def test_mongodb_reads_the_password_back(password: str) -> None:
    read = parse_uri(with_password("mongodb://me@a:1,b:2/laneway?journal=true&appName=@x@", password))
    assert (read["username"], read["password"]) == ("me", password)
    assert (read["nodelist"], read["database"]) == ([("a", 1), ("b", 2)], "laneway")


def test_an_escaped_user_name_stays_as_it_is() -> None:
    authority = urlsplit(with_password("mongodb://me%40x@host/", "p")).netloc
    assert unquote(authority.rpartition("@")[0]) == "me@x:p"


def test_two_passwords_are_refused() -> None:
    with pytest.raises(ValueError, match="set one of them"):
        with_password("redis://:first@host", "second")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6380/3", "redis://host:6380/3"),
        (
            "mongodb://me:secret@a:1,b:2/db?tlsCertificateKeyFilePassword=secret&appName=@x",
            "mongodb://a:1,b:2/db",
        ),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("mongodb://me:s/ecret@host/", "mongodb://..."),
        ("mongodb://me:s?ecret@host/", "mongodb://..."),
        ("mongodb://me:s#ecret@host/", "mongodb://..."),
        ("mongodb://me:secr@et@host/", "mongodb://..."),
    ],
)
def test_what_people_see_of_an_address(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
