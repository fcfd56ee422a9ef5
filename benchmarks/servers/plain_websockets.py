"""The websockets library's own server and its `broadcast`."""

from __future__ import annotations

import socket

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.servers.child import run

connections: set[ServerConnection] = set()


async def chat(connection: ServerConnection) -> None:
    """Send what comes to everybody."""
    connections.add(connection)
    try:
        async for message in connection:
            broadcast(connections, message)
    finally:
        connections.remove(connection)


async def main(listener: socket.socket) -> None:
    """Serve for ever."""
    async with serve(chat, sock=listener, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    run(main)
