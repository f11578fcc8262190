"""The client's types have the fields that the API documents: a new field of an answer reaches programs, too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.inspect import DictType, ListType, NoneType, StructType, Type, UnionType, type_info

from tests.api.running import Api
from tests.client.every_call import every_call

LEFT_OUT = {
    "message",  # for people who read the JSON
    "dry_run",  # the caller said so
    "LanePage.truncated",  # `lanes()` yields lanes, whatever page they are on
}
ADDED = {"RunningJob.worker"}  # of a job without a worker; one type serves both


class Comparison:
    """Compares types with the schemas of an OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self.compared: set[tuple[str, str | None]] = set()
        self.differences: set[str] = set()

    def compare(self, schema: Mapping[str, Any], type_: Type) -> None:
        schema, type_ = self._plain(schema), _plain(type_)
        match type_:
            case StructType(cls=struct) if (struct.__name__, schema.get("title")) not in self.compared:
                self.compared.add(
                    (struct.__name__, schema.get("title"))
                )  # one type may read two documented ones
                documented = schema["properties"]
                ours = {field.encode_name: field.type for field in type_.fields}
                self.differences |= {f"{struct.__name__}.{name}" for name in documented.keys() ^ ours.keys()}
                for name in documented.keys() & ours.keys():
                    self.compare(documented[name], ours[name])
            case ListType():
                self.compare(schema["items"], type_.item_type)
            case DictType() if isinstance(schema.get("additionalProperties"), Mapping):
                self.compare(schema["additionalProperties"], type_.value_type)

    def _plain(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references, and take the one choice that is not null."""
        while True:
            choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif len(choices) == 1:
                schema = choices[0]
            else:
                return schema


def _plain(type_: Type) -> Type:
    if isinstance(type_, UnionType):
        choices = [one for one in type_.types if not isinstance(one, NoneType)]
        return choices[0] if len(choices) == 1 else type_
    return type_


def test_answers_have_the_fields_that_are_documented(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    paths = {re.sub(r"\{\w+\}", "ID", path): methods for path, methods in document["paths"].items()}
    comparison = Comparison(document)
    for call in every_call():
        responses = paths[call.path][call.method.lower()]["responses"]
        (good,) = [answer for status, answer in responses.items() if status.startswith("2")][:1]
        schema = good.get("content", {}).get("application/json", {}).get("schema")
        if schema and inspect.isclass(call.reads) and issubclass(call.reads, msgspec.Struct):
            comparison.compare(schema, type_info(call.reads))
    found = {name for name in comparison.differences if name.partition(".")[2] not in LEFT_OUT}
    assert found == ADDED | {name for name in LEFT_OUT if "." in name}
    assert len(comparison.compared) > 40, "nearly all types of the client"
