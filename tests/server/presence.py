"""Stand-ins for the pure logic of presence: a clock that the test moves, and a client that checks what it hears."""

from __future__ import annotations

import json
from typing import Any

from server.broadcasting import Batch, Prepared

__all__ = ["Clock", "ClockTimer", "Viewer"]


class Clock:
    """Timers that run when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[ClockTimer] = []

    def schedule(self, delay: float, call: Any) -> ClockTimer:
        """Like `loop.call_later`."""
        timer = ClockTimer(self.now + delay, call)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what becomes due, in order."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if not timer.cancelled and timer.at <= end]:
            timer = min(due, key=lambda one: one.at)
            self._timers.remove(timer)
            self.now = timer.at
            timer.call()
        self.now = end

    @property
    def pending(self) -> int:
        """How many timers have not been called off and have not run."""
        return sum(not timer.cancelled for timer in self._timers)


class ClockTimer:
    """One entry of a `Clock`."""

    def __init__(self, at: float, call: Any) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """Call it off."""
        self.cancelled = True


class Viewer:
    """A member that puts together from its messages who is present, as a client does, and checks each."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.heard: list[dict[str, Any]] = []
        self.present: set[str] | None = None
        self.count = 0

    async def drained(self) -> None:
        """Nothing ever waits."""

    def send_many_nowait(self, batch: Batch) -> None:
        """Read presence messages."""
        for message in batch.messages:
            self.send_nowait(message)

    def send_nowait(self, message: Prepared) -> None:
        """Read one presence message; a joined that is known or a left that is not is a defect."""
        news = json.loads(message.text)
        self.heard.append(news)
        self.count = news["count"]
        joined, left = news.get("joined", []), news.get("left", [])
        if "users" in news:
            self.present = set(news["users"])
        elif not joined and not left:
            self.present = None
        else:
            assert self.present is not None
            assert not self.present & set(joined), "joined twice"
            assert set(left) <= self.present, "left without having been there"
            self.present = (self.present - set(left)) | set(joined)
