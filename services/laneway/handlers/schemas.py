"""What a type takes and gives, as its handler's annotations say: pydantic models, dataclasses, TypedDicts and plain types.

API and worker read payloads by the same rules, from the text that the client sent. So no integer and no decimal is rounded on
its way to the handler, and what the API accepts the worker accepts too, as long as both run the same release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from laneway.handlers import exact
from laneway.handlers.errors import Fault, InvalidPayload, InvalidResult
from laneway.handlers.results import no_number

MAX_FAULTS = 20
"""How many faults of one value are reported."""
MANY_FAULTS = 1000
"""This many are counted and not listed. pydantic describes all faults or none, and a large payload may have 100,000."""
MAX_NAME_CHARACTERS, MAX_DETAIL_CHARACTERS = 64, 200


class PayloadSchema:
    """What a handler takes. Raises an error of pydantic's when the annotation cannot be checked or described."""

    def __init__(self, annotation: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        self.json_schema = self._adapter.json_schema()
        self._has_decimals = _mentions_decimal(self._adapter.core_schema)

    def read(self, text: bytes) -> Any:
        """Return the payload in this JSON text as the handler wants it. Raises InvalidPayload.

        What a validator of the user's own raises, other than ValueError and AssertionError, passes through.
        """
        try:
            value = self._adapter.validate_json(text)
            if self._has_decimals and exact.has_rounded_number(text):
                value = self._adapter.validate_python(exact.loads(text), strict=False)
        except ValidationError as error:
            raise InvalidPayload(_faults(error, orjson.loads(text), "#/request")) from None
        return value


class ResultSchema:
    """What a handler gives. Raises an error of pydantic's when the annotation cannot be checked or described."""

    def __init__(self, annotation: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        self.json_schema = self._adapter.json_schema(mode="serialization")

    def dump(self, value: Any) -> Any:
        """Validate a handler's result and convert it to JSON types. Raises InvalidResult.

        Instances of models and dataclasses are not validated again. Members of theirs with wrong types are refused all the same.
        """
        try:
            valid = self._adapter.validate_python(value)
            plain = self._adapter.dump_python(valid, mode="json", by_alias=True, warnings="error")
            place = self._no_number(valid) if b"null" in orjson.dumps(plain) else None
        except ValidationError as error:
            raise InvalidResult(_faults(error, value, "#/result")) from None
        except (ValueError, RecursionError) as error:  # pydantic's own error among them
            raise InvalidResult([Fault("#/result", _cut(" ".join(str(error).split())))]) from None
        if place is not None:
            raise InvalidResult([Fault(f"#/result{place[1:]}", "JSON has no NaN and no Infinity")])
        return plain

    def _no_number(self, value: Any) -> str | None:
        """Return the place of a NaN or Infinity, which pydantic makes null."""
        return no_number(self._adapter.dump_python(value, by_alias=True))


def _mentions_decimal(schema: Any) -> bool:
    """Whether a core schema has a Decimal anywhere."""
    if isinstance(schema, Mapping):
        return schema.get("type") == "decimal" or any(map(_mentions_decimal, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_mentions_decimal, schema))


def _faults(error: ValidationError, value: Any, place: str) -> list[Fault]:
    if error.error_count() >= MANY_FAULTS:
        return [Fault(place, f"{error.error_count()} faults; compare it with the schema of the type")]
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FAULTS]
    return [Fault(place + _pointer(item["loc"], value, item["type"]), _cut(item["msg"])) for item in found]


def _pointer(location: Sequence[str | int], value: Any, kind: str) -> str:
    """Return the JSON pointer of a fault in `value`.

    pydantic's locations also name the member of a union that was tried, and other things that the value does not have.
    """
    parts = []
    for part in location:
        is_index = isinstance(part, int) and isinstance(value, list | tuple) and part < len(value)
        if is_index or (isinstance(value, Mapping) and part in value):
            value = value[part]
            parts.append(part)
    if kind.startswith("missing"):
        parts.append(location[-1])
    return "".join("/" + _escaped(str(part)[:MAX_NAME_CHARACTERS]) for part in parts)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _cut(sentence: str) -> str:
    return sentence[:MAX_DETAIL_CHARACTERS].encode("utf-8", "replace").decode()
