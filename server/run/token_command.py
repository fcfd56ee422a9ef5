"""``python -m server token``: print a token for a program or a trial, signed with the servers' key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from ..access.tokens import issue_session
from ..errors import StartError
from ..messages.names import user_name
from ..settings import Settings
from .cli import settings_error

__all__ = ["token"]

MOST_HOURS = 10 * 365 * 24


def token(arguments: Sequence[str]) -> str:
    """Return the token that these flags describe, signed with ``CHAT_KEY``.

    Raises:
        StartError: no key is set, or a value is not allowed; the message says what is allowed.
        SystemExit: a flag does not exist (2), or help was asked for (0).
    """
    asked = _parser().parse_args(arguments)
    try:
        user = user_name(asked.user)
    except ValueError as error:
        raise StartError(f"--user {asked.user!r}: expected {error}") from None
    if not 0 < asked.hours <= MOST_HOURS:
        raise StartError(f"--hours {asked.hours:g}: expected more than 0, and {MOST_HOURS} at most")
    seconds = max(1, round(asked.hours * 3600))
    return issue_session(user, key=_key(), seconds=seconds, scope=asked.scope)


def _key() -> str:
    try:
        key = Settings().key
    except (ValidationError, SettingsError) as error:
        raise settings_error(error) from None
    if key is None:  # with the demo login the server makes up a random one, which no other process knows
        raise StartError("no key is set to sign with; set CHAT_KEY to the key of the servers that verify the token")
    return key.get_secret_value()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server token",
        description="Print a token, signed with the key in CHAT_KEY. A program sends it as `Authorization: Bearer …`.",
        allow_abbrev=False,
    )
    parser.add_argument("--user", required=True, help="the user whom the token identifies")
    parser.add_argument("--scope", choices=["push"], default="", help="push: allows notifying every user")
    parser.add_argument("--hours", type=float, default=24.0, help="hours until the token expires (default: 24)")
    return parser
