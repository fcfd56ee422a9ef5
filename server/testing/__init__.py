"""Test a WebSocket endpoint over a real wire: fixtures for pytest.

One line in your `conftest.py` brings them:

    pytest_plugins = ["server.testing"]

- `serve` starts a real server: ``server = serve(app)``.
- `websocket` connects a client whose waits have a deadline: ``ana = websocket(server, "/ws")``.
- `tap` puts a cable in between that you can cut, stall and slow down: ``cable = tap(server)``.

Everything that a test has started is stopped when it ends. `eventually`, imported from here, waits for what no
client can see. pytest is needed only for the fixtures, and imported only when pytest loads them.

PYTEST_DONT_REWRITE: there is no assertion in here.
"""

from __future__ import annotations

from .eventually import eventually

__all__ = ["eventually", "pytest_plugins"]

pytest_plugins = ["server.testing.fixtures"]
"""The module with the fixtures, which pytest loads together with this one."""
