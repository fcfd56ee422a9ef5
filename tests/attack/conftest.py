"""One server under attack for all tests of a process that do not need limits of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .target import Target


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """The server with its own limits, and the demo login."""
    with Target(demo_login=True, answer_grace_seconds=0.5) as target:
        yield target


@pytest.fixture(scope="session")
def patient() -> Iterator[Target]:
    """A server that takes any number of messages, so that what they say is what is tested, and one origin more."""
    limits: dict[str, Any] = {
        "messages_per_second": 1e6,
        "message_burst": 1_000_000,
        "joins_per_second": 1e6,
        "message_bytes": 1 << 18,
    }
    with Target(**limits, origins=["http://allowed.example"]) as target:
        yield target
