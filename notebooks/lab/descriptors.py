"""File descriptors: each connection takes one at either end, and a notebook holds both ends."""

from __future__ import annotations

import psutil

try:
    import resource
except ImportError:  # Windows has no limit of this kind
    resource = None  # type: ignore[assignment]

__all__ = ["allow_descriptors"]

SPARE = 64  # for what else the process opens meanwhile


def allow_descriptors(more: int) -> None:
    """Raise this process's soft limit of file descriptors, if need be, so that `more` fit in.

    Raises:
        RuntimeError: the hard limit, which only the system's owner can raise, is too low.
    """
    if resource is None:
        return
    needed = psutil.Process().num_fds() + more + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise RuntimeError(
            f"{needed} file descriptors are needed and the hard limit is {hard}; take fewer clients, "
            "or raise the limit where JupyterLab is started"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
