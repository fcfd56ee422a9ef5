"""Find an `await` that the reader forgot: without it, a line that calls a coroutine function does nothing."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

__all__ = ["unawaited"]

METHODS = {
    *("accept", "close", "send", "send_text", "send_bytes", "send_json", "send_denial_response"),
    *("receive", "receive_text", "receive_bytes", "receive_json"),
}
"""The methods of a WebSocket that are coroutines."""


def unawaited(handler: Callable[..., Any]) -> str | None:
    """Return the first call of a coroutine that is a line of its own without `await`, or None.

    It looks at methods of a WebSocket, and at coroutine functions that are called by name, in the handler and in the
    functions of the same notebook that it names, such as its callbacks. It reads their source, so nothing has to run.
    A call whose result is used, such as the argument of ``asyncio.wait_for``, may be awaited elsewhere, and is left
    out.
    """
    return next((found for one in (handler, *_named(handler)) if (found := _first(one))), None)


def _named(handler: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the coroutine functions of the same module that the handler names."""
    names = getattr(getattr(handler, "__code__", None), "co_names", ())
    known = [getattr(handler, "__globals__", {}).get(name) for name in names]
    return [one for one in known if inspect.iscoroutinefunction(one) and one.__module__ == handler.__module__]


def _first(function: Callable[..., Any]) -> str | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # no function, or one that was not written in a cell or a file
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(call := node.value, ast.Call):
            called = call.func
            if isinstance(called, ast.Attribute) and called.attr in METHODS and _is_socket(called.value, tree):
                return f"{ast.unparse(called)}(…)"
            if isinstance(called, ast.Name) and inspect.iscoroutinefunction(function.__globals__.get(called.id)):
                return f"{called.id}(…)"
    return None


def _is_socket(value: ast.expr, tree: ast.AST) -> bool:
    """Return whether it is the first parameter of a coroutine function, or annotated as a WebSocket."""
    arguments = (node for node in ast.walk(tree) if isinstance(node, ast.arg))
    sockets = {one.arg for one in arguments if one.annotation and "WebSocket" in ast.unparse(one.annotation)}
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            sockets |= {one.arg for one in node.args.args[:1]}
    return isinstance(value, ast.Name) and value.id in sockets | {"websocket"}
