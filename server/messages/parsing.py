"""Parse a message, or say what is wrong with it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from .message import LONGEST_ECHO, Error, Message
from .shorten import shorten

__all__ = ["parse"]

PHRASES = {
    "Input should be ": "",
    "String should have ": "a string with ",
    "String should match ": "a string that matches ",
    "List should have ": "a list with ",
    "Value error, ": "",
}

M = TypeVar("M", bound=Message)


def parse(text: str, model: type[M] | TypeAdapter[M]) -> M | Error:
    """Parse one message, or return an `Error` that says which field is wrong and what was expected there.

    `model` is a subclass of `Message` or, to choose among several by their ``type``, an adapter:
    ``TypeAdapter(Annotated[Join | Say, Field(discriminator="type")])``. No text makes this raise: neither broken JSON,
    nor NaN, a thousand nested lists, or numbers of any length.
    """
    adapter = model if isinstance(model, TypeAdapter) else _adapter(model)
    try:
        data = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Error(expected=_json_expected(text, str(error)))
    if not isinstance(data, dict):
        return Error(expected='a JSON object, such as {"type": …}')
    if "type" not in data:
        return Error(field="type", expected="a value, the field is missing", id=_id(data))
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        # the first is enough, because a client corrects one field at a time
        detail = error.errors(include_url=False, include_input=False)[0]
        return Error(field=_field(detail, adapter), expected=_expected(detail), id=_id(data))


@lru_cache
def _adapter(model: type[M]) -> TypeAdapter[M]:
    return TypeAdapter(model)


def _json_expected(text: str, problem: str) -> str:
    try:
        from_json(text)
    except ValueError:
        return f"JSON, but: {problem}"
    return f"finite numbers, JSON has no NaN or Infinity: {problem}"


def _field(detail: ErrorDetails, adapter: TypeAdapter[Any]) -> str | None:
    path = [str(step) for step in detail["loc"]]
    if detail["type"].startswith("union_tag"):
        path = ["type"]
    elif _is_union(adapter):
        path = path[1:]  # pydantic puts the union's tag first
    # the name of an unknown field comes from the client, and may have any length
    return shorten(".".join(path), LONGEST_ECHO) or None


def _is_union(adapter: TypeAdapter[Any]) -> bool:
    schema: Any = adapter.core_schema
    while schema["type"] == "definitions":
        schema = schema["schema"]
    return bool(schema["type"] == "tagged-union")


def _expected(detail: ErrorDetails) -> str:
    """Return what pydantic expected, as the end of a sentence that begins with "expected"."""
    match detail["type"]:
        case "missing":
            return "a value, the field is missing"
        case "extra_forbidden":
            return "no such field"
        case "union_tag_invalid":
            return f"one of {detail['ctx']['expected_tags']}"
    for theirs, ours in PHRASES.items():
        if detail["msg"].startswith(theirs):
            return ours + detail["msg"].removeprefix(theirs)
    return detail["msg"]


def _id(data: dict[str, Any]) -> int | str | None:
    value = data.get("id")
    return value if type(value) is int or (isinstance(value, str) and len(value) <= LONGEST_ECHO) else None
