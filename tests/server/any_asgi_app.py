"""The app of test_any_asgi_server: what one client says goes to all, through the portable outbox."""

from __future__ import annotations

from benchmarks.servers.ours import app
from server.wire import closing

__all__ = ["app"]

# the peer of the test begins to read only after everything was sent, which may take longer than a second
closing.CLOSE_TIMEOUT = 30.0
