"""File descriptors: each connection takes one, and most systems start a process with room for 1,024."""

from __future__ import annotations

import logging

try:
    import resource
except ImportError:  # Windows has no limit of this kind
    resource = None  # type: ignore[assignment]

__all__ = ["raise_descriptors"]

SPARE = 3_200  # for those without a request yet (`doorman`), for those that uvicorn accepts at once, and for files


def raise_descriptors(connections: int) -> int:
    """Let this process and its children hold so many `connections`; how many they can hold now.

    The soft limit is raised as far as the hard one, which only the system's owner can raise; what is still missing is
    logged. Beyond it nobody is accepted until somebody leaves. It should not come to that: asyncio then tries 2,048
    times a second and logs each time, which takes half a megabyte and everybody's time.
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
