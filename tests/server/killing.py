"""What is done to servers and cables while it is counted that nothing is lost, at moments that a seed decides."""

from __future__ import annotations

import asyncio
import random

from lab.servers.valkey import Engine
from lab.tap.tap import Tap

from server import ServerProcess, serve_process
from server.settings import Settings
from tests.server.counting import Pushers, Tally, counted, devices_of

__all__ = ["count_with_cuts", "count_with_engine_kills", "count_with_kills", "count_with_rolling_restarts"]

LONGEST = 0.3  # seconds that a server, or a cable, is left alone at most after it was seen to work
APP = "tests.server.child:app"


async def count_with_kills(kills: int, *, seed: int, users: int = 2) -> Tally:
    """Kill a server with ``kill -9`` so many times, and restart it on its port."""
    with await _serve() as server:
        return await _count_killing(server, server, kills, seed, users)


async def count_with_rolling_restarts(rounds: int, *, seed: int, users: int = 2) -> Tally:
    """Restart two servers over one log one after the other, each with SIGTERM: it drains and says 1012."""
    dice = random.Random(seed)
    one, other = await asyncio.gather(_serve(), _serve())
    with one, other:
        devices = devices_of(users, one.http())
        for device in devices[::2]:
            device.url = other.http()

        async def trouble(pushers: Pushers) -> None:
            for _ in range(rounds):
                for server in (one, other):
                    await _random_moment(pushers, dice)
                    await asyncio.to_thread(server.stop)
                    await asyncio.to_thread(server.restart)
            await pushers.until_more()

        return await counted(devices, trouble, [one.http(), other.http()])


async def count_with_engine_kills(engine: Engine, kills: int, *, seed: int, users: int = 2) -> Tally:
    """Kill the engine under a server with ``kill -9`` so many times; it keeps every write that it has said yes to."""
    with await _serve() as server:
        return await _count_killing(server, engine, kills, seed, users)


async def count_with_cuts(cuts: int, *, seed: int, users: int = 2) -> Tally:
    """Cut the cable between a server and all devices so many times in mid-stream, with and without an end."""
    dice = random.Random(seed)
    with await _serve() as server, Tap(server.port) as tap:

        async def trouble(pushers: Pushers) -> None:
            for _ in range(cuts):
                await _random_moment(pushers, dice)
                await _harm(tap, pushers, dice)
            await pushers.until_more()

        return await counted(devices_of(users, tap.http("/")), trouble, [server.http()])


async def _count_killing(
    server: ServerProcess, victim: ServerProcess | Engine, kills: int, seed: int, users: int
) -> Tally:
    dice = random.Random(seed)

    async def trouble(pushers: Pushers) -> None:
        for _ in range(kills):
            await _random_moment(pushers, dice)
            await asyncio.to_thread(victim.kill)
            await asyncio.to_thread(victim.restart)
        await pushers.until_more()

    return await counted(devices_of(users, server.http()), trouble, [server.http()])


async def _harm(tap: Tap, pushers: Pushers, dice: random.Random) -> None:
    tap.cut(dice.choice(("client", "server", None)))
    await _random_moment(pushers, dice)
    # half of the cuts are noticed; the other half only make what is sent wait
    if dice.random() < 0.5:
        tap.reset()
    tap.mend()


async def _random_moment(pushers: Pushers, dice: random.Random) -> None:
    await pushers.until_more()
    await asyncio.sleep(dice.uniform(0, LONGEST))  # not to wait for anything: the moment is what is random


async def _serve() -> ServerProcess:
    return await asyncio.to_thread(serve_process, APP, **Settings().uvicorn_options)
