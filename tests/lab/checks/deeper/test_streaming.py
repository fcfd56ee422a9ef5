"""The verdicts of the notebooks about streaming: the stub, the solutions, and the answers that people really give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from fastapi import WebSocket, WebSocketDisconnect
from lab.checks.deeper.streaming import check_budget, check_several

from tests.lab.checks.verdicts import verdict

Pieces = AsyncGenerator[str, None]
Ask = Callable[[str], Pieces]
Tasks = dict[str, asyncio.Task[None]]
OnStop = Callable[[WebSocket, str, Tasks], Awaitable[None]]


# exercise 1 of deeper/streaming


async def stub(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """As the notebook has it."""
    raise NotImplementedError
    yield


async def solution(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """As the notebook has it."""
    async with aclosing(pieces):
        if budget[user] <= 0:
            return
        async for piece in pieces:
            budget[user] = budget[user] - 1
            yield piece
            if budget[user] <= 0:
                return


async def with_anext(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Asks by hand."""
    try:
        while budget[user]:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                break
            budget[user] -= 1
            yield piece
    finally:
        await pieces.aclose()


async def counts_first(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Notes what there was, and breaks."""
    async with aclosing(pieces):
        left = budget[user]
        if not left:
            return
        async for piece in pieces:
            left -= 1
            budget[user] = left
            yield piece
            if left == 0:
                break


@pytest.mark.parametrize("answer", [solution, with_anext, counts_first])
def test_right_budgets_pass(answer: Any) -> None:
    """However they are written."""
    assert verdict(check_budget, answer).startswith("passed: ")


async def asks_one_too_many(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Looks at the budget when the next token is there already."""
    async with aclosing(pieces):
        async for piece in pieces:
            if budget[user] <= 0:
                return
            budget[user] -= 1
            yield piece


async def never_closes(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Leaves the model open."""
    if budget[user] <= 0:
        return
    async for piece in pieces:
        budget[user] -= 1
        yield piece
        if budget[user] <= 0:
            return


async def closes_only_at_the_end(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Forgets that the reader may leave."""
    if budget[user] <= 0:
        return
    async for piece in pieces:
        budget[user] -= 1
        yield piece
        if budget[user] <= 0:
            break
    await pieces.aclose()


async def never_counts(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Counts in a variable of its own."""
    left = budget[user]
    async with aclosing(pieces):
        if left <= 0:
            return
        async for piece in pieces:
            left -= 1
            yield piece
            if left <= 0:
                return


async def counts_for_all(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Takes from everybody."""
    async with aclosing(pieces):
        if budget[user] <= 0:
            return
        async for piece in pieces:
            for name in budget:
                budget[name] -= 1
            yield piece
            if budget[user] <= 0:
                return


async def collects(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Doesn't stream."""
    async with aclosing(pieces):
        found: list[str] = []
        while len(found) < budget[user]:
            found.append(await anext(pieces))
    budget[user] -= len(found)
    for piece in found:
        yield piece


async def counts_afterwards(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """A reader that leaves doesn't pay for the last token."""
    async with aclosing(pieces):
        if budget[user] <= 0:
            return
        async for piece in pieces:
            yield piece
            budget[user] -= 1
            if budget[user] <= 0:
                return


async def counts_answers(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Takes one for each answer."""
    async with aclosing(pieces):
        if budget[user] <= 0:
            return
        budget[user] -= 1
        async for piece in pieces:
            yield piece


async def starts_without_looking(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Makes one token although nothing is left."""
    async with aclosing(pieces):
        async for piece in pieces:
            budget[user] -= 1
            yield piece
            if budget[user] <= 0:
                return


async def hides_errors(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Ends as if the answer were complete."""
    async with aclosing(solution(pieces, user, budget)) as passed:
        with suppress(ValueError):
            async for piece in passed:
                yield piece


async def no_generator(pieces: Pieces, user: str, budget: dict[str, int]) -> list[str]:
    """Returns a list."""
    return [piece async for piece in pieces]


async def wrong_name(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Raises."""
    async with aclosing(pieces):
        async for piece in pieces:
            budget["user"] -= 1
            yield piece


async def asks_by_hand(pieces: Pieces, user: str, budget: dict[str, int]) -> Pieces:
    """Doesn't expect that an answer ends before the budget."""
    async with aclosing(pieces):
        while budget[user] > 0:
            budget[user] -= 1
            yield await anext(pieces)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (asks_by_hand, "StopAsyncIteration in the line `yield await anext(pieces)`; `anext(…)` found no more there"),
        (stub, "stub is still the stub"),
        (asks_one_too_many, "the model made 4 tokens; look at the budget before you ask again"),
        (never_closes, "the budget was used up and the model wasn't closed"),
        (closes_only_at_the_end, "the reader left after 2 tokens and the model wasn't closed"),
        (never_counts, "expected {'ana': 0, 'ben': 5}"),
        (counts_for_all, "expected {'ana': 0, 'ben': 5}"),
        (collects, "before the first one was passed on; yield each at once"),
        (counts_afterwards, "expected 3; subtract before the `yield`"),
        (counts_answers, "with a budget of 3 it passed"),
        (starts_without_looking, "ana's budget was 0, and the model was asked; look before the first token, too"),
        (hides_errors, "let its error go on to the caller"),
        (no_generator, "is no async generator"),
        (wrong_name, "wrong_name raised KeyError"),
    ],
)
def test_wrong_budgets_are_told_why(answer: Any, sentence: str) -> None:
    """Each by what is missing."""
    said = verdict(check_budget, answer)
    assert said.startswith("not yet: ")
    assert sentence in said


# exercise 1 of deeper/streaming-resume


async def say(websocket: WebSocket, name: str, pieces: Pieces) -> None:
    """Send one answer, as the notebook has it."""
    async with aclosing(pieces):
        async for piece in pieces:
            await websocket.send_json({"type": "text", "answer": name, "text": piece})
    await websocket.send_json({"type": "end", "answer": name, "reason": "complete"})


async def stop(websocket: WebSocket, name: str, task: asyncio.Task[None]) -> None:
    """Stop one answer, as the notebook has it."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        await websocket.send_json({"type": "end", "answer": name, "reason": "stopped"})


async def answer_all(websocket: WebSocket, ask: Ask, on_stop: OnStop) -> None:
    """Do what the solution does, with another way to stop: ``on_stop(websocket, name, tasks)``."""
    await websocket.accept()
    tasks: Tasks = {}
    try:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                await on_stop(websocket, name, tasks)
    finally:
        for task in tasks.values():
            task.cancel()
            await asyncio.wait([task])


async def several(websocket: WebSocket, ask: Ask) -> None:
    """The solution."""

    async def on_stop(websocket: WebSocket, name: str, tasks: Tasks) -> None:
        await stop(websocket, name, tasks[name])

    await answer_all(websocket, ask, on_stop)


async def in_a_group(websocket: WebSocket, ask: Ask) -> None:
    """With a task group and by hand."""
    await websocket.accept()
    tasks: Tasks = {}
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                message = json.loads(await websocket.receive_text())
                name = message["answer"]
                match message["type"]:
                    case "ask":
                        tasks[name] = group.create_task(say(websocket, name, ask(message["prompt"])))
                    case "stop" if name in tasks:
                        await stop(websocket, name, tasks.pop(name))
    except* WebSocketDisconnect:
        pass


async def forgets_what_has_ended(websocket: WebSocket, ask: Ask) -> None:
    """Drops each task when it is done."""
    await websocket.accept()
    tasks: Tasks = {}

    async def run(name: str, prompt: str) -> None:
        reason = "stopped"
        try:
            async with aclosing(ask(prompt)) as pieces:
                async for piece in pieces:
                    await websocket.send_json({"type": "text", "answer": name, "text": piece})
            reason = "complete"
        finally:
            del tasks[name]
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.send_json({"type": "end", "answer": name, "reason": reason})

    try:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = asyncio.create_task(run(name, message["prompt"]))
            elif name in tasks:
                tasks[name].cancel()
    finally:
        running = list(tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def group_that_cancels(websocket: WebSocket, ask: Ask) -> None:
    """With a task group, which would wait for its tasks."""
    await websocket.accept()
    tasks: Tasks = {}
    async with asyncio.TaskGroup() as group:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = group.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                await stop(websocket, name, tasks[name])
        for task in tasks.values():
            task.cancel()


@pytest.mark.parametrize("answer", [several, in_a_group, group_that_cancels, forgets_what_has_ended])
def test_right_handlers_pass(answer: Any) -> None:
    """However they are written."""
    assert verdict(check_several, answer).startswith("passed: ")


async def one_after_the_other(websocket: WebSocket, ask: Ask) -> None:
    """Answers in its own loop."""
    await websocket.accept()
    async for message in websocket.iter_json():
        if message["type"] == "ask":
            await say(websocket, message["answer"], ask(message["prompt"]))


async def without_names(websocket: WebSocket, ask: Ask) -> None:
    """Its messages don't say which answer they belong to."""
    await websocket.accept()

    async def talk(prompt: str) -> None:
        async for piece in ask(prompt):
            await websocket.send_json({"type": "text", "text": piece})

    async with asyncio.TaskGroup() as group:
        async for message in websocket.iter_json():
            group.create_task(talk(message["prompt"]))


async def cannot_stop(websocket: WebSocket, ask: Ask) -> None:
    """Ignores stop."""
    await websocket.accept()
    tasks = []
    async for message in websocket.iter_json():
        if message["type"] == "ask":
            tasks.append(asyncio.create_task(say(websocket, message["answer"], ask(message["prompt"]))))
    for task in tasks:
        task.cancel()


async def one_task_only(websocket: WebSocket, ask: Ask) -> None:
    """The second question ends the first."""
    await websocket.accept()
    task: asyncio.Task[None] | None = None
    async for message in websocket.iter_json():
        if task is not None:
            task.cancel()
        task = asyncio.create_task(say(websocket, message["answer"], ask(message.get("prompt", ""))))


async def ends_twice(websocket: WebSocket, ask: Ask) -> None:
    """Says that it was stopped, although it was complete."""
    await websocket.accept()
    tasks: Tasks = {}
    async for message in websocket.iter_json():
        name = message["answer"]
        if message["type"] == "ask":
            tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
        else:
            tasks[name].cancel()
            await asyncio.wait([tasks[name]])
            await websocket.send_json({"type": "end", "answer": name, "reason": "stopped"})


async def stops_silently(websocket: WebSocket, ask: Ask) -> None:
    """Sends no end."""
    await websocket.accept()
    tasks: Tasks = {}
    try:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                tasks[name].cancel()
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def leaves_a_ghost(websocket: WebSocket, ask: Ask) -> None:
    """Cancels its answers, and forgets another task."""
    ghost = asyncio.create_task(_never_ends())
    await several(websocket, ask)
    assert not ghost.done()


async def _never_ends() -> None:
    await asyncio.sleep(3600)


async def forgets_finally(websocket: WebSocket, ask: Ask) -> None:
    """Cancels nothing when its client leaves."""
    await websocket.accept()
    tasks: Tasks = {}
    async for message in websocket.iter_json():
        name = message["answer"]
        if message["type"] == "ask":
            tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
        else:
            await stop(websocket, name, tasks[name])


async def group_that_waits(websocket: WebSocket, ask: Ask) -> None:
    """Its group waits for the tasks, since `iter_json` raises nothing."""
    await websocket.accept()
    tasks: Tasks = {}
    async with asyncio.TaskGroup() as group:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = group.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                await stop(websocket, name, tasks[name])


async def stops_all(websocket: WebSocket, ask: Ask) -> None:
    """Stops and ends each answer that is running."""

    async def on_stop(websocket: WebSocket, name: str, tasks: Tasks) -> None:
        for each, task in tasks.items():
            await stop(websocket, each, task)

    await answer_all(websocket, ask, on_stop)


async def stops_the_last_first(websocket: WebSocket, ask: Ask) -> None:
    """Stops and ends the others after the one that was named."""

    async def on_stop(websocket: WebSocket, name: str, tasks: Tasks) -> None:
        for each in reversed(tasks):
            await stop(websocket, each, tasks[each])

    await answer_all(websocket, ask, on_stop)


async def cancels_all(websocket: WebSocket, ask: Ask) -> None:
    """Cancels each answer, and ends only the one that was named."""

    async def on_stop(websocket: WebSocket, name: str, tasks: Tasks) -> None:
        if not tasks[name].done():
            for task in tasks.values():
                task.cancel()
                await asyncio.wait([task])
            await websocket.send_json({"type": "end", "answer": name, "reason": "stopped"})

    await answer_all(websocket, ask, on_stop)


async def stops_everything(websocket: WebSocket, ask: Ask) -> None:
    """Takes stop for the end of all."""
    await websocket.accept()
    tasks: Tasks = {}
    async for message in websocket.iter_json():
        name = message["answer"]
        if message["type"] == "ask":
            tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
        else:
            break
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    await websocket.close()


async def waits_for_no_task(websocket: WebSocket, ask: Ask) -> None:
    """Waits for all its tasks, also when it has none."""
    await websocket.accept()
    tasks: Tasks = {}
    try:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                await stop(websocket, name, tasks[name])
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())


async def awaits_what_it_cancelled(websocket: WebSocket, ask: Ask) -> None:
    """The first of its cancelled tasks ends it, and the others are never cancelled."""
    await websocket.accept()
    tasks: Tasks = {}
    try:
        async for message in websocket.iter_json():
            name = message["answer"]
            if message["type"] == "ask":
                tasks[name] = asyncio.create_task(say(websocket, name, ask(message["prompt"])))
            else:
                await stop(websocket, name, tasks[name])
    finally:
        for task in tasks.values():
            task.cancel()
            await task


async def starts_nothing(websocket: WebSocket, ask: Ask) -> None:
    """Makes a coroutine for each answer, and no task."""
    await websocket.accept()
    coroutines = []
    async for message in websocket.iter_json():
        if message["type"] == "ask":
            coroutines.append(say(websocket, message["answer"], ask(message["prompt"])))
    for coroutine in coroutines:
        coroutine.close()  # or the test would warn of it


async def forgets_ask(websocket: WebSocket, ask: Ask) -> None:
    """Hands the prompt on, and never asks; the tasks fail, and nobody looks at them."""
    await websocket.accept()
    tasks: Tasks = {}
    async for message in websocket.iter_json():
        if message["type"] == "ask":
            tasks[message["answer"]] = asyncio.create_task(say(websocket, message["answer"], message["prompt"]))
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def forgets_accept(websocket: WebSocket, ask: Ask) -> None:
    """Forgets `accept`."""
    async for message in websocket.iter_json():
        await say(websocket, message["answer"], ask(message["prompt"]))


async def unfinished(websocket: WebSocket, ask: Ask) -> None:
    """The stub."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (unfinished, "unfinished is still the stub"),
        (one_after_the_other, "has to be answered while 'a' is running"),
        (without_names, "in `answer` the name of its answer"),
        (cannot_stop, "after stop its texts went on"),
        (one_task_only, "expected the reason 'stopped'"),
        (ends_twice, "end each answer once"),
        (stops_silently, "'stopped'"),
        (leaves_a_ghost, "the task _never_ends still runs; cancel and await it in a `finally`"),
        (forgets_finally, "nothing cancelled the task; put the loop into a `try`"),
        (group_that_waits, "nothing cancelled the task; put the loop into a `try`"),
        (stops_all, "'stopped'} came; stop only the task of that name"),
        (stops_the_last_first, "expected more texts of 'd', since only 'e' was stopped; stop only the task"),
        (cancels_all, "got nothing, expected more texts of 'd', since only 'e' was stopped"),
        (stops_everything, "expected the end of 'a', with the reason 'stopped', but the connection was closed"),
        (waits_for_no_task, "a client left that had asked nothing, and waits_for_no_task raised ValueError"),
        (awaits_what_it_cancelled, "the client left, and awaits_what_it_cancelled raised CancelledError"),
        (starts_nothing, "`say(…)` was called, and never started: start it with `asyncio.create_task(say(…))`"),
        (forgets_ask, '`ask` was never called: `say` needs what `ask(message["prompt"])` returns'),
        (forgets_accept, 'Need to call "accept" first'),
    ],
)
def test_wrong_handlers_are_told_why(answer: Any, sentence: str) -> None:
    """Each by what is missing."""
    said = verdict(check_several, answer)
    assert said.startswith("not yet: ")
    assert sentence in said, said
