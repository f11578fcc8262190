"""Reads request bodies: within limits of size and time, and only JSON that every parser reads alike.

Refused are: a body that is not declared as JSON, text that is not JSON (NaN, Infinity, lone surrogates, bytes that are not
UTF-8), integers beyond 64 bits (most parsers round them), and nesting that could not be written again. Of duplicate keys the
last one counts, as in nearly all parsers.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive

from laneway.api.problem import Problem

MAX_DEPTH = 250
BODY_SECONDS = 60.0
"""How long a body may take to arrive."""
SMALL_BODY_BYTES = 65_536
"""Limit of every body that holds no jobs."""
_JSON = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_LONG_NUMBER = re.compile(rb"\d{19}")
_INT64 = range(-(2**63), 2**64)
M = TypeVar("M", bound=BaseModel)


async def read(headers: Iterable[tuple[bytes, bytes]], receive: Receive, max_bytes: int) -> bytes:
    """Return the whole body.

    Raises Problem if the body is not declared as JSON, does not arrive in time, or is larger than `max_bytes`. A body that
    is too large is refused by its declared length or as soon as the limit is passed.
    """
    content_type = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise too_large(max_bytes)
    if content_type != b"application/json" and not _JSON.fullmatch(content_type):
        raise Problem(400, "bad-request", "send JSON with 'Content-Type: application/json'")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message.get("body", b"")
            else:
                body = await _receive_rest(message, receive, max_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise Problem(408, "too-slow", detail, headers={"connection": "close"}) from None
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    return body


async def _receive_rest(message: Message, receive: Receive, max_bytes: int) -> bytes:
    """Return the body that begins with `message`. Stops as soon as it is longer than `max_bytes`; the caller refuses it."""
    pieces, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise Problem(400, "bad-request", "the body ended early")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > max_bytes or not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()


def too_large(max_bytes: int) -> Problem:
    """The problem for a body over its limit. What is left of the body is not read, so the connection must be closed."""
    return Problem(
        413, "body-too-large", f"at most {max_bytes} bytes are accepted", headers={"connection": "close"}
    )


def loads(body: bytes) -> Any:
    """Parse a body. Raises Problem."""
    try:
        value = orjson.loads(body)
        if _LONG_NUMBER.search(body):
            json.loads(body, parse_int=_integer)
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # it may be nested that deeply
            orjson.dumps(value)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "bad-request", f"the body is not JSON: {error}") from None
    except OverflowError as error:
        raise Problem(400, "bad-request", str(error)) from None
    except (RecursionError, orjson.JSONEncodeError):
        raise _too_deep() from None
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or (value := int(digits)) not in _INT64:
        raise OverflowError("an integer has more than 64 bits: send it as a string")
    return value


def _too_deep() -> Problem:
    return Problem(400, "bad-request", f"the JSON is nested too deeply: at most {MAX_DEPTH} levels")


def of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a dependency that reads a small body as this model. Document it with `documented(model)`."""

    async def read_model(request: Request) -> M:
        return parse(model, await read(request.scope["headers"], request.receive, SMALL_BODY_BYTES))

    return read_model


def parse(model: type[M], body: bytes) -> M:
    """Return a body as this model. Raises Problem, RequestValidationError."""
    value = loads(body)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in found]) from None


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that reads its body itself."""
    schema = model.model_json_schema()
    inlined = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined}}}}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return the schema with each `$ref` replaced by its definition.

    A reference would be resolved from the root of the OpenAPI document, which does not have the definition.
    """
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    merged = {
        **definitions.get(reference, {}),
        **{name: part for name, part in schema.items() if name != "$ref"},
    }
    return {name: _inlined(part, definitions) for name, part in merged.items()}
