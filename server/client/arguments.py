"""Checks of what a caller passes: a mistake is refused at once and by name, instead of being tried for ever.

No message repeats a value that can hold a secret: an address with a password or a query, a token, a proxy.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..messages.shorten import shorten
from .errors import ClientError

__all__ = [
    "address_of",
    "check_host",
    "check_number",
    "check_text",
    "check_whole_number",
    "has_half_character",
    "split_address",
]

REMEDY = "write it like 'http://127.0.0.1:8000'"
LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")  # RFC 1035, section 2.3.4; underscores are in use
LONGEST_HOST = 253
SMALLEST, LARGEST = 1e-6, 1e12  # between which a rate and its inverse are ordinary numbers
SHOWN = 60  # characters of a value that an error repeats


def has_half_character(text: str) -> bool:
    """Return whether a character was cut in two, such as an emoji that JavaScript has sliced; UTF-8 cannot carry it."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def check_text(name: str, value: Any) -> None:
    """Raise ClientError unless the value is text that can be sent."""
    if not isinstance(value, str):
        raise ClientError(f"{name} must be text, got {type(value).__name__}")
    if has_half_character(value):
        raise ClientError(
            f"{name} has half a character, {shorten(repr(value), SHOWN)}; cut text between two characters"
        )


def check_number(name: str, value: Any, *, zero: bool = False) -> None:
    """Raise ClientError unless the value is an ordinary number over 0, or 0 where `zero` is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClientError(f"{name} must be a number, got {shorten(repr(value), SHOWN)}")
    if not (SMALLEST <= value <= LARGEST or (zero and value == 0)):  # not a number compares as false
        least = "0, or a number" if zero else "a number"
        raise ClientError(f"{name} must be {least} from {SMALLEST:g} to {LARGEST:g}, got {_written(value)}")


def check_whole_number(name: str, value: Any) -> None:
    """Raise ClientError unless the value is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ClientError(f"{name} must be a whole number, got {shorten(repr(value), SHOWN)}")
    if not 1 <= value <= sys.maxsize:
        raise ClientError(f"{name} must be a whole number from 1 to {sys.maxsize}, got {_written(value)}")


def _written(value: float) -> str:
    """Return the number as text; Python refuses to write the longest ones."""
    try:
        return shorten(repr(value), SHOWN)
    except ValueError:
        return "more"


def check_host(name: str, host: str) -> None:
    """Raise ClientError if no name server and no system takes this host."""
    try:
        if ":" in host:
            ipaddress.ip_address(host)
        elif host.rpartition(".")[2].isdigit():
            socket.inet_aton(host)
        elif len(host) > LONGEST_HOST or not all(map(LABEL.fullmatch, host.removesuffix(".").split("."))):
            raise ValueError
    except (ValueError, OSError):
        raise ClientError(
            f"{name} has the host {shorten(host, LONGEST_HOST)!r}, which is neither an IP address nor a name "
            "of a host, whose labels have 1 to 63 letters, digits and hyphens"
        ) from None


def address_of(url: str) -> str:
    """Return the address of a server, with a slash at its end.

    Raises:
        ClientError: it is not the address of a server.
    """
    if not isinstance(url, str):
        raise ClientError(f"the address must be text, got {type(url).__name__}; {REMEDY}")
    if any(letter.isspace() or not letter.isprintable() or not letter.isascii() for letter in url):
        raise ClientError(f"the address has a space or a character that is not ASCII; {REMEDY}")
    try:
        parts = _parts_of(url)
        if "@" not in parts.netloc:  # elsewhere it is part of a path, as in those of JupyterHub
            return parts.geturl().rstrip("/") + "/"
    except ClientError:
        if "@" not in url:
            raise
    raise ClientError("the address has a user or a password; pass token= or name= instead")


def _parts_of(url: str) -> SplitResult:
    parts = split_address("the address", url, schemes=("http", "https"), remedy=REMEDY)
    if parts.query or parts.fragment:
        raise ClientError(f"the address has a query or a fragment; {REMEDY}")
    check_host("the address", parts.hostname or "")
    return parts


def split_address(name: str, url: str, *, schemes: Sequence[str], remedy: str) -> SplitResult:
    """Return the parts of an address that has one of these schemes, a host, and a port that exists if it has any.

    Raises:
        ClientError: if it has not; the message names it by `name` and never repeats it, for it can hold a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ClientError(f"{name} cannot be read; {remedy}") from None
    if parts.scheme not in schemes or not host:
        known = " or ".join(f"{scheme}://" for scheme in schemes)
        seen = f" but with {parts.scheme!r}" if "://" in url and parts.scheme not in schemes else ""
        raise ClientError(f"{name} does not begin with {known} and a host{seen}; {remedy}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ClientError(f"the port of {name} is not a number from 1 to 65535; {remedy}")
    return parts
