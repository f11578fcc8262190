"""Settings come from the environment and `.env`; a wrong one is reported before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from docs.settings_table import docstrings, table, with_table
from laneway import settings
from laneway.settings import Settings

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(settings.PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # no .env there


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    return settings.problems(caught.value)


def test_environment_wins_over_the_file_and_empty_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("LANEWAY_API_PORT=9001\nLANEWAY_LANE_CONCURRENCY=7\nLANEWAY_MONGO_URL=\n")
    monkeypatch.setenv("LANEWAY_API_PORT", "9002")
    monkeypatch.setenv("LANEWAY_REDIS_URL", "")
    read = Settings()
    assert (read.api_port, read.lane_concurrency) == (9002, 7)
    assert read.model_fields_set == {"api_port", "lane_concurrency"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANEWAY_LANE_CONCURRENCY", "0"),
        ("LANEWAY_LANE_CONCURRENCY", "101"),
        ("LANEWAY_API_PORT", "70000"),
        ("LANEWAY_REQUEST_MAX_BYTES", "12000001"),
        ("LANEWAY_LEASE_SECONDS", "nan"),
        ("LANEWAY_LEASE_SECONDS", "0"),
        ("LANEWAY_REDIS_URL", "http://somewhere"),
        ("LANEWAY_REDIS_URL", "redis://host/0?socket_timeout=5"),
        ("LANEWAY_MONGO_URL", "localhost:27017"),
        ("LANEWAY_KEY_PREFIX", "a{b}"),
        ("LANEWAY_HANDLERS", "fine,not-a-module"),
        ("LANEWAY_HISTORY_DAYS", "3000000"),  # no date is so late, and nothing could be stored
        ("LANEWAY_DISCONNECT_POLICY", "forget"),
        ("LANEWAY_JWT_SECRET", "short"),
        ("LANEWAY_JWT_PREVIOUS_KEYS", "no json"),
        ("LANEWAY_JWT_PREVIOUS_KEYS", '{"2": "short"}'),
        ("LANEWAY_LOG_LEVEL", "LOUD"),
        ("LANEWAY_OIDC_ISSUER", "http://login.example.com"),
        ("LANEWAY_OIDC_ISSUER", "login.example.com"),
        ("LANEWAY_OIDC_ISSUER", "https:///realm"),
        ("LANEWAY_OIDC_ISSUER", "https://login.example.com/?realm=main"),
        ("LANEWAY_OIDC_USER_PREFIX", "OIDC:"),
        ("LANEWAY_OIDC_SCOPES", "profile"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    (line,) = wrong(monkeypatch, **{name: value})
    assert line.startswith(name)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_wrong_value_in_quotes_says_so(monkeypatch: pytest.MonkeyPatch, quote: str) -> None:
    """Docker's --env-file keeps the quotes."""
    (line,) = wrong(monkeypatch, LANEWAY_REDIS_URL=f"{quote}redis://host/0{quote}")
    assert "stands in quotes" in line
    assert "host" not in line


def test_settings_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "both or neither" in wrong(monkeypatch, LANEWAY_ADMIN_USERNAME="root")[0]
    monkeypatch.delenv("LANEWAY_ADMIN_USERNAME")
    keys = f'{{"1": "{"k" * 32}"}}'
    assert "new id" in wrong(monkeypatch, LANEWAY_JWT_PREVIOUS_KEYS=keys)[0]
    monkeypatch.delenv("LANEWAY_JWT_PREVIOUS_KEYS")
    assert "BACKOFF" in wrong(monkeypatch, LANEWAY_BACKOFF_SECONDS="10", LANEWAY_BACKOFF_MAX_SECONDS="1")[0]
    monkeypatch.delenv("LANEWAY_BACKOFF_MAX_SECONDS")
    assert "OIDC_CLIENT_ID" in wrong(monkeypatch, LANEWAY_OIDC_ISSUER="http://localhost:5556/dex")[0]
    monkeypatch.delenv("LANEWAY_OIDC_ISSUER")
    assert "OIDC_ADMIN_VALUE" in wrong(monkeypatch, LANEWAY_OIDC_ADMIN_CLAIM="groups")[0]
    monkeypatch.delenv("LANEWAY_OIDC_ADMIN_CLAIM")
    same = wrong(monkeypatch, LANEWAY_OPERATOR_METRICS_PORT="8080")
    assert "LANEWAY_OPERATOR_METRICS_PORT and LANEWAY_OPERATOR_HEALTH_PORT" in same[0]


def test_line_feeds_at_the_end_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubectl create secret --from-file` stores the line feed of the file."""
    secret = "s" * 32
    for name, value in {
        "REDIS_URL": "redis://:pw@host:6379/0\n",
        "MONGO_URL": "mongodb://u:p@host/?w=majority\r\n",
        "JWT_SECRET": secret + "\n",
        "JWT_KEY_ID": "two\n",
        "JWT_PREVIOUS_KEYS": json.dumps({"one": secret + "\n"}) + "\n",
        "ADMIN_USERNAME": "root\n",
        "ADMIN_PASSWORD": "correct horse\n",
        "API_PORT": "8001\n",
    }.items():
        monkeypatch.setenv(f"LANEWAY_{name}", value)
    read = Settings()
    assert read.redis_url == "redis://:pw@host:6379/0"
    assert read.mongo_url == "mongodb://u:p@host/?w=majority"
    assert read.jwt_secret is not None
    assert read.admin_password is not None
    assert read.jwt_secret.get_secret_value() == secret
    assert read.jwt_key_id == "two"
    assert read.jwt_previous_keys["one"].get_secret_value() == secret
    assert (read.admin_username, read.admin_password.get_secret_value()) == ("root", "correct horse")
    assert read.api_port == 8001


def test_secrets_are_neither_printed_nor_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-secret-of-forty-characters-that-nobody-sees"
    monkeypatch.setenv("LANEWAY_JWT_SECRET", secret)
    monkeypatch.setenv("LANEWAY_JWT_PREVIOUS_KEYS", f'{{"0": "{secret}"}}')
    monkeypatch.setenv("LANEWAY_REDIS_URL", f"redis://:{secret}@host/0")
    monkeypatch.setenv("LANEWAY_MONGO_URL", f"mongodb://u:{secret}@host/")
    assert secret not in repr(Settings())
    monkeypatch.setenv("LANEWAY_JWT_SECRET", "x" + secret[:20])
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert secret[:20] not in str(caught.value) + " ".join(settings.problems(caught.value))


def test_a_wrong_setting_is_reported_and_exits_with_2() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from laneway.settings import load; load()"],
        env=dict(os.environ) | {"LANEWAY_API_PORT": "no", "LANEWAY_LANE_LENGTH": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "LANEWAY_API_PORT",
        "LANEWAY_LANE_LENGTH",
    ]


def test_every_setting_is_described() -> None:
    for name in Settings.model_fields:
        assert docstrings().get(name), name


def test_the_readme_has_the_table_of_settings() -> None:
    text = (ROOT / "README.md").read_text()
    assert table() in text
    assert with_table(text) == text, "run `make docs`"


def test_the_example_file_names_only_settings_and_their_defaults_are_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [
        line.lstrip("# ").split("=", 1)
        for line in lines
        if "=" in line and line.lstrip("# ").startswith("LANEWAY_")
    ]
    assert pairs
    assert {name for name, _ in pairs} <= {settings.variable(field) for field in Settings.model_fields}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in pairs))
    Settings()


def test_passwords_can_be_given_apart_from_the_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANEWAY_REDIS_PASSWORD", "p@ss:w/ord\n")
    monkeypatch.setenv("LANEWAY_MONGO_PASSWORD", "100%")
    monkeypatch.setenv("LANEWAY_MONGO_URL", "mongodb://me@mongo.example.com")
    read = Settings()
    assert read.redis_url == "redis://:p%40ss%3Aw%2Ford@127.0.0.1:6379/0"
    assert read.mongo_url == "mongodb://me:100%25@mongo.example.com"
    assert "p%40ss" not in repr(read)


def test_a_password_in_the_url_and_apart_from_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = wrong(monkeypatch, LANEWAY_REDIS_URL="redis://:one@host", LANEWAY_REDIS_PASSWORD="two")
    assert line.startswith("LANEWAY_REDIS_URL: has a password")
