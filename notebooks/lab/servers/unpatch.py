"""Take back what ``nest_asyncio2.apply()`` has done to asyncio."""

from __future__ import annotations

import asyncio

__all__ = ["unpatch_asyncio"]


def unpatch_asyncio() -> None:
    """Make `asyncio.run` what it was before ``nest_asyncio2.apply()``: ``unpatch_asyncio()``.

    nest_asyncio2 has no such function. Afterwards ``asyncio.run`` in a cell raises RuntimeError again. Without an
    ``apply()`` before, nothing is changed.
    """
    asyncio.run = asyncio.runners.run
    if hasattr(asyncio, "_nest_patched"):
        del asyncio._nest_patched
