"""Which API to speak to, and as whom: from options, the environment, or the profile that `laneway login` has saved.

A profile is an address, a user's name and a token; never a password. Tokens go into the system's keyring where the `keyring`
package and a usable backend are installed, else into the profile's file, which its owner alone can read.
"""

from __future__ import annotations

import importlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from laneway.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"
RETRY_SECONDS = 10.0
"""How long a command tries an API that is away or busy."""
SERVICE = "laneway"
"""Name of the entries in the keyring."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`token` is None where the keyring holds it."""

    url: str
    username: str
    token: str | None


def profile_path(name: str) -> Path:
    """The file of a profile. Raises `typer.BadParameter` for a name that is not a plain word."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter("a profile's name has letters, digits, - and _ only", param_hint="--profile")
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "laneway" / f"{name}.json"


def selected_profile() -> str:
    """The profile in use: `LANEWAY_PROFILE`, else `default`."""
    return os.environ.get("LANEWAY_PROFILE") or "default"


def save(name: str, profile: Profile) -> Path:
    """Save a profile, and return where its token is kept: in the keyring or in this file."""
    path = profile_path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = profile
    if profile.token is not None and _store_in_keyring(name, profile.token):
        kept = Profile(profile.url, profile.username, None)
    descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(kept), file)
    path.with_suffix(".new").replace(path)
    return path


def load(name: str) -> Profile | None:
    """The saved profile with its token, or None."""
    path = profile_path(name)
    if not path.exists():
        return None
    try:
        profile = Profile(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise typer.BadParameter(
            f"{path} cannot be read ({error}); log in again", param_hint="--profile"
        ) from error
    return Profile(profile.url, profile.username, profile.token or _token_in_keyring(name))


def forget(name: str) -> None:
    """Delete a profile and its token."""
    profile_path(name).unlink(missing_ok=True)
    with suppress(Exception):  # there may be no keyring
        _keyring().delete_password(SERVICE, name)


def connect() -> Client:
    """A client for the selected API and user. The environment wins over the profile."""
    import stamina  # noqa: PLC0415 - see the package's docstring

    from laneway.client import Client  # noqa: PLC0415

    stamina.instrumentation.set_on_retry_hooks(())  # it would print retries, among the lines of --json
    profile = load(selected_profile())
    url = os.environ.get("LANEWAY_URL") or (profile.url if profile else DEFAULT_URL)
    token = os.environ.get("LANEWAY_TOKEN") or (profile.token if profile else None)
    if token is None:
        raise typer.BadParameter("nobody is logged in: run `laneway login`, or set LANEWAY_TOKEN")
    return Client(url, token=token, retry_seconds=RETRY_SECONDS)


def _store_in_keyring(name: str, token: str) -> bool:
    try:
        _keyring().set_password(SERVICE, name, token)
    except Exception:  # noqa: BLE001 - no package, no backend, or a locked one: the file keeps the token
        return False
    return True


def _token_in_keyring(name: str) -> str | None:
    try:
        token: str | None = _keyring().get_password(SERVICE, name)
    except Exception:  # noqa: BLE001 - as above
        return None
    return token


def _keyring() -> Any:
    """The `keyring` package. Raises ImportError where it is not installed: it is optional."""
    return importlib.import_module("keyring")
