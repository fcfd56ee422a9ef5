"""The checks of the exercises in deeper/race and deeper/engine: what is written, and what is published, once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from ..harness.clock import without_waiting
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_joined", "check_publish_once"]

Answer = Any  # whatever the reader has written


def _outcome(answer: Answer, main: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
    """Run `main` on a clock that doesn't wait, and return what it raised; raise `NotYet` for what stops it."""
    refuse_stub(answer)

    def play() -> Any:
        try:
            return without_waiting(main())
        except Exception as error:
            return error

    play.__name__ = getattr(answer, "__name__", "the answer")
    outcome = result_of(play)
    if isinstance(outcome, NotYet):
        raise outcome
    if isinstance(outcome, Exception):
        refuse_stub(answer, outcome)
        return outcome
    return None


# deeper/race

TURNS: tuple[tuple[bytes, ...], ...] = ((b"one ", b"two ", b"three "), (b"four ",), (b"five ", b"six "))
"""The frames of each turn of the event loop."""


@judged("whatever is sent in one turn of the event loop is written at once, in its order")
def check_joined(joined: Answer) -> None:
    """Check ``joined(write)``: it returns ``send(frame)``, which joins the frames of a turn into one ``write``.

    The clock of this check jumps to the next timer, so it doesn't wait.
    """

    async def main() -> None:
        failures: list[BaseException] = []

        def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            failures.append(context.get("exception") or RuntimeError(context["message"]))

        asyncio.get_running_loop().set_exception_handler(failed)
        ana, ben = list[bytes](), list[bytes]()
        send_to_ana, send_to_ben = (_sender(joined, written) for written in (ana, ben))
        expected: list[bytes] = []
        for frames in TURNS:
            for frame in frames:
                if inspect.iscoroutine(sending := send_to_ana(frame)):
                    sending.close()
                    raise NotYet("send is a coroutine; write it with `def`")
            now = f"in one turn, send was called with {', '.join(map(shown, frames))}"
            if ana != expected:
                raise NotYet(f"{now}, and write was called at once; wait for the next turn with `call_soon`")
            expected.append(b"".join(frames))
            await asyncio.sleep(0.001)
            if failures:
                raise failures[0]
            if ana != expected:
                got = ana[len(expected) - 1 :]
                raise NotYet(f"{now}: write got {_listed(got)}, expected {expected[-1]!r}; {_joined_hint(got, frames)}")
        send_to_ben(b"seven ")
        await asyncio.sleep(0.001)
        if ana != expected or ben != [b"seven "]:
            got_by = f"ana's write got {_listed(ana[len(expected) :])}, and ben's {_listed(ben)}"
            raise NotYet(f"{got_by}, when send was called for ben; make the list inside `joined`, one for each")

    if (error := _outcome(joined, main)) is not None:
        raise NotYet(f"joined raised {reason_of(error, joined)}")


def _sender(joined: Answer, written: list[bytes]) -> Callable[[bytes], Any]:
    def write(data: Any) -> None:
        if not isinstance(data, bytes):
            raise NotYet(f'`write` takes bytes, and got {shown(data)}; join the frames with `b"".join(…)`')
        written.append(data)

    send = joined(write)
    if not callable(send):
        raise NotYet(f"joined returned {shown(send)}, expected a function to call with each frame")
    return send  # type: ignore[no-any-return]


def _listed(written: list[bytes]) -> str:
    return ", then ".join(map(shown, written)) or "nothing"


def _joined_hint(got: list[bytes], frames: tuple[bytes, ...]) -> str:
    if not got:
        return "ask for the next turn with `call_soon`, whenever a first frame waits"
    if got == list(frames):
        return "join the frames, and write once"
    if b"" in got:
        return "only the first frame that waits calls `call_soon`"
    if b"".join(frames) in got[0] or len(got) > 1:
        return "forget the frames that are written"
    return "each frame once, in the order in which they were sent"


# deeper/engine

TRIES = 5
MOST_CALLS = 20


class EngineOfTheCheck:
    """An engine that loses answers by a timetable; it keeps a key only once."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.records: list[str] = []
        self.offsets: dict[Any, int] = {}
        self.times: list[float] = []

    async def publish(self, text: str, key: Any) -> int:
        """Store the text unless its key is known; return its offset, or raise ConnectionError as planned."""
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) > MOST_CALLS:
            raise NotYet(f"the engine stays away, and was asked {MOST_CALLS} times; try {TRIES} times at most")
        if key is None:
            raise NotYet("publish got None as its key; a key is a text that no other message has")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "wrong":
            raise ValueError("the text is too long")
        if answer != "never stored" and key not in self.offsets:
            self.records.append(text)
            self.offsets[key] = len(self.records)
        if answer != "stored":
            raise ConnectionError("the engine is away")
        return self.offsets[key]


@judged("each message is stored once, however often an answer is lost, and a dead engine ends the tries")
def check_publish_once(publish_once: Answer) -> None:
    """Check ``publish_once(publish, text)``: it publishes with a key of its own until there is an answer.

    The clock of this check jumps to the next timer, so it doesn't wait.
    """

    async def main() -> None:
        engine = EngineOfTheCheck("stored", "lost", "never stored", "lost", "stored")
        for number, text in enumerate(("hello", "hello", "bye"), 1):
            got = await _awaited(publish_once(engine.publish, text))
            if len(engine.records) != number:
                raise NotYet(_publish_hint(engine.records, number, text))
            if got != number:
                raise NotYet(f"publish_once returned {shown(got)} for {text!r}, expected its offset, {number}")
        if any(later <= earlier for earlier, later in zip(engine.times[1:4], engine.times[2:5], strict=True)):
            raise NotYet("the engine was asked again at once; wait a little with `await asyncio.sleep(…)`")
        await _expect_error(publish_once, "never stored", ConnectionError, TRIES)
        await _expect_error(publish_once, "wrong", ValueError, 1)

    if (error := _outcome(publish_once, main)) is not None:
        remedy = "; catch it, and try again" if isinstance(error, ConnectionError) else ""
        raise NotYet(f"publish_once raised {reason_of(error, publish_once)}{remedy}")


async def _awaited(result: Any) -> Any:
    if not inspect.isawaitable(result):
        raise NotYet(f"publish_once returned {shown(result)} without waiting; write it with `async def`")
    return await result


def _publish_hint(records: list[str], number: int, text: str) -> str:
    said = f"message number {number}, {text!r}"
    if len(records) < number:
        return f"{said}, wasn't stored; its text was published before, but it needs a key of its own"
    return f"{said}, was stored {len(records) - number + 1} times; use the same key when you try again"


async def _expect_error(publish_once: Answer, answer: str, expected: type[Exception], tries: int) -> None:
    """Expect the last error to reach the caller, after so many tries."""
    engine = EngineOfTheCheck(answer)
    what = "the engine stays away" if expected is ConnectionError else "the engine answers with a ValueError"
    try:
        got = await publish_once(engine.publish, "hello")
    except expected:
        if len(engine.times) == tries:
            return
        hint = f"try {tries} times" if tries > 1 else "trying again doesn't help; catch only ConnectionError"
        raise NotYet(f"{what}, and it was asked {len(engine.times)} times; {hint}") from None
    raise NotYet(f"{what}, and publish_once returned {shown(got)}, expected {expected.__name__} to be raised")
