"""The wire protocol as an AsyncAPI 3 document, written from the models: ``python -m server.asyncapi > asyncapi.json``.

Nothing is said here that `messages` could say: a new message or close code is in the document by itself.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from . import messages
from .asyncapi_examples import EXAMPLES
from .identity import COOKIE
from .messages import (
    Ack,
    ChatIn,
    ChatMessage,
    CloseCode,
    Error,
    Inbox,
    Join,
    Joined,
    Message,
    Presence,
    Read,
    Say,
    Watch,
)

__all__ = ["describe", "incoming", "outgoing"]

VERSION = "1.1.0"  # of the protocol: the first number changes when a client of before no longer works
CHANNEL = "chat"
ABOUT = """Every message is one JSON object in one text frame, and its `type` says which one it is.

A message that cannot be used is answered with an `error` that names the field, and the connection lives on.
The answer to a message has its `id`. Positions let you resume: keep the last
one that you have seen, and join or watch with it after you have connected again."""
CREDENTIALS: dict[str, dict[str, str]] = {
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "For pages: a pass for one connection, from `POST /ticket`. Good once, within seconds.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "For programs: a session token in the `Authorization` header, HS256, with `sub`, `exp` "
        'and the `aud` "chat".',
    },
    "cookie": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "For pages that are logged in. It counts only with an `Origin` that is allowed.",
    },
}
QUERY = {
    "type": "object",
    "properties": {
        "ticket": {"type": "string", "description": "For pages: a ticket from `POST /ticket`."},
        "device": {"type": "string", "maxLength": 64, "description": "Tells the devices of one user apart."},
    },
}
ANSWERS: dict[type[Message], tuple[type[Message], ...]] = {
    Join: (Joined, Presence),
    Say: (ChatMessage,),
    Watch: (Inbox,),
    Ack: (Read,),
}
"""What a message is answered with when all is well; an `Error` may come for each."""

Schema = dict[str, Any]


def incoming() -> list[type[Message]]:
    """Every message that a client may send."""
    references = ChatIn.json_schema()["discriminator"]["mapping"].values()
    return [getattr(messages, reference.rpartition("/")[2]) for reference in references]


def outgoing() -> list[type[Message]]:
    """Every message that the server sends."""
    found = [getattr(messages, name) for name in messages.__all__]
    models = [model for model in found if isinstance(model, type) and issubclass(model, Message)]
    return [model for model in models if model is not Message and model not in incoming()]


def describe(host: str = "localhost:8000", *, protocol: str = "ws", pathname: str = "") -> Schema:
    """The document, for a server at this address; what the server receives is what a client sends."""
    return _protocol() | {"servers": {"this": _server(host, protocol, pathname)}}


@cache
def _protocol() -> Schema:
    """All that is the same whatever the address; it takes a moment, and anybody may ask for it."""
    models = [*incoming(), *outgoing()]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Chat", "version": VERSION, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {CHANNEL: _channel(models)},
        "operations": _operations(),
        "components": {
            "securitySchemes": CREDENTIALS,
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": _schemas(incoming(), "validation") | _schemas(outgoing(), "serialization"),
        },
    }


def _server(host: str, protocol: str, pathname: str) -> Schema:
    security = [_reference("components", "securitySchemes", name) for name in CREDENTIALS]
    return {"host": host, "protocol": protocol, "security": security} | ({"pathname": pathname} if pathname else {})


def _channel(models: list[type[Message]]) -> Schema:
    said = documented(CloseCode)
    codes = [{"code": int(code), "name": code.name, "description": said[code.name]} for code in CloseCode]
    rows = [f"| {code['code']} | {code['name']} | {code['description']} |" for code in codes]
    return {
        "address": "/ws",
        "title": "One connection of one user",
        "description": "\n".join(
            ["How a connection ends:", "", "| code | name | meaning |", "|---|---|---|", *rows],
        ),
        "messages": {model.__name__: _reference("components", "messages", model.__name__) for model in models},
        "bindings": {"ws": {"method": "GET", "query": QUERY, "bindingVersion": "0.1.0"}},
        "x-close-codes": codes,
    }


def _operations() -> Schema:
    operations: Schema = {}
    for model in incoming():
        answers: tuple[type[Message], ...] = (*ANSWERS.get(model, ()), Error)
        reply = {"reply": {"channel": _reference("channels", CHANNEL), "messages": _in_channel(*answers)}}
        operations[f"receive{model.__name__}"] = _operation("receive", model) | reply
    for model in outgoing():
        operations[f"send{model.__name__}"] = _operation("send", model)
    return operations


def _operation(action: str, model: type[Message]) -> Schema:
    return {
        "action": action,
        "channel": _reference("channels", CHANNEL),
        "summary": _summary(model),
        "messages": _in_channel(model),
    }


def _in_channel(*models: type[Message]) -> list[Schema]:
    return [_reference("channels", CHANNEL, "messages", model.__name__) for model in models]


def _message(model: type[Message]) -> Schema:
    example = json.loads(EXAMPLES[model].encode()) if model in EXAMPLES else None
    return {
        "name": model.model_fields["type"].default,
        "title": model.__name__,
        "summary": _summary(model),
        "description": inspect.getdoc(model),
        "payload": _reference("components", "schemas", model.__name__),
    } | ({"examples": [{"payload": example}]} if example else {})


def _schemas(models: list[type[Message]], mode: JsonSchemaMode) -> Schema:
    template = "#/components/schemas/{model}"
    _, made = models_json_schema([(model, mode) for model in models], ref_template=template)
    schemas: Schema = made["$defs"]
    for model in models:
        schema, said = schemas[model.__name__], documented(model)
        # what is None is left out of what we send, and everything else is always there
        sent = [name for name, field in model.model_fields.items() if field.default is not None]
        schema["required"] = sent if mode == "serialization" else ["type", *schema.get("required", [])]
        for name, field in schema["properties"].items():
            schema["properties"][name] = _field(field, said.get(name), may_be_null=mode == "validation")
    return schemas


def _field(field: Schema, said: str | None, *, may_be_null: bool) -> Schema:
    field = {key: value for key, value in field.items() if key != "title"}
    if not may_be_null:
        kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
        field |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
        if field.get("default", ...) is None:
            del field["default"]
    if "$ref" in field and (said or len(field) > 1):
        # in draft 7, which AsyncAPI builds on, a reference stands alone
        field = {"allOf": [{"$ref": field.pop("$ref")}]} | field
    return field | ({"description": said} if said else {})


def documented(owner: type) -> dict[str, str]:
    """What a class says about each of its attributes, in the string under it; Python keeps only the class's own."""
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(found, ast.ClassDef)
    said: dict[str, str] = {}
    for statement, below in pairwise(found.body):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(target, ast.Name) and isinstance(text, str):
            said[target.id] = " ".join(text.split())
    return said


def _summary(model: type[Message]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def _reference(*path: str) -> Schema:
    return {"$ref": "#/" + "/".join(path)}


if __name__ == "__main__":
    json.dump(describe(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
