"""Raise the limit of file descriptors: each connection needs one at each end, and a notebook holds both ends."""

from __future__ import annotations

import psutil

try:
    import resource
except ImportError:  # Windows has no limit of this kind
    resource = None  # type: ignore[assignment]

__all__ = ["allow_descriptors"]

SPARE = 64  # for what else the process opens meanwhile


def allow_descriptors(more: int) -> None:
    """Let this process open `more` file descriptors, if the system permits: ``allow_descriptors(2 * 1_000)``.

    It raises the soft limit where that is too low. On Windows it does nothing.

    Raises:
        RuntimeError: the hard limit, which only an administrator can raise, is too low.
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
