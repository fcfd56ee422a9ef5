"""Checks of the exercises in deeper/streaming and deeper/streaming-resume."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Mapping
from functools import wraps
from typing import Any

from fastapi import WebSocket

from ..harness.client import TrialClient
from ..harness.trial import Trial
from ..harness.unawaited import unawaited
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_budget", "check_several"]

MOST_BEFORE = 150  # texts of one answer before the first of another, which is made at the same pace
MOST_AFTER_STOP = 150  # messages that may be on their way when a client says stop, on a busy machine
LONG = 2000  # texts of an answer that doesn't end by itself while the check runs
MORE = 3  # texts that show that an answer goes on
THINKS = 3600.0  # seconds of a model that only cancelling ends
ONLY_WEBSOCKET = inspect.Signature(
    [inspect.Parameter("websocket", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=WebSocket)]
)
"""What FastAPI is to see of a handler that takes a model as well."""


class CountedModel:
    """A model that says how many tokens it has made, and whether it was closed; `thinks` seconds after its last."""

    def __init__(self, count: int, *, error: Exception | None = None, seconds: float = 0, thinks: float = 0) -> None:
        self.made = 0
        self.closed = False
        self._count = count
        self._error = error
        self._seconds = seconds
        self._thinks = thinks

    async def pieces(self) -> AsyncGenerator[str, None]:
        """Make the tokens."""
        try:
            for number in range(self._count):
                await asyncio.sleep(self._seconds)
                self.made += 1
                yield f"word{number} "
            await asyncio.sleep(self._thinks)
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


# exercise 1 of deeper/streaming


@judged("each token is counted, the model stops with the budget, and it's always closed")
def check_budget(within_budget: Any) -> None:
    """Check ``within_budget(pieces, user, budget)``: it passes tokens on until the user's budget is used up."""
    refuse_stub(within_budget)
    if not inspect.isasyncgenfunction(inspect.unwrap(within_budget)):
        raise NotYet("within_budget is no async generator; write `async def` and hand out each token with `yield`")
    name = getattr(within_budget, "__name__", "within_budget")

    async def judge() -> str:
        try:
            for case in (_spends_all, _has_nothing_left, _has_enough, _leaves_early, _fails):
                await case(within_budget)
        except NotYet as missing:
            return str(missing)
        except NotImplementedError:
            return f"{name} is still the stub; replace its lines with your code"
        except Exception as error:
            return f"{name} raised {reason_of(error, within_budget)}"
        return ""

    @wraps(within_budget)
    def run() -> str:
        return asyncio.run(judge())

    if missing := result_of(run):
        raise NotYet(missing)


async def _spends_all(within_budget: Any) -> None:
    model, budget = CountedModel(10), {"ana": 3, "ben": 5}
    passed = within_budget(model.pieces(), "ana", budget)
    got = [await anext(passed, None)]
    if model.made > 1:
        raise NotYet(f"the model had made {model.made} tokens before the first one was passed on; yield each at once")
    got += [token async for token in passed]
    if got != (expected := ["word0 ", "word1 ", "word2 "]):
        raise NotYet(f"with a budget of 3 it passed {shown(got)} on, expected {shown(expected)}")
    if model.made > 3:
        raise NotYet(f"with a budget of 3 the model made {model.made} tokens; look at the budget before you ask again")
    if not model.closed:
        raise NotYet("the budget was used up and the model wasn't closed; use `async with aclosing(pieces):`")
    if budget != {"ana": 0, "ben": 5}:
        raise NotYet(f"ana spent 3 tokens, and the budget is {shown(budget)}, expected {{'ana': 0, 'ben': 5}}")


async def _has_nothing_left(within_budget: Any) -> None:
    model, budget = CountedModel(10), {"ana": 0}
    got = [token async for token in within_budget(model.pieces(), "ana", budget)]
    if got or model.made:
        raise NotYet("ana's budget was 0, and the model was asked; look before the first token, too")
    if budget["ana"] != 0:
        raise NotYet(f"ana's budget was 0 and is {budget['ana']!r} now")


async def _has_enough(within_budget: Any) -> None:
    budget = {"ana": 5}
    for count, left in ((3, 2), (10, 0)):
        model = CountedModel(count)
        got = [token async for token in within_budget(model.pieces(), "ana", budget)]
        if len(got) != min(count, 5 if count == 3 else 2) or budget["ana"] != left:
            what = f"with a budget of 5, after an answer of 3 tokens{'' if count == 3 else ' and one of 10'}"
            raise NotYet(f"{what}, {len(got)} came of the last one and {budget['ana']!r} are left, expected {left}")


async def _leaves_early(within_budget: Any) -> None:
    model, budget = CountedModel(10), {"ana": 5}
    passed = within_budget(model.pieces(), "ana", budget)
    for _ in range(2):
        await anext(passed)
    await passed.aclose()
    if not model.closed:
        raise NotYet("the reader left after 2 tokens and the model wasn't closed; use `async with aclosing(pieces):`")
    if budget["ana"] != 3:
        left = f"the reader left after 2 tokens of 5, and {budget['ana']!r} are left, expected 3"
        raise NotYet(f"{left}; subtract before the `yield`")


async def _fails(within_budget: Any) -> None:
    model = CountedModel(1, error=ValueError("the provider is down"))
    try:
        async for _ in within_budget(model.pieces(), "ana", {"ana": 5}):
            pass
    except ValueError:
        return
    raise NotYet("the model failed, and the reader wasn't told; let its error go on to the caller")


# exercise 1 of deeper/streaming-resume


@judged("several answers at once, each stopped by its own name, and none outlives its reader")
def check_several(several: Any) -> None:
    """Check ``several(websocket, ask)``: it answers several questions at once on one connection."""
    refuse_stub(several)
    if not inspect.iscoroutinefunction(inspect.unwrap(several)):
        raise NotYet("several is a plain function; write `async def several(websocket, ask)`")
    if forgotten := unawaited(several):
        raise NotYet(f"`{forgotten}` has no `await` in front of it, so it never runs; write `await {forgotten}`")
    models: dict[str, CountedModel] = {}

    def ask(prompt: str) -> AsyncGenerator[str, None]:
        count = 1 if prompt == "think" else LONG if prompt.startswith("long") else 3
        model = models[prompt] = CountedModel(count, seconds=0.003, thinks=THINKS if prompt == "think" else 0)
        return model.pieces()

    @wraps(several)  # so that a verdict names the reader's function and its lines
    async def handler(websocket: WebSocket) -> None:
        await several(websocket, ask)

    handler.__signature__ = ONLY_WEBSOCKET  # type: ignore[attr-defined]
    with Trial(handler) as trial:
        client = trial.connect()
        _ask(client, "a", "long")
        _ask(client, "b", "short")
        try:
            _expect_answer(client, "b", while_running="a")
        except NotYet as missing:
            raise NotYet(f"{missing}{'' if trial.failure() else _why_silent(models)}") from None
        client.send_json({"type": "stop", "answer": "b"})  # it has ended already
        client.send_json({"type": "stop", "answer": "a"})
        _expect_stopped(client, "a", "stop for 'b', which had ended, and for 'a'")
        if not models["long"].closed:
            raise NotYet("after stop the model of 'a' wasn't closed; cancel its task and await it, then send the `end`")
        _ask(client, "c", "short")
        _expect_answer(client, "c")
        _expect_one_stopped(client)
        _ask(client, "f", "think")
        _expect_texts(client, "f", 1)
        client.leave()
        _expect_cancelled(trial, models["think"])
        trial.connect().leave()
        trial.wait_ended()
        if failure := trial.failure():
            raise NotYet(f"a client left that had asked nothing, and {failure}")


def _why_silent(models: Mapping[str, CountedModel]) -> str:
    """Return what is missing if a handler that doesn't fail has never asked; "" if it has."""
    return "" if models else '; `ask` was never called: `say` needs what `ask(message["prompt"])` returns'


def _expect_one_stopped(client: TrialClient) -> None:
    """Stop one of two answers that are running, see that the other goes on, and stop that one, too."""
    _ask(client, "d", "longer")
    _ask(client, "e", "longest")
    _expect_texts(client, "e", 1, beside="d")
    client.send_json({"type": "stop", "answer": "e"})
    _expect_stopped(client, "e", "stop for 'e'", beside="d")
    _expect_texts(client, "d", MORE, "more texts of 'd', since only 'e' was stopped")
    client.send_json({"type": "stop", "answer": "d"})
    _expect_stopped(client, "d", "stop for 'd'")


def _expect_texts(client: TrialClient, answer: str, count: int, expected: str = "", *, beside: str = "") -> None:
    """Receive texts of an answer, and nothing else but texts of the one beside it."""
    others = 0
    while count:
        message = client.receive_json(expected or f"a text of the answer {answer!r}")
        name, kind = _name_and_type(message)
        if name == answer and kind == "text":
            count -= 1
        elif name == answer and expected:
            raise NotYet(f"{shown(message)} came, expected {expected}; stop only the task of that name")
        elif name != beside or kind != "text" or others == MOST_BEFORE:
            raise _unexpected(message, answer, beside)
        else:
            others += 1


def _expect_cancelled(trial: Trial, model: CountedModel) -> None:
    """Wait until the handler and its tasks have ended; the model thinks, so they have to be cancelled for that."""
    still_runs: NotYet | None = None
    try:
        trial.wait_ended()
    except NotYet as missing:
        still_runs = missing
    if failure := trial.failure():
        raise NotYet(f"the client left, and {failure}")
    if not model.closed:
        raise NotYet(
            "the client left while the model of 'f' was thinking, and nothing cancelled the task; "
            "put the loop into a `try`, cancel each task in its `finally`, and wait for it"
        )
    if still_runs is not None:
        raise still_runs


def _name_and_type(message: Any) -> tuple[Any, Any]:
    """Return which answer a message belongs to, and what it is; None for what it doesn't say."""
    return (message.get("answer"), message.get("type")) if isinstance(message, dict) else (None, None)


def _ask(client: TrialClient, answer: str, prompt: str) -> None:
    client.send_json({"type": "ask", "answer": answer, "prompt": prompt})


def _expect_answer(client: TrialClient, answer: str, *, while_running: str = "") -> None:
    """Receive all of a short answer, and nothing else but text of the one that is running."""
    texts: list[str] = []
    others = 0
    while True:
        message = client.receive_json(f"an answer with the name {answer!r}")
        name, kind = _name_and_type(message)
        if name == answer and kind == "text":
            texts.append(message.get("text"))
        elif name == answer and kind == "end":
            break
        elif name != while_running or kind != "text" or others == MOST_BEFORE:
            raise _unexpected(message, answer, while_running)
        else:
            others += 1
    if texts != ["word0 ", "word1 ", "word2 "] or message.get("reason") != "complete":
        raise NotYet(f"the answer {answer!r} had the texts {shown(texts)} and ended with {shown(message)}")


def _unexpected(message: Any, answer: str, while_running: str) -> NotYet:
    got = f"while {answer!r} was awaited, {shown(message)} came"
    if isinstance(message, dict) and while_running and message.get("answer") == while_running:
        return NotYet(f"{got}: {answer!r} has to be answered while {while_running!r} is running, in a task of its own")
    return NotYet(f"{got}; each message needs a `type`, and in `answer` the name of its answer")


def _expect_stopped(client: TrialClient, answer: str, after: str, *, beside: str = "") -> None:
    """Receive the end of an answer that was stopped, and nothing else but texts of the one beside it."""
    for _ in range(2 * MOST_AFTER_STOP if beside else MOST_AFTER_STOP):
        message = client.receive_json(f"the end of {answer!r}, with the reason 'stopped'")
        name, kind = _name_and_type(message)
        if beside and name == beside:
            if kind == "text":
                continue
            raise NotYet(f"after {after}, {shown(message)} came; stop only the task of that name")
        if name != answer:
            raise NotYet(f"after {after}, {shown(message)} came; end each answer once")
        if kind == "end":
            break
    else:
        raise NotYet(f"after stop its texts went on; cancel the task of {answer!r}")
    if message.get("reason") != "stopped":
        raise NotYet(f"after stop, {answer!r} ended with {shown(message)}, expected the reason 'stopped'")
