"""Where a text may be cut: between two characters as a reader sees them, which are often several code points each."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise

__all__ = ["characters", "shorten"]

JOINERS = "\u200c\u200d"
FLAGS = range(0x1F1E6, 0x1F200)  # letters of which two make a flag
LEADS = (range(0x1100, 0x1160), range(0xA960, 0xA980))  # Korean consonants at the beginning of a syllable
SYLLABLES = range(0xAC00, 0xD7A4)
# what changes the character before it, though Unicode does not call it a mark: skin colours, the tags of a flag, the
# voicing marks of Japanese in half width, the rest of a Korean syllable, and a vowel of Thai and of Lao
MODIFIERS = (
    range(0x1F3FB, 0x1F400),
    range(0xE0020, 0xE0080),
    range(0xFF9E, 0xFFA0),
    range(0x1160, 0x1200),
    range(0xD7B0, 0xD800),
    range(0x0E33, 0x0E34),
    range(0x0EB3, 0x0EB4),
)
VIRAMA = 9  # its combining class: what joins two consonants of an Indic script


def shorten(text: str, limit: int, *, size: Callable[[str], int] = len) -> str:
    """Return the longest beginning of `text` that is no larger than `limit` and ends where a character ends.

    `size` measures a part of the text; by default it counts code points. If the first character is larger than the
    limit by itself, it is cut between two code points: an accent may be repeated a thousand times.
    """
    left = limit
    end = 0
    for character in characters(text):
        left -= size(character)
        if left < 0:
            return text[:end] or _code_points(character, limit, size)
        end += len(character)
    return text


def characters(text: str) -> Iterator[str]:
    """Yield the characters of a text as a reader sees them: a letter with its accents, a flag, a family of emoji.

    These are Unicode's extended grapheme clusters (UAX 29), or a few of them together where only a large table could
    tell; but the two dozen signs that belong to the character behind them, such as Arabic ones for numbers, stand
    alone. The two halves of a surrogate pair stay together as well.
    """
    start = 0
    flags = 0  # letters of flags in a row, up to `before`
    for end, (before, after) in enumerate(pairwise(text), 1):
        flags = flags + 1 if ord(before) in FLAGS else 0
        is_flag = flags % 2 == 1 and ord(after) in FLAGS
        if not is_flag and not _belongs(before, after):
            yield text[start:end]
            start = end
    if text:
        yield text[start:]


def _belongs(before: str, after: str) -> bool:
    """Return whether `after` is a part of the character that `before` is a part of."""
    if before.isascii() and after.isascii():
        return before + after == "\r\n"
    code = ord(after)
    return (
        unicodedata.category(after).startswith("M")
        or after in JOINERS
        or before == JOINERS[1]
        or _is_in(code, *MODIFIERS)
        or (_is_in(ord(before), *LEADS) and _is_in(code, SYLLABLES, *LEADS))
        or (unicodedata.combining(before) == VIRAMA and after.isalpha())
        or "\ud800" <= before < "\udc00" <= after < "\ue000"
    )


def _is_in(code: int, *ranges: range) -> bool:
    return any(code in some for some in ranges)


def _code_points(character: str, limit: int, size: Callable[[str], int]) -> str:
    """Return as much of one character as there is room for."""
    end = 0
    while end < len(character) and size(character[: end + 1]) <= limit:
        end += 1
    return character[:end]
