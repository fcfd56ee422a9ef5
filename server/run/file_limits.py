"""The limit on file descriptors: each connection needs one, and most systems allow a process 1,024 by default."""

from __future__ import annotations

import logging

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

__all__ = ["raise_file_limit"]

# for connections without a request yet (`wire.http_protocol`), for those that uvicorn accepts at once, and for files
SPARE = 3_200


def raise_file_limit(connections: int) -> int:
    """Let this process and its children hold this many `connections`; return how many they can hold now.

    Raise the soft limit as far as the hard limit, which only an administrator can raise, and log what is still
    missing. A process without free descriptors accepts no one until a connection ends. Meanwhile asyncio tries 2,048
    times a second and logs each failure, which slows down every connection, so avoid that state.
    """
    if resource is None:
        return connections
    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        logging.getLogger("uvicorn.error").warning(
            "%d connections need %d file descriptors, and the system allows %d; raise its limit "
            "(ulimit -n, or LimitNOFILE= in a systemd unit), or allow fewer connections",
            connections,
            needed,
            allowed,
        )
    return max(0, allowed - SPARE)
