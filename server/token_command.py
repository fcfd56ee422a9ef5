"""``python -m server token``: a token for a program or a try, signed with the key of the servers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pydantic import ValidationError

from .command import refusal
from .errors import StartError
from .names import LONGEST_NAME, is_name
from .settings import Settings
from .tickets import issue_session

__all__ = ["token"]

MOST_HOURS = 10 * 365 * 24


def token(arguments: Sequence[str]) -> str:
    """The token that these flags ask for, by the key in ``CHAT_KEY``.

    Raises:
        StartError: there is no key, or a value is not allowed; the message says what is.
        SystemExit: a flag does not exist (2), or help was asked for (0).
    """
    asked = _parser().parse_args(arguments)
    if not is_name(asked.user):
        raise StartError(f"--user {asked.user!r}: expected 1 to {LONGEST_NAME} bytes, all of them visible")
    if not 0 < asked.hours <= MOST_HOURS:
        raise StartError(f"--hours {asked.hours:g}: expected more than 0, and {MOST_HOURS} at most")
    seconds = max(1, round(asked.hours * 3600))
    return issue_session(asked.user, key=_key(), seconds=seconds, scope=asked.scope)


def _key() -> str:
    try:
        key = Settings().key
    except ValidationError as error:
        raise refusal(error) from None
    if key is None:  # a demonstration makes one up, which nobody else knows
        raise StartError("no key is set to sign with; set CHAT_KEY to the key of the servers that the token is for")
    return key.get_secret_value()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server token",
        description="Print a token, signed with the key in CHAT_KEY. A program sends it as `Authorization: Bearer …`.",
        allow_abbrev=False,
    )
    parser.add_argument("--user", required=True, help="who its holder is")
    parser.add_argument("--scope", choices=["push"], default="", help="push: its holder may notify every user")
    parser.add_argument("--hours", type=float, default=24.0, help="hours until it ends (default: 24)")
    return parser
