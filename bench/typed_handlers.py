"""Two types for `bench.enqueue --schema`: one takes ten fields, the other any JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from laneway import handler


class Size(BaseModel):
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class TenFields(BaseModel):
    name: str = Field(max_length=100)
    n: int
    ratio: float
    is_new: bool
    tags: list[str]
    size: Size
    at: datetime
    price: Decimal
    mode: Literal["fast", "good"]
    note: str | None


@handler
def typed(request: TenFields) -> None: ...


@handler
def untyped(request: Any) -> None: ...
