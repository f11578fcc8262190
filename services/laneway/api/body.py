"""Reads bodies: never more than may be sent, and JSON that can be kept without changing it.

Refused are: what is not declared as JSON, what is not JSON (NaN, Infinity, lone surrogates, bytes that are not UTF-8), integers beyond
64 bits (they would come back rounded), and what is nested deeper than can be written again. Of duplicate keys the last one counts, as nearly
all parsers have it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from laneway.api.errors import Problem

MAX_DEPTH = 250
BODY_SECONDS = 60.0
"""How long a body may take to come."""
SMALL_BODY = 65_536
"""For all but jobs."""
_JSON = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_LONG_NUMBER = re.compile(rb"\d{19}")
_INT64 = range(-(2**63), 2**64)
M = TypeVar("M", bound=BaseModel)


async def read(headers: Iterable[tuple[bytes, bytes]], receive: Receive, most_bytes: int) -> bytes:
    """The whole body. Raises Problem if it is not declared as JSON, or longer than allowed, before all of it was read, or does
    not come in time."""
    content_type = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length" and value.isdigit() and int(value) > most_bytes:
            raise too_large(most_bytes)
    if content_type != b"application/json" and not _JSON.fullmatch(content_type):
        raise Problem(400, "bad-request", "send JSON with 'Content-Type: application/json'")
    pieces, size, more = [], 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "bad-request", "the body has ended early")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > most_bytes:
                    raise too_large(most_bytes)
                more = message.get("more_body", False)
    except TimeoutError:
        raise _too_slow() from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def too_large(most_bytes: int) -> Problem:
    """The rest is not read, so the connection cannot be used again."""
    return Problem(
        413, "body-too-large", f"at most {most_bytes} bytes are taken", headers={"connection": "close"}
    )


def _too_slow() -> Problem:
    detail = f"the body has not come within {BODY_SECONDS:g} s"
    return Problem(408, "too-slow", detail, headers={"connection": "close"})


def loads(body: bytes) -> Any:
    """Raises Problem."""
    try:
        value = orjson.loads(body)
        if _LONG_NUMBER.search(body):
            json.loads(body, parse_int=_integer)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "bad-request", f"the body is not JSON: {error}") from None
    except OverflowError as error:
        raise Problem(400, "bad-request", str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    return value


def dumps(value: Any) -> bytes:
    """JSON text of a part of a body. Raises Problem."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise _too_deep() from None


def _integer(digits: str) -> int:
    if len(digits) > 20 or (value := int(digits)) not in _INT64:
        raise OverflowError("an integer has more than 64 bits: send it as a string")
    return value


def _too_deep() -> Problem:
    return Problem(400, "bad-request", f"the JSON is nested too deep: {MAX_DEPTH} levels are taken")


def of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads a small body as this model. Document it with `documented(model)`."""

    async def read_model(request: Request) -> M:
        value = loads(await read(request.headers.raw, request.receive, SMALL_BODY))
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise RequestValidationError(
                [
                    {**item, "loc": ("body", *item["loc"])}
                    for item in error.errors(include_url=False, include_input=False)
                ]
            ) from None

    return read_model


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of an endpoint that reads its body itself."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
