"""The server that the course ends with: a client says it, it is validated, stored by the broker and fanned out."""

from __future__ import annotations

from benchmarks.servers.child import serve_asgi
from server.app import create_app
from server.settings import Settings

# what is raised has nothing to do with the fan-out: how much one user may say, and how many may come
settings = Settings(demo_login=True, messages_per_second=1, message_burst=10_000_000, connections=100_000)

if __name__ == "__main__":
    serve_asgi(create_app(settings), **settings.uvicorn_options)
