"""The server has descriptors for the connections that it is allowed, or says what is missing."""

from __future__ import annotations

import pytest

from server.run.file_limits import SPARE, raise_file_limit

resource = pytest.importorskip("resource", reason="Windows has no limit of file descriptors")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The usual limits of a process, with a hard one of 20,000; newest last."""
    history = [(1_024, 20_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: history[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: history.append(new))
    return history


def test_the_soft_limit_is_raised(limits: list[tuple[int, int]]) -> None:
    """By what is needed, so that ten thousand connections need no preparation."""
    assert raise_file_limit(10_000) == 10_000
    assert limits[-1] == (10_000 + SPARE, 20_000)


def test_a_limit_that_suffices_is_left_alone(limits: list[tuple[int, int]]) -> None:
    """It may have been set on purpose, and is never lowered."""
    limits.append((20_000, 20_000))
    assert raise_file_limit(100) == 100
    assert limits[-1] == (20_000, 20_000)


def test_what_the_system_does_not_allow_is_said(
    limits: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    """With the numbers and the remedies, and the server starts all the same."""
    assert raise_file_limit(50_000) == 20_000 - SPARE
    assert limits[-1] == (20_000, 20_000)
    for word in ("50000", "20000", "ulimit -n", "LimitNOFILE"):
        assert word in caplog.text
