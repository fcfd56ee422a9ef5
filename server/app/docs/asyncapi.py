"""The wire protocol as an AsyncAPI 3 document, generated from the models: ``python -m server.app.docs.asyncapi``.

Texts come from the docstrings in `messages`, so a new message or close code appears by itself.
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

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ... import messages
from ...access.auth import COOKIE
from ...messages import (
    Ack,
    Answer,
    AnswerEnd,
    AnswerFailed,
    AnswersIn,
    AnswerText,
    AnswerToolCall,
    Ask,
    ChatIn,
    ChatMessage,
    CloseCode,
    Error,
    Inbox,
    Join,
    Joined,
    Message,
    Ping,
    Pong,
    Presence,
    Read,
    Resume,
    Say,
    Stop,
    Watch,
    Welcome,
)
from .examples import EXAMPLES

__all__ = ["INCOMING", "describe", "incoming", "outgoing"]

VERSION = "1.3.0"  # of the protocol; the first number changes when older clients stop working
INCOMING: dict[str, TypeAdapter[Any]] = {"chat": ChatIn, "answers": AnswersIn}
"""What a client may send, by channel."""
ANSWER_PIECES: tuple[type[Message], ...] = (AnswerText, AnswerToolCall, AnswerFailed, AnswerEnd)
OF_ANSWERS: tuple[type[Message], ...] = (Welcome, Answer, *ANSWER_PIECES, Pong, Error)
"""What the server sends on the channel of the answers; everything else, and what both need, is sent on the chat's."""
CHANNELS = {"chat": ("/ws", "One connection of one user"), "answers": ("/answers", "Answers of a model, streamed")}
ABOUT = """Every message is one JSON object in one text frame, and its `type` says which one it is.

A message that is not valid gets an `error` that names the field, and the connection stays open.
The answer to a message has its `id`. Positions let you resume: keep the last
one that you have seen, and join or watch with it after you reconnect."""
CREDENTIALS: dict[str, dict[str, str]] = {
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "For pages: a ticket from `POST /ticket`, which works once, within seconds.",
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
        "description": "For pages that are logged in; accepted only with an allowed `Origin`.",
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
    Ping: (Pong,),
    Ask: (Answer,),
    Resume: (Answer,),
    Stop: (AnswerEnd,),
}
"""The answers to each message if it succeeds; an `Error` may come instead."""

Schema = dict[str, Any]


def incoming(channel: str | None = None) -> list[type[Message]]:
    """Return every message that a client may send, on one channel or on any."""
    found: dict[type[Message], None] = {}
    for name in CHANNELS if channel is None else [channel]:
        references = INCOMING[name].json_schema()["discriminator"]["mapping"].values()
        found |= dict.fromkeys(getattr(messages, reference.rpartition("/")[2]) for reference in references)
    return list(found)


def outgoing(channel: str | None = None) -> list[type[Message]]:
    """Return every message that the server sends, on one channel or on any."""
    if channel == "answers":
        return list(OF_ANSWERS)
    found = [getattr(messages, name) for name in messages.__all__]
    models = [model for model in found if isinstance(model, type) and issubclass(model, Message)]
    sent = [model for model in models if model is not Message and model not in incoming()]
    only_answers = {Answer, *ANSWER_PIECES} if channel == "chat" else set()
    return [model for model in sent if model not in only_answers]


def describe(host: str = "localhost:8000", *, protocol: str = "ws", pathname: str = "") -> Schema:
    """Return the document for a server at this address, from the server's point of view."""
    return _protocol() | {"servers": {"this": _server(host, protocol, pathname)}}


@cache
def _protocol() -> Schema:
    """Return what doesn't depend on the address; cached, because it is slow and anyone may ask for it."""
    models = [*incoming(), *outgoing()]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Chat", "version": VERSION, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in CHANNELS},
        "operations": {key: one for name in CHANNELS for key, one in _operations(name).items()},
        "components": {
            "securitySchemes": CREDENTIALS,
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": _schemas(incoming(), "validation") | _schemas(outgoing(), "serialization"),
        },
    }


def _server(host: str, protocol: str, pathname: str) -> Schema:
    security = [_reference("components", "securitySchemes", name) for name in CREDENTIALS]
    return {"host": host, "protocol": protocol, "security": security} | ({"pathname": pathname} if pathname else {})


def _channel(name: str) -> Schema:
    address, title = CHANNELS[name]
    models = [*incoming(name), *outgoing(name)]
    docs = attribute_docs(CloseCode)
    codes = [{"code": int(code), "name": code.name, "description": docs[code.name]} for code in CloseCode]
    rows = [f"| {code['code']} | {code['name']} | {code['description']} |" for code in codes]
    return {
        "address": address,
        "title": title,
        "description": "\n".join(
            ["Close codes:", "", "| code | name | meaning |", "|---|---|---|", *rows],
        ),
        "messages": {model.__name__: _reference("components", "messages", model.__name__) for model in models},
        "bindings": {"ws": {"method": "GET", "query": QUERY, "bindingVersion": "0.1.0"}},
        "x-close-codes": codes,
    }


def _operations(channel: str) -> Schema:
    """Return what is sent and received on a channel; what both channels have is named after the chat's."""
    operations: Schema = {}
    suffix = "" if channel == "chat" else "OnAnswers"
    shared = {*incoming("chat"), *outgoing("chat")}
    for model in incoming(channel):
        answers: tuple[type[Message], ...] = (*ANSWERS.get(model, ()), Error)
        reply = {"reply": {"channel": _reference("channels", channel), "messages": _in_channel(channel, *answers)}}
        name = f"receive{model.__name__}{suffix if model in shared else ''}"
        operations[name] = _operation("receive", channel, model) | reply
    for model in outgoing(channel):
        name = f"send{model.__name__}{suffix if model in shared else ''}"
        operations[name] = _operation("send", channel, model)
    return operations


def _operation(action: str, channel: str, model: type[Message]) -> Schema:
    return {
        "action": action,
        "channel": _reference("channels", channel),
        "summary": _summary(model),
        "messages": _in_channel(channel, model),
    }


def _in_channel(channel: str, *models: type[Message]) -> list[Schema]:
    return [_reference("channels", channel, "messages", model.__name__) for model in models]


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
        schema, docs = schemas[model.__name__], attribute_docs(model)
        # the server leaves out fields that are None, and sends every other field
        sent = [name for name, field in model.model_fields.items() if field.default is not None]
        schema["required"] = sent if mode == "serialization" else ["type", *schema.get("required", [])]
        for name, field in schema["properties"].items():
            schema["properties"][name] = _field(field, docs.get(name), may_be_null=mode == "validation")
    return schemas


def _field(field: Schema, description: str | None, *, may_be_null: bool) -> Schema:
    field = {key: value for key, value in field.items() if key != "title"}
    if not may_be_null:
        kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
        field |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
        if field.get("default", ...) is None:
            del field["default"]
    if "$ref" in field and (description or len(field) > 1):
        # in JSON Schema draft 7, which AsyncAPI uses, a reference must stand alone
        field = {"allOf": [{"$ref": field.pop("$ref")}]} | field
    return field | ({"description": description} if description else {})


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the docstring under each attribute of a class; Python itself keeps only the class's own docstring."""
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(found, ast.ClassDef)
    docs: dict[str, str] = {}
    for statement, below in pairwise(found.body):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(target, ast.Name) and isinstance(text, str):
            docs[target.id] = " ".join(text.split())
    return docs


def _summary(model: type[Message]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def _reference(*path: str) -> Schema:
    return {"$ref": "#/" + "/".join(path)}


if __name__ == "__main__":
    json.dump(describe(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
