"""The AsyncAPI document: valid by AsyncAPI's own schema, complete, and true to what the models take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import BaseModel

from server import messages, serve
from server.app import create_app
from server.app.docs.asyncapi import INCOMING, describe, incoming, outgoing
from server.app.docs.examples import EXAMPLES
from server.messages import ChatIn, CloseCode, Error, Join, Message, Say, parse
from server.settings import Settings

OFFICIAL = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
MODELS = [*incoming(), *outgoing()]


def schema_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """One message's schema, with all it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def follow(document: dict[str, Any], reference: str) -> Any:
    """What a reference points at."""
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(value: Any) -> list[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for part in value.values() for found in references(part)]
    return [found for part in value for found in references(part)] if isinstance(value, list) else []


def test_the_document_is_asyncapi_3() -> None:
    """By the JSON Schema that AsyncAPI publishes."""
    jsonschema.Draft7Validator(OFFICIAL).validate(describe())


def test_what_is_not_asyncapi_is_found() -> None:
    """The schema that we test with can fail."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(OFFICIAL).validate(describe() | {"channels": {"chat": {"messages": ["Join"]}}})


def test_every_reference_has_a_target() -> None:
    """The official schema does not follow them."""
    document = describe()
    found = references(document)
    assert len(found) > len(MODELS)
    for reference in found:
        assert follow(document, reference) is not None, reference


def test_every_message_is_in_it_with_an_example() -> None:
    """And each as what is sent or what is received."""
    document = describe()
    defined = {
        found
        for found in vars(messages).values()
        if isinstance(found, type) and issubclass(found, Message) and found is not Message
    }
    assert set(MODELS) == defined == set(EXAMPLES)
    channels = document["channels"]
    for channel in channels:
        models = {*incoming(channel), *outgoing(channel)}
        assert set(channels[channel]["messages"]) == {model.__name__ for model in models}
    assert {name for channel in channels.values() for name in channel["messages"]} == {
        model.__name__ for model in defined
    }
    assert {f"receive{model.__name__}" for model in incoming()} < set(document["operations"])
    assert {f"send{model.__name__}" for model in outgoing()} < set(document["operations"])


def test_every_close_code_is_in_it() -> None:
    """With what to do about it, our own above all."""
    document = describe()
    codes = {code["code"]: code["description"] for code in document["channels"]["chat"]["x-close-codes"]}
    assert set(codes) == set(CloseCode)
    for code in CloseCode:
        assert codes[code].endswith(".")
        assert f"| {code} | {code.name} |" in document["channels"]["chat"]["description"]


@pytest.mark.parametrize("model", MODELS)
def test_the_examples_are_as_the_document_says(model: type[Message]) -> None:
    """What the models make and read is what the schema allows."""
    document = describe()
    (example,) = document["components"]["messages"][model.__name__]["examples"]
    jsonschema.Draft7Validator(schema_of(document, model.__name__)).validate(example["payload"])
    for channel, adapter in INCOMING.items():
        if model in incoming(channel):
            assert isinstance(parse(json.dumps(example["payload"]), adapter), model)


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (Join, {"type": "join"}),
        (Join, {"room": "lobby"}),
        (Join, {"type": "join", "room": "no spaces"}),
        (Join, {"type": "join", "room": "lobby", "last": 101}),
        (Join, {"type": "join", "room": "lobby", "after": 7}),
        (Join, {"type": "join", "room": "lobby", "shoe": 43}),
        (Say, {"type": "say", "room": "lobby", "text": ""}),
        (Say, {"type": "say", "room": "lobby", "text": 7}),
    ],
)
def test_what_is_refused_is_not_as_the_document_says(model: type[Message], payload: dict[str, Any]) -> None:
    """The schema is as strict as the server."""
    assert isinstance(parse(json.dumps(payload), ChatIn), Error)
    assert not jsonschema.Draft7Validator(schema_of(describe(), model.__name__)).is_valid(payload)


def test_every_field_that_a_model_explains_is_explained() -> None:
    """The strings under the fields reach the reader."""
    schemas = describe()["components"]["schemas"]
    assert schemas["Join"]["properties"]["after"]["description"].startswith("The last position")
    assert schemas["Presence"]["properties"]["users"]["description"].startswith("Everybody present")
    for model in MODELS:
        assert issubclass(model, BaseModel)
        assert set(schemas[model.__name__]["properties"]) == set(model.model_fields)


def test_the_command_writes_the_document() -> None:
    """``python -m server.app.docs.asyncapi``."""
    done = subprocess.run(
        [sys.executable, "-m", "server.app.docs.asyncapi"], capture_output=True, timeout=100, check=True
    )
    assert json.loads(done.stdout) == describe()


def test_the_server_serves_it_with_its_own_address() -> None:
    """At /asyncapi.json, and a page that draws it beside the chat's."""
    with (
        serve(create_app(Settings(demo_login=True))) as server,
        httpx.Client(base_url=server.http(), trust_env=False) as client,
    ):
        assert client.get("/asyncapi.json").json() == describe(f"127.0.0.1:{server.port}")
        page = client.get("/docs/messages/")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
