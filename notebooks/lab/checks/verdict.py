"""Check the reader's code, and say the result in one sentence, whatever that code does.

A check is a function with the decorator `judged`. Its body runs the reader's code through
`result_of`, or through a `lab.checks.harness.trial.Trial` for a WebSocket handler, and raises `NotYet` with a
sentence that helps. The decorator returns a `Verdict` in every case.
"""

from __future__ import annotations

import asyncio
import ctypes
import dis
import functools
import inspect
import linecache
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, ParamSpec

from server.messages.shorten import characters, shorten

from ..observe.expect import one_line
from .harness.time_budget import BUDGET, retry_on_timeout, time_budget
from .progress import remember
from .results import record_result

__all__ = [
    "NotYet",
    "Verdict",
    "judged",
    "reason_of",
    "refuse_stub",
    "result_of",
    "shown",
    "stop_thread",
    "without_arguments",
]

P = ParamSpec("P")

LONGEST = 70  # characters of a value that are shown
TASK_METHODS = ("cancel", "cancelled", "done", "result", "exception", "add_done_callback")


@dataclass(frozen=True)
class Verdict:
    """The result of a check: true if it passed; shown as one line at the end of a cell."""

    passed: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'not yet'}: {self.sentence}"

    __repr__ = __str__

    def __bool__(self) -> bool:
        return self.passed

    def points(self) -> float:
        """Print the sentence and return 1.0 or 0.0, which nbgrader takes for the score of the cell."""
        print(self)
        return float(self.passed)


class NotYet(Exception):  # noqa: N818 - the verdict's own word
    """The answer is not right yet; the message says what is missing, in one sentence."""


def judged(passed: str) -> Callable[[Callable[P, None]], Callable[P, Verdict]]:
    """Decorate a function that returns if the answer is right, and raises `NotYet` if not, as a check.

    `passed` is the sentence of a passed check. All waits of one check share 1 s, so it ends
    within 2 s. A check never raises. A passed check is remembered, see `lab.progress`. A teacher can
    have each verdict written to a file, see `lab.checks.results`.
    """

    def decorate(body: Callable[P, None]) -> Callable[P, Verdict]:
        @functools.wraps(body)
        def check(*args: P.args, **kwargs: P.kwargs) -> Verdict:
            verdict = Verdict(True, passed)
            with time_budget():
                try:
                    body(*args, **kwargs)
                except NotYet as missing:
                    verdict = Verdict(False, str(missing))
                except Exception as error:
                    verdict = Verdict(False, f"the answer could not be judged, the check met {reason_of(error)}")
            answers = (*args, *kwargs.values())
            if verdict.passed:
                remember(body.__module__, body.__name__, *answers)
            record_result(body.__module__, body.__name__, verdict.passed, verdict.sentence, *answers)
            return verdict

        return check

    return decorate


def result_of(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the reader, with a deadline, and return what it returns.

    Raises:
        NotYet: it is no function, is still the stub, is a coroutine, raises, or does not return in time.
    """
    refuse_stub(function)
    call = f"{_name(function)}({', '.join(shown(arg) for arg in args)})"
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function(*args))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="verdict", daemon=True)
    thread.start()
    try:
        retry_on_timeout(lambda seconds: _join(thread, seconds))
    except TimeoutError:
        stop_thread(thread)
        raise NotYet(f"{call} did not return within {BUDGET:g} s; does a loop in it never end?") from None
    if failure:
        refuse_stub(function, failure[0])
        raise NotYet(f"{call} raised {reason_of(failure[0], function)}")
    if inspect.iscoroutine(outcome[0]):
        outcome[0].close()
        raise NotYet(f"{call} returned a coroutine; write it with `def` instead of `async def`")
    return outcome[0]


def without_arguments(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Return the call for `result_of`, which then doesn't show the arguments: they are too long for a sentence."""

    def call() -> Any:
        return function(*args)

    call.__name__ = getattr(function, "__name__", "your function")
    call.__wrapped__ = function  # type: ignore[attr-defined]  # whose line `reason_of` shows
    return call


def _join(thread: threading.Thread, seconds: float) -> None:
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError


def refuse_stub(function: Any, error: BaseException | None = None) -> None:
    """Raise `NotYet` if this is no function, or still the stub of the exercise.

    A stub is empty, or has raised NotImplementedError, which is then `error`.
    """
    if not callable(function):
        raise NotYet(f"expected a function, got {shown(function)}; run the cell that defines it first")
    code = getattr(function, "__code__", None)
    empty = isinstance(code, CodeType) and _steps(code) in _EMPTY
    if empty or (isinstance(error, NotImplementedError) and not error.args):
        raise NotYet(f"{_name(function)} is still the stub; replace its raise line with your code")


def reason_of(error: BaseException, function: Any = None) -> str:
    """Return the error in one line, with the line of the reader's `function` that raised it.

    Of a group of exceptions, take the first.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration | StopAsyncIteration):
        error = error.__cause__  # Python replaces it in a coroutine or a generator, and hides the line
    own = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    where = linecache.getline(lines[-1].filename, lines[-1].lineno or 0).strip() if lines else ""
    return one_line(error) + (f" in the line `{where}`" if where else "") + _remedy(error)


def _remedy(error: BaseException) -> str:
    if isinstance(error, StopIteration):
        return "; `next(…)` found nothing there, so look first whether there is something"
    if isinstance(error, StopAsyncIteration):
        return "; `anext(…)` found no more there: use `async for`, or catch StopAsyncIteration"
    if isinstance(error, asyncio.CancelledError):
        return "; it comes from a task that was cancelled: wait with `await asyncio.wait([task])`, which only waits"
    if isinstance(error, TypeError) and str(error).startswith("a coroutine was expected, got <function"):
        return "; call the function, with its arguments: that makes the coroutine"
    if isinstance(error, AttributeError) and error.name in TASK_METHODS and "coroutine" in str(error):
        return "; make a task of the coroutine, with `asyncio.create_task(…)`"
    return "; is an `await` missing?" if "coroutine" in str(error) else ""


def shown(value: object, *, kind: bool = False) -> str:
    """Return the value as Python writes it, shortened if it is long, and with its type if `kind` is true."""
    text = repr(value)
    if len(text) > LONGEST:
        text = f"{shorten(text, LONGEST - 20)}…{_end(text, 19)}"
    return f"{text} ({type(value).__name__})" if kind and value is not None else text


def _end(text: str, limit: int) -> str:
    """Return the longest end of a long text that begins where a character begins."""
    end = ""
    for character in reversed(list(characters(text[-LONGEST:]))):
        if len(character) + len(end) > limit:
            break
        end = character + end
    return end


def stop_thread(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread that runs an endless loop of the reader.

    The thread ends at its next Python instruction; a call that blocks outside Python has to return first.
    """
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        thread.join(0.3)


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or shown(function)


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    """Return the instructions of a function, without the numbers of its variables and its docstring."""
    return [(step.opname, step.argval if step.opname in _LOADS else None) for step in dis.get_instructions(code)]


_LOADS = {"LOAD_CONST", "RETURN_CONST"}


def _empty_function() -> None: ...


async def _empty_coroutine() -> None: ...


_EMPTY = (_steps(_empty_function.__code__), _steps(_empty_coroutine.__code__))
