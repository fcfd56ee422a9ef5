"""What the lessons import from `lab`."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import lab
import pytest


def test_public_names() -> None:
    """The instruments are these, and each is there under its name."""
    assert lab.__all__ == [
        "BrowserClient",
        "Crowd",
        "Engine",
        "ImportGraph",
        "Journal",
        "PageFrame",
        "Tap",
        "TemporaryDirectory",
        "accident",
        "allow_descriptors",
        "bens_day",
        "buffering_proxy",
        "census",
        "chat_app",
        "compare_four_ways",
        "compare_transports",
        "count_ghosts",
        "count_received",
        "draw_bars",
        "end_of",
        "expect",
        "forget_progress",
        "frame_picture",
        "hello_across",
        "host",
        "in_thread",
        "join",
        "leftovers",
        "measure_cost",
        "measure_endings",
        "measure_stalled",
        "measure_throughput",
        "message_or_code",
        "outage",
        "plot_transports",
        "progress",
        "room_app",
        "run_on_server",
        "run_pytest",
        "sequence",
        "serve_backend",
        "serve_two_processes",
        "shop_and_devices",
        "side_by_side",
        "stepper",
        "through_tunnel",
        "tunnel",
        "unpatch_asyncio",
    ]
    assert all(callable(getattr(lab, name)) for name in lab.__all__)
    assert dir(lab) == lab.__all__


@pytest.mark.parametrize("name", lab.__all__)
def test_help_shows_an_example(name: str) -> None:
    """``?Tap`` in a cell is enough to use it: what it does in the first line, and one call as an example."""
    text = inspect.getdoc(getattr(lab, name)) or ""
    assert re.search(rf"`[^`]*\b{name}\(", text), text


def test_unknown_name() -> None:
    """A name that is mistyped is named."""
    with pytest.raises(ImportError, match="cannot import name 'no_such_instrument' from 'lab'"):
        from lab import no_such_instrument  # type: ignore[attr-defined]  # noqa: F401


def loaded(script: str) -> set[str]:
    """Return the names of all modules that are loaded after a script, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return set(done.stdout.split())


def test_import_is_light() -> None:
    """A lesson loads what it uses: no plots, no widgets, no engine for a tap."""
    names = loaded("from lab import Tap")
    assert "lab.tap.tap" in names
    assert not names & {"anywidget", "httpx", "matplotlib", "pytest", "redis", "lab.servers.valkey"}


def test_leftovers_are_counted_from_the_beginning() -> None:
    """What a lesson starts before its last cell asks for `leftovers` is counted."""
    assert "lab.observe.leftovers" in loaded("import lab")
