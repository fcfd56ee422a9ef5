"""Lessons in the reader's browser, without an install: JupyterLite, and a network in memory."""

from __future__ import annotations

__all__ = ["ELSEWHERE", "LESSONS"]

LESSONS = (
    "01-handshake",
    "02-echo",
    "03-manager",
    "deeper/ask-and-answer",
    "deeper/frames",
    "deeper/server-in-a-thread",
    "deeper/sessions",
    "deeper/subprotocols",
)
"""The notebooks that run in the browser: `make test-lite` compares each of their outputs."""

_PYTEST = "it runs pytest, which is left out to keep the start short"
_MATPLOTLIB = "it draws with matplotlib, which has no wheel for Pyodide on PyPI"
_SLOW = "it took longer than two minutes when it was tried"

ELSEWHERE = {
    "04-broadcasting": "it starts a Valkey engine, and a page can't start a process",
    "05-notifications": "it starts servers in processes of their own and kills one, which a page can't do",
    "deeper/coming-back": _MATPLOTLIB,
    "deeper/cost": "it measures a server in a process of its own, and a page can't start one",
    "deeper/engine": "it starts a Valkey engine, and a page can't start a process",
    "deeper/four-ways": _MATPLOTLIB,
    "deeper/operations": "it kills servers with `kill -9` and starts a Valkey engine, which a page can't do",
    "deeper/race": "it measures with hundreds of clients, and " + _MATPLOTLIB,
    "deeper/streaming": _SLOW,
    "deeper/streaming-events": _SLOW,
    "deeper/streaming-resume": _SLOW,
    "deeper/testing": _PYTEST,
    "deeper/testing-faults": _PYTEST,
    "deeper/testing-messages": "it uses hypothesis, which is left out to keep the start short",
    "deeper/testing-time": _PYTEST,
    "deeper/wss": "it makes certificates with trustme, whose cryptography has no wheel for Pyodide on PyPI",
}
"""The other notebooks, each with what stops it; in the browser, a page with this sentence stands in its place."""
