"""Verdicts on the reader's code: one sentence, whatever that code does.

A check is a function with the decorator `judged`. Its body uses the reader's code through
`result_of`, or through a `lab.trial.Trial` for a WebSocket handler, and raises `NotYet` with the
sentence that helps. The decorator makes a `Verdict` of either end.
"""

from __future__ import annotations

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

from .expect import one_line
from .patience import BUDGET, limited, patiently
from .progress import remember

__all__ = ["NotYet", "Verdict", "judged", "reason_of", "refuse_stub", "result_of", "shown", "stop_thread"]

P = ParamSpec("P")

LONGEST = 70  # characters of a value that are shown


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check: true when passed; a cell that ends in a check shows its one line."""

    passed: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'not yet'}: {self.sentence}"

    __repr__ = __str__

    def __bool__(self) -> bool:
        return self.passed


class NotYet(Exception):  # noqa: N818 - the verdict's own word
    """What is still missing, in one sentence; raised in a check, shown by its verdict."""


def judged(passed: str) -> Callable[[Callable[P, None]], Callable[P, Verdict]]:
    """Make a check of a function that returns when all is well and raises `NotYet` otherwise.

    `passed` is the sentence of a passed check. All waits of one check share 1 s, so that it
    ends within 2 s. A check never raises. That it passed is remembered: see `lab.progress`.
    """

    def decorate(body: Callable[P, None]) -> Callable[P, Verdict]:
        @functools.wraps(body)
        def check(*args: P.args, **kwargs: P.kwargs) -> Verdict:
            with limited():
                try:
                    body(*args, **kwargs)
                except NotYet as missing:
                    return Verdict(False, str(missing))
                except Exception as error:
                    return Verdict(False, f"the answer could not be judged, the check met {reason_of(error)}")
            remember(body.__module__, body.__name__, *args, *kwargs.values())
            return Verdict(True, passed)

        return check

    return decorate


def result_of(function: Callable[..., Any], *args: Any) -> Any:
    """Call a plain function of the reader, with a deadline, and return what it returns.

    Raises:
        NotYet: it is no function, still a stub, raises, does not return in time or is a coroutine.
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
        patiently(lambda seconds: _join(thread, seconds))
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


def _join(thread: threading.Thread, seconds: float) -> None:
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError


def refuse_stub(function: Any, error: BaseException | None = None) -> None:
    """Raise `NotYet` for what cannot be an answer: no function, or one that is still the stub.

    A stub is empty, or has raised the `error` NotImplementedError.
    """
    if not callable(function):
        raise NotYet(f"a function is wanted, got {shown(function)}; run the cell that defines it first")
    code = getattr(function, "__code__", None)
    empty = isinstance(code, CodeType) and _steps(code) in _EMPTY
    if empty or (isinstance(error, NotImplementedError) and not error.args):
        raise NotYet(f"{_name(function)} is still the stub; replace its last line with your code")


def reason_of(error: BaseException, function: Any = None) -> str:
    """The error in one line, with the line of the reader's `function` that raised it.

    Of a group of exceptions, the first one is told.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    where = linecache.getline(lines[-1].filename, lines[-1].lineno or 0).strip() if lines else ""
    remedy = "; is an `await` missing?" if "coroutine" in str(error) else ""
    return one_line(error) + (f" in the line `{where}`" if where else "") + remedy


def shown(value: object, *, kind: bool = False) -> str:
    """The value as Python writes it, cut when it is long, and with its type if `kind`."""
    text = repr(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 20]}…{text[-19:]}"
    return f"{text} ({type(value).__name__})" if kind and value is not None else text


def stop_thread(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread that runs the reader's endless loop.

    It ends at its next Python instruction: a call that blocks outside of Python ends first.
    """
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        thread.join(0.3)


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or shown(function)


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    """The instructions of a function, without its docstring's and its variables' numbers."""
    return [(step.opname, step.argval if step.opname in _LOADS else None) for step in dis.get_instructions(code)]


_LOADS = {"LOAD_CONST", "RETURN_CONST"}


def _empty_function() -> None: ...


async def _empty_coroutine() -> None: ...


_EMPTY = (_steps(_empty_function.__code__), _steps(_empty_coroutine.__code__))
