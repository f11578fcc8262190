"""Typed handlers: what an annotation allows, how faults are reported, and that no number is changed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from laneway.handlers.errors import Fault, InvalidPayload, InvalidResult
from laneway.handlers.results import to_json
from laneway.handlers.schemas import MANY_FAULTS, MAX_FAULTS, PayloadSchema, ResultSchema

NUMBER = "0.12345678901234567890123"


class Size(BaseModel):
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Resize(BaseModel):
    image: str
    size: Size
    tags: list[str] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    quality: int


class Price(BaseModel):
    amount: Decimal
    count: int = 0
    note: Any = None


class StrictPrice(BaseModel):
    model_config = ConfigDict(strict=True)
    amount: Decimal = Field(max_digits=30, decimal_places=23)
    since: datetime
    id: UUID


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


def faults(annotation: Any, text: str) -> list[Fault]:
    with pytest.raises(InvalidPayload) as caught:
        PayloadSchema(annotation).read(text.encode())
    return list(caught.value.faults)


def pointers(annotation: Any, text: str) -> list[str]:
    return [fault.pointer for fault in faults(annotation, text)]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (
            Resize,
            '{"image":"x","size":{"width":1,"height":2}}',
            Resize(image="x", size=Size(width=1, height=2)),
        ),
        (Point, '{"x":3}', Point(3)),
        (Options, '{"quality":3}', {"quality": 3}),
        (int, "3", 3),
        (list[Point], '[{"x":1}]', [Point(1)]),
        (Point | None, "null", None),
        (Shape, '{"kind":"square","side":2}', Square(kind="square", side=2)),
        (datetime, '"2026-01-02T03:04:05Z"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_a_payload_becomes_what_the_annotation_says(annotation: Any, text: str, value: Any) -> None:
    assert PayloadSchema(annotation).read(text.encode()) == value


def test_each_fault_has_a_pointer_and_a_sentence() -> None:
    found = faults(Resize, '{"size":{"width":0,"height":"tall"},"tags":["a",5]}')
    assert [fault.pointer for fault in found] == [
        "#/request/image",
        "#/request/size/width",
        "#/request/size/height",
        "#/request/tags/1",
    ]
    assert found[0].detail == "Field required"
    assert found[1].detail == "Input should be greater than 0"
    assert all(fault.detail for fault in found)


def test_pointers_lead_through_the_payload_alone() -> None:
    """Not through the members of unions; names are escaped as RFC 6901 says."""
    assert pointers(Shape, '{"kind":"circle"}') == ["#/request/radius"]
    assert set(pointers(int | list[int], '["x"]')) == {"#/request", "#/request/0"}
    assert pointers(dict[str, int], '{"a/b~c":"x"}') == ["#/request/a~1b~0c"]
    assert pointers(int, '"x"') == ["#/request"]


def test_few_of_many_faults_are_listed_and_a_flood_is_counted() -> None:
    assert len(faults(list[int], f"[{','.join(MAX_FAULTS * ['null'])}, null]")) == MAX_FAULTS
    (flood,) = faults(list[int], f"[{','.join(MANY_FAULTS * ['null'])}]")
    assert flood == ("#/request", f"{MANY_FAULTS} faults; compare it with the schema of the type")


def test_decimals_and_large_integers_arrive_as_they_were_written() -> None:
    schema = PayloadSchema(Price)
    price = schema.read(f'{{"amount":{NUMBER},"count":18446744073709551615}}'.encode())
    assert (str(price.amount), price.count) == (NUMBER, 18446744073709551615)
    assert str(schema.read(b'{"amount":1.10}').amount) == "1.10"
    assert str(schema.read(b'{"amount":"1.10"}').amount) == "1.10"
    assert str(PayloadSchema(dict[str, list[Decimal]]).read(b'{"a":[1.50]}')["a"][0]) == "1.50"
    assert str(PayloadSchema(Decimal).read(NUMBER.encode())) == NUMBER
    assert schema.read(b'{"amount":1.5,"note":"versions 1.2.3, 1.e-+5, 1e999 :7."}').amount == Decimal("1.5")
    assert type(PayloadSchema(Price).read(b'{"amount":1,"note":0.5}').note) is float


def test_a_number_beside_a_decimal_is_a_float_like_any_other() -> None:
    """It can be calculated with, compared, and returned."""
    note = PayloadSchema(Price).read(b'{"amount":1.10,"note":[1.10,0.50]}').note
    assert note == [1.1, 0.5]
    assert to_json(note) == b"[1.1,0.5]"
    assert ResultSchema(list[Any]).dump(note) == [1.1, 0.5]
    with pytest.raises(TypeError, match="not JSON serializable: object"):
        to_json(object())


def test_a_result_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidResult, match="Circular reference"):
        ResultSchema(list[Any]).dump(endless)


def test_a_result_that_is_no_number_is_refused_with_its_place() -> None:
    """Pydantic would write it as null."""
    schema = ResultSchema(dict[str, list[Circle | float | None]])
    assert schema.dump({"a": [1.5, None]}) == {"a": [1.5, None]}
    for wrong in (float("nan"), Circle(kind="circle", radius=float("inf"))):
        with pytest.raises(InvalidResult, match=r"#/result/a/1.*no NaN"):
            schema.dump({"a": [None, wrong]})


def test_decimals_of_a_strict_model_are_exact_too() -> None:
    identity = "12345678-1234-5678-1234-567812345678"
    text = f'{{"amount":{NUMBER},"since":"2026-01-02T03:04:05Z","id":"{identity}"}}'
    price = PayloadSchema(StrictPrice).read(text.encode())
    assert (str(price.amount), price.id) == (NUMBER, UUID(identity))
    assert pointers(StrictPrice, text.replace("3,", "34,", 1)) == ["#/request/amount"]


def test_a_validator_of_the_users_own_can_refuse() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            if n % 2:
                raise ValueError("odd")
            return 6 // n

    assert faults(Even, '{"n":3}') == [("#/request/n", "Value error, odd")]
    with pytest.raises(ZeroDivisionError):
        PayloadSchema(Even).read(b'{"n":0}')


def test_results_are_checked_and_made_of_json() -> None:
    schema = ResultSchema(Price)
    assert schema.dump(Price(amount=Decimal("1.10"))) == {"amount": "1.10", "count": 0, "note": None}
    assert schema.dump({"amount": "2.5"})["amount"] == "2.5"
    assert ResultSchema(list[Point]).dump([Point(1, 2)]) == [{"x": 1, "y": 2}]
    with pytest.raises(InvalidResult) as caught:
        schema.dump({"amount": "many"})
    assert [fault.pointer for fault in caught.value.faults] == ["#/result/amount"]


def test_schemas_are_described() -> None:
    assert PayloadSchema(Size).json_schema["required"] == ["width", "height"]
    assert PayloadSchema(Price).json_schema["properties"]["count"]["type"] == "integer"
    assert ResultSchema(Price).json_schema["properties"]["amount"]["type"] == "string"
