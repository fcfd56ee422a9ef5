"""Show a deliberate failure in one line: ``with expect(ConnectionClosed) as caught: …``."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Expectation", "expect", "one_line"]

E = TypeVar("E", bound=BaseException)

# what differs from run to run in the text of an error
_CHANGING = (
    (re.compile(r"(127\.0\.0\.1|0\.0\.0\.0|localhost|::1\]?)(:|', )\d+"), r"\1\2…"),
    (re.compile(r"\b0x[0-9a-f]{6,}"), "0x…"),
    (re.compile(r" \(_ssl\.c:\d+\)"), ""),  # a line of CPython's source
    (re.compile(r"\s*For further information visit \S+"), ""),
)


class Expectation(Generic[E]):
    """A block of code that must fail; made by `expect`. `error` is what it raised, once the block has ended."""

    error: E

    def __init__(self, kinds: tuple[type[E], ...], match: str | None) -> None:
        self._kinds = kinds
        self._match = match

    def __enter__(self) -> Expectation[E]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        wanted = " or ".join(kind.__name__ for kind in self._kinds)
        if error is None:
            raise AssertionError(f"expected {wanted}, but this block raised nothing")
        if not isinstance(error, self._kinds):
            return False
        if self._match is not None and re.search(self._match, str(error)) is None:
            raise AssertionError(f"expected {wanted} to match {self._match!r}, got {one_line(error)}") from error
        self.error = error
        print(one_line(error))
        return True


def expect(kind: type[E] | tuple[type[E], ...], *, match: str | None = None) -> Expectation[E]:
    """Expect a block to raise `kind`, and print the error in one line.

    Example: ``with expect(TimeoutError): …``.

    `kind` may be a tuple of exceptions. `match` is a regular expression that the error's text must
    contain. The printed line is the same in every run, because port numbers and addresses are left
    out. Use a plain ``with``, also around ``await``. ``as caught`` gives you ``caught.error``.

    Raises:
        AssertionError: the block raised nothing, or its error does not match. An exception of any
            other kind passes through.
    """
    return Expectation(kind if isinstance(kind, tuple) else (kind,), match)


def one_line(error: BaseException) -> str:
    """Return the error as ``Kind: text`` on one line, without what changes from run to run."""
    text = str(error)
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
