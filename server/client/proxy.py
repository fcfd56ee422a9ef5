"""The proxy between a client and its server: which one it is, and whether it can be used.

No message repeats the address of a proxy, since it can hold a password.
"""

from __future__ import annotations

import base64
import importlib.util
from typing import Literal
from urllib.parse import unquote_to_bytes
from urllib.request import Request

from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import parse_uri

from .arguments import check_host, has_half_character, split_address
from .errors import ClientError

__all__ = ["ProxyOption", "proxy_for", "send_through"]

ProxyOption = str | Literal[True] | None
"""The address of a proxy, True for the one of the environment or the system, None for none."""

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
REMEDY = "write it like 'http://127.0.0.1:3128'"


def proxy_for(address: str, proxy: ProxyOption) -> str | None:
    """Return the address of the proxy on the way to a server, None for none.

    Raises:
        ClientError: the proxy cannot be used.
    """
    if proxy is None:
        return None
    if proxy is True:
        found = get_proxy(parse_uri(address.replace("http", "ws", 1)))
        if found is not None:
            _check("the proxy of the environment", found)
        return found
    if not isinstance(proxy, str):
        value = repr(proxy) if isinstance(proxy, bool) else type(proxy).__name__
        raise ClientError(f"proxy= must be an address, True or None, got {value}")
    _check("proxy=", proxy)
    return proxy


def send_through(proxy: str, request: Request) -> None:
    """Send a request through a proxy; urllib's `ProxyHandler` would not where NO_PROXY lists the host."""
    parsed = parse_proxy(proxy)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    request.set_proxy(f"{host}:{parsed.port}", parsed.scheme)
    if parsed.username is not None:
        user = base64.b64encode(f"{parsed.username}:{parsed.password}".encode()).decode()
        request.add_header("Proxy-Authorization", f"Basic {user}")


def _check(name: str, proxy: str) -> None:
    """Raise ClientError for everything that `websockets` would refuse at each connection, with the password."""
    if has_half_character(proxy):
        raise ClientError(f"{name} has half a character; {REMEDY}")
    if "://" not in proxy:
        raise ClientError(f"{name} has no scheme; {REMEDY}")
    parts = split_address(name, proxy, schemes=SCHEMES, remedy=REMEDY)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ClientError(f"{name} has a path, a query or a fragment; {REMEDY}")
    check_host(name, parts.hostname or "")
    if parts.username is not None and parts.password is None:
        raise ClientError(f"{name} has a user without a password; write it like 'http://user:password@127.0.0.1:3128'")
    try:
        unquote_to_bytes(parts.netloc).decode()
    except UnicodeDecodeError:
        raise ClientError(f"{name} has a user or a password that is not UTF-8") from None
    if parts.scheme.startswith("socks") and importlib.util.find_spec("python_socks") is None:
        raise ClientError(
            f"{name} speaks SOCKS, for which python-socks is missing; pip install 'python-socks[asyncio]'"
        )
