"""What may be the name of a room or a user: nothing in it that nobody sees, so that no two look the same for that."""

from __future__ import annotations

from pydantic_core import SchemaValidator, core_schema

__all__ = ["LONGEST_NAME", "is_name", "visible"]

LONGEST_NAME = 190  # bytes; every presence message of a room carries the names, and a topic of the broker has 200

# pydantic's expressions know the properties of Unicode, and Python's do not. Format characters alone would let
# the Hangul fillers through, which count as letters, and variation selectors, which count as marks
_INVISIBLE = SchemaValidator(
    core_schema.str_schema(pattern=r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]")
)


def visible(text: str) -> str:
    """The text as it is; what pydantic calls after a name has matched its pattern.

    Raises:
        ValueError: there is a character in it that nobody sees, such as a joiner or a variation selector.
    """
    if not text.isascii() and _INVISIBLE.isinstance_python(text):
        raise ValueError("a name without invisible characters")
    return text


def is_name(text: str) -> bool:
    """Whether a user can be called that: half a character would break the message that carries the name."""
    try:
        return 0 < len(text.encode()) <= LONGEST_NAME and not _INVISIBLE.isinstance_python(text)
    except UnicodeEncodeError:
        return False
