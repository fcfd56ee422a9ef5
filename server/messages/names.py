"""The names of rooms and users: two that look the same are the same, however they were typed.

One keyboard sends "é" as one character, another as an "e" and an accent (Unicode's NFC and NFD). The server takes both
as the same name and keeps NFC, as RFC 8265 does for the names of users. Invisible characters are refused.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from pydantic import ValidatorFunctionWrapHandler
from pydantic_core import SchemaValidator, core_schema

__all__ = ["LONGEST_NAME", "normalize", "user_name", "validate_name"]

LONGEST_NAME = 190  # bytes; every presence message of a room carries the names, and a topic of the broker has 200

# pydantic's expressions know the properties of Unicode, and Python's do not. Format characters alone would let
# the Hangul fillers through, which count as letters, and variation selectors, which count as marks
_INVISIBLE = SchemaValidator(
    core_schema.str_schema(pattern=r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]")
)


def normalize(value: Any) -> Any:
    """Return a text in Unicode's NFC, however it was typed, and anything else as it is."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def validate_name(value: Any, validate: ValidatorFunctionWrapHandler) -> str:
    """Return a name as it is kept; a `WrapValidator` for a field that has a pattern.

    Raises:
        ValueError: it doesn't match the pattern, or has an invisible character, such as a joiner or a variation
            selector.
    """
    if isinstance(value, str) and value.isascii():
        return str(validate(value))  # it is in NFC, and has nothing invisible but what the pattern refuses
    name: str = validate(normalize(value))
    if _INVISIBLE.isinstance_python(name):
        raise ValueError("a name without invisible characters")
    return name


def user_name(text: str) -> str:
    """Return the name of a user as it is kept.

    Raises:
        ValueError: nobody can have this name. Half a character would break the messages that carry it, and browsers
            and proxies remove "." and ".." between slashes from an address.
    """
    name = text if text.isascii() else unicodedata.normalize("NFC", text)
    try:
        is_right = 0 < len(name.encode()) <= LONGEST_NAME and not _INVISIBLE.isinstance_python(name)
    except UnicodeEncodeError:
        is_right = False
    if not is_right or not {".", ".."}.isdisjoint(name.split("/")):
        raise ValueError(
            f"a name of 1 to {LONGEST_NAME} bytes, all of them visible, and no '.' or '..' between slashes"
        )
    return name
