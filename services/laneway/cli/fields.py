"""Builds a payload from options such as `--name Ada --times 2`, by the schema of its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

Schema = Mapping[str, Any]


def payload_of(arguments: Sequence[str], schema: Schema) -> dict[str, Any]:
    """Return the object that these options make. Raises BadParameter.

    The value of a field that takes text is that text, any other is JSON. Whether it fits is for the API to say.
    """
    known = schema.get("properties") or {}
    payload: dict[str, Any] = {}
    for option, text in _pairs(arguments):
        name = option if option in known else option.replace("-", "_")
        if known and name not in known:
            raise typer.BadParameter(f"the type has no field {option!r}; it has {', '.join(known)}")
        payload[name] = _value(option, text, set(_kinds(known.get(name, {}), schema)))
    return payload


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each field with its text; None if it has none, as in `--urgent`."""
    waiting = list(arguments)
    while waiting:
        option, has_text, text = waiting.pop(0).partition("=")
        if not option.startswith("--") or option == "--":
            raise typer.BadParameter(
                f"{option!r} is neither a field such as --name VALUE nor the whole payload"
            )
        if not has_text and waiting and not waiting[0].startswith("--"):
            has_text, text = "=", waiting.pop(0)
        yield option[2:], text if has_text else None


def _kinds(schema: Schema, root: Schema) -> Iterator[str]:
    """Yield the JSON types that a value may have; none if the schema does not say."""
    if reference := schema.get("$ref"):
        schema = (root.get("$defs") or {}).get(str(reference).rpartition("/")[2], {})
    kinds = schema.get("type", ())
    yield from (kinds,) if isinstance(kinds, str) else kinds
    for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _kinds(one, root)


def _value(option: str, text: str | None, kinds: set[str]) -> Any:
    import msgspec  # noqa: PLC0415 - see the package's docstring

    if text is None:
        if kinds and "boolean" not in kinds:
            raise typer.BadParameter(f"--{option} needs a value")
        return True
    if "string" in kinds and not (text == "null" and "null" in kinds):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
