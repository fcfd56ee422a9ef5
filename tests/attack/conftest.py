"""One server under attack for all tests of a process that do not need limits of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .target import Target


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """The server with its own limits, and the demo login."""
    with Target(demo_login=True) as target:
        yield target


@pytest.fixture(scope="module")
def patient() -> Iterator[Target]:
    """A server that takes any number of messages, so that what they say is what is tested."""
    with Target(messages_per_second=1e6, message_burst=1_000_000, message_bytes=1 << 18) as target:
        yield target


@pytest.fixture(scope="module")
def strict() -> Iterator[Target]:
    """A server that lets pages of one other origin in."""
    with Target(origins=["http://allowed.example"], messages_per_second=1e6, message_burst=1_000_000) as target:
        yield target
