"""The server that the course ends with: a client says it, it is validated, stored by the broker and fanned out.

`… FD KEY [BROKER]`; without a broker the log is in memory.
"""

from __future__ import annotations

import sys

from pydantic import SecretStr

from benchmarks.servers.child import serve_asgi
from server.app import create_app
from server.settings import Settings

# limits that have nothing to do with the fan-out: how much one user may send, and how many connect
settings = Settings(
    key=SecretStr(sys.argv[2]),
    broker=sys.argv[3] if len(sys.argv) > 3 else "memory:",
    messages_per_second=1,
    message_burst=10_000_000,
    message_bytes_per_day=1 << 40,
    connections=100_000,
)

if __name__ == "__main__":
    serve_asgi(create_app(settings), **settings.uvicorn_options | {"ws_ping_interval": None})
