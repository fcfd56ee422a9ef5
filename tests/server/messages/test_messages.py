"""Messages that clients send: what is read, and which error answers what cannot be read."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError, field_validator
from websockets.frames import EXTERNAL_CLOSE_CODES
from websockets.frames import CloseCode as UpstreamCloseCode

from server.messages import CloseCode, Error, Message, parse


class Say(Message):
    """One of two types that a client may send."""

    type: Literal["say"] = "say"
    text: str = Field(max_length=5)
    loudness: float = 1.0
    extra: Any = None
    id: int | None = None


class Item(Message):
    """Part of an order, with a rule of its own."""

    type: Literal["item"] = "item"
    price: float

    @field_validator("price")
    @classmethod
    def positive(cls, price: float) -> float:
        """Refuse what costs less than nothing."""
        if price < 0:
            raise ValueError("a price of 0 or more")
        return price


class Order(Message):
    """The other type, which holds a list."""

    type: Literal["order"] = "order"
    items: list[Item] = Field(min_length=1)
    say: str = ""


Incoming: TypeAdapter[Say | Order] = TypeAdapter(Annotated[Say | Order, Field(discriminator="type")])


def explained(text: str, model: Any = Incoming) -> tuple[str | None, str]:
    """The field and the expectation of the error that `parse` returns for `text`."""
    error = parse(text, model)
    assert isinstance(error, Error)
    return error.field, error.expected


def strict_json(text: str) -> Any:
    """Read JSON as `JSON.parse` does, without the NaN that Python's parser lets pass."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("model", [Say, Incoming], ids=["one model", "a union"])
def test_good_message_becomes_its_model(model: Any) -> None:
    """A message that fits comes back as an instance of its model."""
    assert parse('{"type": "say", "text": "hi"}', model) == Say(text="hi")


def test_union_is_told_apart_by_type() -> None:
    """The word in `type` chooses the model."""
    assert parse('{"type":"order","items":[{"type":"item","price":2}]}', Incoming) == Order(items=[Item(price=2)])


@pytest.mark.parametrize(
    "text", ["", "{", "hello", '{"type": "say",}', '{"text": "\\ud800"}', "[" * 100_000, "1" * 5_000]
)
def test_broken_json_is_explained(text: str) -> None:
    """Whatever is not JSON, nests without end or is a number without end gets an answer, not an exception."""
    field, expected = explained(text)
    assert field is None
    assert expected.startswith("JSON, but: ")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["loudness", "extra"])
def test_numbers_that_json_does_not_have_are_refused(field: str, number: str) -> None:
    """NaN and Infinity are refused in every field, also in one that takes anything."""
    assert "NaN" in explained(f'{{"type":"say","text":"hi","{field}":{number}}}')[1]


def test_number_too_large_for_a_float_is_refused() -> None:
    """1e999 is JSON, but it would become infinite."""
    assert explained('{"type":"say","text":"hi","loudness":1e999}') == ("loudness", "a finite number")


@pytest.mark.parametrize("text", ["7", "null", "[]", '"say"'])
def test_json_that_is_no_object_is_explained(text: str) -> None:
    """A message is an object; a bare value is not one."""
    assert explained(text) == (None, 'a JSON object, such as {"type": …}')


@pytest.mark.parametrize("model", [Say, Incoming], ids=["one model", "a union"])
def test_type_is_required_everywhere(model: Any) -> None:
    """A client that leaves `type` out gets an error, even where only one type exists today."""
    assert explained('{"text":"hi"}', model) == ("type", "a value, the field is missing")


@pytest.mark.parametrize(
    ("model", "expected"), [(Say, "'say'"), (Incoming, "one of 'say', 'order'")], ids=["one model", "a union"]
)
@pytest.mark.parametrize("word", ['"shout"', "7", "null", "{}", '"' + "x" * 100_000 + '"'])
def test_unknown_type_names_the_known_ones(model: Any, expected: str, word: str) -> None:
    """An unknown type is answered with the types that exist, and its own text is not repeated."""
    assert explained(f'{{"type":{word},"text":"hi"}}', model) == ("type", expected)


@pytest.mark.parametrize("model", [Say, Incoming], ids=["one model", "a union"])
@pytest.mark.parametrize(
    ("rest", "explanation"),
    [
        ("", ("text", "a value, the field is missing")),
        (',"text":7', ("text", "a valid string")),
        (',"text":null', ("text", "a valid string")),
        (',"text":"longer"', ("text", "a string with at most 5 characters")),
        (',"text":"hi","loudness":"1"', ("loudness", "a valid number")),
        (',"text":"hi","colour":"red"', ("colour", "no such field")),
    ],
)
def test_wrong_field_is_named_with_what_was_expected(model: Any, rest: str, explanation: tuple[str, str]) -> None:
    """The error names the field as the client wrote it, and says what would have been right."""
    assert explained('{"type":"say"' + rest + "}", model) == explanation


def test_field_in_a_list_is_named_by_its_path() -> None:
    """A field deep in a message is named by the way to it."""
    assert explained('{"type":"order","items":[{"type":"item","price":1},{"type":"item"}]}') == (
        "items.1.price",
        "a value, the field is missing",
    )


def test_expectation_of_a_validator_is_passed_on() -> None:
    """What a validator of ours says reaches the client as it is."""
    assert explained('{"type":"order","items":[{"type":"item","price":-1}]}') == (
        "items.0.price",
        "a price of 0 or more",
    )
    assert explained('{"type":"order","items":[]}') == ("items", "a list with at least 1 item after validation, not 0")


def test_field_that_is_called_like_its_type_keeps_its_name() -> None:
    """The union's tag is taken off the path once, not a field of the same name."""
    assert explained('{"type":"order","items":[{"type":"item","price":1}],"order":1}') == ("order", "no such field")


def test_long_field_name_is_cut() -> None:
    """A client cannot make the server repeat a megabyte of its own text."""
    error = parse('{"type":"say","text":"hi","' + "x" * 1_000_000 + '":1}', Say)
    assert len(error.encode()) < 200


@pytest.mark.parametrize(
    ("value", "expected"), [("7", 7), ('"a7"', "a7"), ("true", None), ("[]", None), ('"' + "x" * 65 + '"', None)]
)
def test_error_carries_the_id_of_the_message(value: str, expected: object) -> None:
    """A client that numbers its messages can tell which one was wrong."""
    error = parse(f'{{"type":"say","id":{value}}}', Say)
    assert isinstance(error, Error)
    assert error.id == expected


def test_encoding_leaves_out_what_is_none() -> None:
    """A message travels as compact JSON without empty fields."""
    assert Error(expected="JSON").encode() == '{"type":"error","expected":"JSON"}'


def test_encoding_never_writes_nan() -> None:
    """A NaN in a field that takes anything becomes null, which every parser reads."""
    assert strict_json(Say(text="hi", extra=float("nan")).encode())["extra"] is None


def test_message_cannot_be_changed() -> None:
    """A message that is sent to many is the same for all."""
    with pytest.raises(ValidationError, match="frozen"):
        Say(text="hi").text = "ho"


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    """No text at all makes `parse` raise."""
    strict_json(parse(text, Incoming).encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "items", "id"]) | st.text(), inner)
    ),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["say", "order", "item"])},
        optional={"text": json_values, "items": json_values, "extra": json_values},
    )
)
def test_any_object_is_answered(value: dict[str, Any]) -> None:
    """Every JSON object is a message or an error, and either travels as JSON that a browser reads."""
    strict_json(parse(json.dumps(value), Incoming).encode())


def test_close_codes_agree_with_the_registry() -> None:
    """Ours is the registry's list with plainer names, and ours from 4000 on."""
    assert {int(code) for code in CloseCode if code < 4000} == set(UpstreamCloseCode)
    assert [code for code in CloseCode if code >= 4000] == [4001, 4002, 4003, 4004, 4008]


def test_codes_that_travel_are_those_a_close_frame_may_carry() -> None:
    """1005, 1006 and 1015 never travel."""
    assert {int(code) for code in CloseCode if code.travels and code < 4000} == EXTERNAL_CLOSE_CODES


def test_page_may_send_1000_and_our_own() -> None:
    """`WebSocket.close` in a browser takes 1000 and 3000 to 4999, and throws for the rest."""
    assert [code for code in CloseCode if code.from_browser] == [1000, 4001, 4002, 4003, 4004, 4008]
