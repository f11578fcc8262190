"""How a payload is given on the command line: as JSON, from standard input or from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Payload = Annotated[str, typer.Argument(help="JSON; `-` reads it from standard input, `@FILE` from a file.")]


def read(payload: str) -> str:
    """Return the text that the argument stands for. Raises BadParameter."""
    if payload == "-":
        return sys.stdin.read()
    if payload.startswith("@"):
        try:
            return Path(payload[1:]).read_text("utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{payload[1:]} cannot be read: {error.strerror}") from error
    return payload


def parse(text: str, what: str) -> Any:
    """Return the value in this JSON text. Raises BadParameter, which names `what`."""
    import msgspec  # noqa: PLC0415 - see the package's docstring

    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"{what} is not JSON: {error}") from error
