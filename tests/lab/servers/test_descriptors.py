"""A crowd fits into the process's file descriptors, or the error says what prevents it."""

from __future__ import annotations

import psutil
import pytest
from lab.servers.descriptors import allow_descriptors

resource = pytest.importorskip("resource", reason="Windows has no limit of file descriptors")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of a process that has 100 descriptors left, of which it may raise 200; newest last."""
    used = psutil.Process().num_fds()
    history = [(used + 100, used + 200)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: history[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: history.append(new))
    return history


def test_descriptors_are_left_alone_when_they_suffice(limits: list[tuple[int, int]]) -> None:
    """A small crowd changes nothing."""
    allow_descriptors(20)
    assert len(limits) == 1


def test_descriptors_are_raised_up_to_the_hard_limit(limits: list[tuple[int, int]]) -> None:
    """The usual soft limit of 1,024 is raised where the hard limit is higher."""
    allow_descriptors(120)
    soft, hard = limits[-1]
    assert limits[0][0] < soft <= hard == limits[0][1]


def test_descriptors_that_do_not_fit_are_refused(limits: list[tuple[int, int]]) -> None:
    """Clients would hang in the server's backlog; a sentence with the limit comes instead."""
    with pytest.raises(RuntimeError, match=rf"the hard limit is {limits[0][1]}; take fewer clients"):
        allow_descriptors(10_000)
