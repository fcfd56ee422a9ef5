"""Rooms as lesson 04 builds them, over a channel and over a stream of the engine."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import WebSocket
from redis.asyncio import Redis

__all__ = ["ChannelRoom", "StreamRoom"]


class ChannelRoom:
    """A room that publishes what is said on a channel, which keeps nothing."""

    def __init__(self, url: str, channel: str) -> None:
        self.engine: Any = Redis.from_url(url, decode_responses=True)
        self.channel = channel
        self.here: list[WebSocket] = []

    async def talk(self, websocket: WebSocket) -> None:
        """Publish each text of a client."""
        await websocket.accept()
        self.here.append(websocket)
        async for text in websocket.iter_text():
            await self.say(text)

    async def say(self, text: str) -> int:
        """Publish a text, and return how many subscribers there were."""
        return int(await self.engine.publish(self.channel, text))

    async def follow(self, ready: asyncio.Event) -> None:
        """Send what is published to everybody here."""
        async with self.engine.pubsub() as news:
            await news.subscribe(self.channel)
            async for event in news.listen():
                ready.set()
                if event["type"] == "message":
                    await self.to_all(event["data"])

    async def to_all(self, text: str) -> None:
        """Send a text to everybody here."""
        for websocket in self.here:
            await websocket.send_text(text)


class StreamRoom(ChannelRoom):
    """A room that appends what is said to a stream, which keeps it."""

    last = "0-0"

    async def say(self, text: str) -> int:
        """Append a text, and return its offset."""
        number = await self.engine.xadd(self.channel, {"text": text}, id="0-*")
        return int(number.removeprefix("0-"))

    async def follow(self, ready: asyncio.Event) -> None:
        """Send each record to everybody here."""
        ready.set()
        while True:
            answer = await self.engine.xread({self.channel: self.last}, block=1_000)
            for _, records in answer:
                for self.last, record in records:
                    await self.to_all(record["text"])
