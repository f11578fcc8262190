"""The chart sets every setting, sets nothing else, and its defaults are those of the settings."""

from __future__ import annotations

import os
from typing import Any

import pytest

from laneway.settings import PREFIX, Settings, variable
from tests.helm.chart import EVERYTHING_ON, EXTERNAL, Helm, Manifest, at, default_values, environment, merged

NOT_IN_A_CLUSTER = {"data_dir", "log_file", "dev"}
"""Settings of `laneway dev` only: embedded servers, the log file, and that it is `laneway dev`."""
COMPONENTS = ("api", "worker", "operator")
OLD_KEYS = '{"0": "' + "k" * 40 + '"}'


def _settings(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    """Read the settings as the container would."""
    for name in os.environ.keys() & {variable(field) for field in Settings.model_fields}:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, OLD_KEYS if value == "from:old-keys/jwt-previous-keys" else value)
    return Settings(_env_file=None)


def _laneway_names(variables: dict[str, str]) -> set[str]:
    return {name for name in variables if name.startswith(PREFIX)}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_laneway_variable_is_a_setting(everything: list[Manifest], component: str) -> None:
    assert _laneway_names(environment(everything, component)) <= {
        variable(field) for field in Settings.model_fields
    }


def test_every_setting_can_be_set(everything: list[Manifest]) -> None:
    given = set().union(*(_laneway_names(environment(everything, component)) for component in COMPONENTS))
    assert {variable(field) for field in Settings.model_fields.keys() - NOT_IN_A_CLUSTER} == given


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("values", [{}, EVERYTHING_ON, EXTERNAL])
def test_the_rendered_settings_are_valid(
    helm: Helm, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], component: str
) -> None:
    settings = _settings(monkeypatch, environment(helm.render(values), component))
    if component == "api":
        assert settings.jwt_secret is not None
        assert settings.api_host == "::"


def test_the_charts_defaults_equal_the_settings_defaults(
    default: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _settings(monkeypatch, environment(default, "worker"))
    own = {name: field.default for name, field in Settings.model_fields.items()}
    for key in default_values()["settings"]:
        name = next(field for field in own if field.replace("_", "") == key.lower())
        assert getattr(given, name) == own[name], key


def test_a_setting_reaches_the_container_unchanged(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm reads numbers as floats; a million must not become 1e+06."""
    values = {
        "settings": {
            "resultMaxBytes": 12_345_678,
            "leaseSeconds": 7.5,
            "handlers": "mine.one,mine.two",
            "demoFaults": True,
        }
    }
    settings = _settings(monkeypatch, environment(helm.render(values), "worker"))
    assert settings.result_max_bytes == 12_345_678
    assert settings.lease_seconds == 7.5
    assert settings.handler_modules() == ["mine.one", "mine.two"]
    assert settings.demo_faults is True


def test_the_janitor_runs_in_the_operator_if_enabled_and_else_in_the_workers(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for operator in (True, False):
        manifests = helm.render(at("operator.enabled", operator))
        assert _settings(monkeypatch, environment(manifests, "worker")).janitor is not operator


def test_urls_of_the_bundled_servers_contain_the_generated_passwords(
    default: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment(default, "api")
    settings = _settings(monkeypatch, variables)
    passwords = {name: variables[f"LANEWAY_{name}_PASSWORD"] for name in ("REDIS", "MONGO")}
    assert settings.redis_url == f"redis://:{passwords['REDIS']}@demo-laneway-redis:6379/0"
    database = "demo-laneway-mongo:27017/laneway?journal=true"
    assert settings.mongo_url == f"mongodb://laneway:{passwords['MONGO']}@{database}"


def test_urls_of_existing_servers_are_passed_on(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, environment(helm.render(EXTERNAL), "api"))
    assert settings.redis_url == EXTERNAL["redis"]["url"]
    assert settings.mongo_url == EXTERNAL["mongo"]["url"]
    secret = {"redis": {"enabled": False, "existingSecret": "their-redis", "existingSecretKey": "address"}}
    assert environment(helm.render(secret), "worker")["LANEWAY_REDIS_URL"] == "from:their-redis/address"


def test_the_password_of_an_existing_server_can_come_from_a_secret_of_its_own(helm: Helm) -> None:
    values = {
        "redis": {"enabled": False, "url": "rediss://me@redis.example.com", "passwordSecret": "cloud"},
        "mongo": {
            "enabled": False,
            "existingSecret": "address",
            "passwordSecret": "cloud",
            "passwordSecretKey": "token",
        },
    }
    for component in COMPONENTS:
        variables = environment(helm.render(values), component)
        assert variables["LANEWAY_REDIS_URL"] == "rediss://me@redis.example.com"
        assert variables["LANEWAY_REDIS_PASSWORD"] == "from:cloud/redis-password"
        assert variables["LANEWAY_MONGO_URL"] == "from:address/mongo-url"
        assert variables["LANEWAY_MONGO_PASSWORD"] == "from:cloud/token"
        assert "LANEWAY_REDIS_PASSWORD" not in environment(helm.render(EXTERNAL), component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_variables_can_be_added_and_overridden(helm: Helm, component: str) -> None:
    values = merged(
        at("extraEnv", [{"name": "TZ", "value": "Europe/Rome"}]),
        at(
            f"{component}.extraEnv",
            [{"name": "MODEL", "value": "small"}, {"name": "LANEWAY_LOG_LEVEL", "value": "DEBUG"}],
        ),
    )
    variables = environment(helm.render(values), component)
    assert variables["TZ"] == "Europe/Rome"
    assert variables["MODEL"] == "small"
    assert variables["LANEWAY_LOG_LEVEL"] == "DEBUG"


@pytest.mark.parametrize("component", ["worker", "operator"])
def test_only_the_api_gets_the_signing_key(everything: list[Manifest], component: str) -> None:
    assert (
        not {"LANEWAY_JWT_SECRET", "LANEWAY_JWT_PREVIOUS_KEYS", "LANEWAY_ADMIN_PASSWORD"}
        & environment(everything, component).keys()
    )
