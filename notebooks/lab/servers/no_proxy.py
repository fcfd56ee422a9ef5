"""Use no proxy between a lesson and its own machine: importing `lab` does this, for the process and its children.

Universities and companies set HTTP_PROXY, ALL_PROXY and the like. The libraries of the lessons obey them, and a proxy
refuses, or can't reach, a server on 127.0.0.1 of another machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.request import getproxies, proxy_bypass

__all__ = ["LOCAL", "bypass_proxy", "caught", "httpx_refuses"]

LOCAL = ("127.0.0.1", "localhost", "::1")


def bypass_proxy() -> None:
    """Connect to this machine without the proxy that the system or the environment names.

    Add its addresses to NO_PROXY, in both spellings, and leave everything else as it is set. If httpx can't read the
    settings, it refuses every connection, even those that need no proxy; then NO_PROXY becomes ``*``, and this process
    and its children use no proxy at all. Without any setting, nothing is changed.
    """
    if not getproxies():
        return
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for part in before.split(",") if (host := part.strip())]
    _set_no_proxy("*" if "*" in hosts else ",".join(dict.fromkeys((*hosts, *LOCAL))))  # urllib reads it only alone
    if httpx_refuses():
        _set_no_proxy("*")


def caught(hosts: Iterable[str]) -> list[str]:
    """Return those hosts to which a connection would go through a proxy."""
    return [host for host in hosts if getproxies() and not proxy_bypass(host)]


def httpx_refuses() -> str | None:
    """Return why httpx can't work with the proxy settings as they are now; None where it can.

    A client of httpx prepares every proxy when it is made. So a kind of proxy that it doesn't know, or an address in
    NO_PROXY that it can't read, ends every request, wherever it goes.
    """
    import httpx  # noqa: PLC0415  # a tenth of a second, for those who have a proxy

    try:
        httpx.Client(verify=False).close()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _set_no_proxy(hosts: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = hosts
