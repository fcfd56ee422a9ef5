"""The instruments of the lessons: each shows something that you can't see otherwise.

A notebook imports from here, and from the checks of its lesson: ``from lab import Tap, sequence``. Each
instrument is loaded when you ask for it, so that a lesson doesn't load what it doesn't use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .observe.leftovers import leftovers  # at once: what is there before the lesson is not left by it
from .servers.no_proxy import bypass_proxy

if TYPE_CHECKING:
    from .checks.progress import forget_progress, progress
    from .clients.browser import BrowserClient
    from .clients.classroom import join
    from .clients.crowd import Crowd
    from .clients.four_ways import compare_four_ways
    from .clients.outage import outage
    from .clients.page_frame import PageFrame
    from .clients.shop import shop_and_devices
    from .clients.stories import accident, bens_day
    from .clients.two_rooms import hello_across
    from .drawing.frame import frame_picture
    from .drawing.imports import ImportGraph
    from .drawing.sequence import sequence, side_by_side
    from .drawing.stepper import stepper
    from .observe.census import census
    from .observe.comparison import draw_bars, measure_cost, measure_stalled, measure_throughput
    from .observe.endings import end_of, message_or_code
    from .observe.expect import expect
    from .observe.ghosts import count_ghosts
    from .observe.journal import Journal
    from .observe.measured_endings import measure_endings
    from .observe.server_loop import run_on_server
    from .observe.slow_client import count_received, through_tunnel, tunnel
    from .observe.transports import compare_transports, plot_transports
    from .servers.backend import serve_backend
    from .servers.buffering_proxy import buffering_proxy
    from .servers.descriptors import allow_descriptors
    from .servers.host import host
    from .servers.room_app import room_app
    from .servers.temporary import TemporaryDirectory
    from .servers.threads import in_thread
    from .servers.two_processes import serve_two_processes
    from .servers.unpatch import unpatch_asyncio
    from .servers.valkey import Engine
    from .tap.tap import Tap
    from .testing.chat_app import chat_app
    from .testing.run_pytest import run_pytest

__all__ = [
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

_MODULES = {
    "BrowserClient": "clients.browser",
    "Crowd": "clients.crowd",
    "Engine": "servers.valkey",
    "ImportGraph": "drawing.imports",
    "Journal": "observe.journal",
    "PageFrame": "clients.page_frame",
    "Tap": "tap.tap",
    "TemporaryDirectory": "servers.temporary",
    "accident": "clients.stories",
    "allow_descriptors": "servers.descriptors",
    "bens_day": "clients.stories",
    "buffering_proxy": "servers.buffering_proxy",
    "census": "observe.census",
    "chat_app": "testing.chat_app",
    "compare_four_ways": "clients.four_ways",
    "compare_transports": "observe.transports",
    "count_ghosts": "observe.ghosts",
    "count_received": "observe.slow_client",
    "draw_bars": "observe.comparison",
    "end_of": "observe.endings",
    "expect": "observe.expect",
    "forget_progress": "checks.progress",
    "frame_picture": "drawing.frame",
    "hello_across": "clients.two_rooms",
    "host": "servers.host",
    "in_thread": "servers.threads",
    "join": "clients.classroom",
    "measure_cost": "observe.comparison",
    "measure_endings": "observe.measured_endings",
    "measure_stalled": "observe.comparison",
    "measure_throughput": "observe.comparison",
    "message_or_code": "observe.endings",
    "outage": "clients.outage",
    "plot_transports": "observe.transports",
    "progress": "checks.progress",
    "room_app": "servers.room_app",
    "run_on_server": "observe.server_loop",
    "run_pytest": "testing.run_pytest",
    "sequence": "drawing.sequence",
    "serve_backend": "servers.backend",
    "serve_two_processes": "servers.two_processes",
    "shop_and_devices": "clients.shop",
    "side_by_side": "drawing.sequence",
    "stepper": "drawing.stepper",
    "through_tunnel": "observe.slow_client",
    "tunnel": "observe.slow_client",
    "unpatch_asyncio": "servers.unpatch",
}
"""The module in which each public name is defined."""


if not TYPE_CHECKING:  # a type checker sees the imports above, and says which names there are not

    def __getattr__(name: str) -> Any:
        """Load an instrument when it is asked for."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; dir({__name__}) names what it has")
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__


bypass_proxy()  # in a lesson, no proxy stands between this process or its children and this machine
