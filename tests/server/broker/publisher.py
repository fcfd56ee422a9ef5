"""A process to be killed: it publishes to a file without end, and prints each offset that is acknowledged."""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from server.broker import Limits
from server.broker.sqlite.broker import LocalBroker

PUBLISHERS = 4


async def _publish(broker: LocalBroker, name: str) -> None:
    for number in count():
        payload = f"{name} {number}"
        position = await broker.publish("t", payload, key=payload)
        print(position.epoch, position.offset, payload, sep="\t", flush=True)


async def _main(path: str, life: str) -> None:
    async with LocalBroker(path, limits=Limits(records=1_000_000)) as broker, asyncio.TaskGroup() as group:
        for number in range(PUBLISHERS):
            group.create_task(_publish(broker, f"{life}-{number}"))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
