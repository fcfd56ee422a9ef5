"""A shop and a listener count correctly: what was accepted, what was pushed again, what was received."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from lab.clients.shop import Shop, listen_to_inbox, shop_and_devices
from lab.tap.tap import Tap
from pydantic import SecretStr

from server import serve
from server.access.tokens import issue_session
from server.app import create_app
from server.client import RefusedError
from server.settings import Settings
from server.wire.protocol import FanoutProtocol

pytestmark = pytest.mark.anyio

KEY = "a key of this test, and of no other thing"
SETTINGS = Settings(key=SecretStr(KEY), pushes_per_second=10_000)


def bearer(user: str, scope: str = "") -> dict[str, str]:
    """Who pushes."""
    return {"Authorization": f"Bearer {issue_session(user, key=KEY, seconds=60, scope=scope)}"}


async def test_a_listener_receives_what_the_shop_pushed() -> None:
    """Every accepted order is received once, in order, by a listener that came before."""
    with serve(create_app(SETTINGS), ws=FanoutProtocol) as server:
        token = issue_session("ana", key=KEY, seconds=60)
        async with listen_to_inbox(server.http("/"), token, "phone") as phone:
            async with Shop([server.http("/")], bearer("shop", "push")) as shop:
                await shop.wait_for_orders(5)
            await phone.until(lambda phone: len(phone.received) >= len(shop.accepted))
            assert phone.connected
            assert phone.last_disconnect is None
    assert shop.accepted[:2] == ["order 1", "order 2"]
    assert len(shop.accepted) >= 5
    assert phone.received == shop.accepted


async def test_both_devices_have_everything_at_the_end_of_the_block() -> None:
    """The phone's cable is cut in between; after the block each device has each accepted order once."""
    with serve(create_app(SETTINGS), ws=FanoutProtocol) as server, Tap(server) as tap:
        async with shop_and_devices(KEY, [server], tap, server) as (shop, phone, laptop):
            await shop.wait_for_orders(2)
            tap.cut()
            await shop.wait_for_orders(2)
            tap.reset()
            tap.mend()
    assert len(shop.accepted) >= 4
    assert phone.received == laptop.received == shop.accepted


async def test_a_shop_pushes_again_with_the_same_key() -> None:
    """An order that was not accepted comes again, the same; servers are asked in turn."""
    app, keys = FastAPI(), list[str]()

    @app.post("/users/ana/notifications", status_code=202)
    async def push(order: dict[str, str]) -> None:
        keys.append(order["key"])
        if len(keys) <= 2:
            raise HTTPException(503)

    with serve(app) as server:
        async with Shop(["http://127.0.0.1:9/", server.http("/")], {}) as shop:
            await shop.wait_for_orders(1)
    assert len(set(keys[:3])) == 1
    assert shop.accepted[0] == "order 1"
    assert shop.retries >= 2


async def test_two_shops_push_different_orders() -> None:
    """A cell that is run again is another shop: it pushes other orders than the last one."""
    with serve(create_app(SETTINGS), ws=FanoutProtocol) as server:
        token = issue_session("ana", key=KEY, seconds=60)
        for _ in range(2):
            async with listen_to_inbox(server.http("/"), token, "phone") as phone:
                async with Shop([server.http("/")], bearer("shop", "push")) as shop:
                    await shop.wait_for_orders(2)
                await phone.until(lambda phone: len(phone.received) >= len(shop.accepted))
            assert phone.received == shop.accepted


async def test_a_shop_that_may_not_push_says_so() -> None:
    """A refusal is no trouble that passes: it ends the block."""
    with serve(create_app(SETTINGS)) as server, pytest.raises(httpx.HTTPStatusError, match="403"):
        async with Shop([server.http("/")], bearer("ben")) as shop:
            await shop.wait_for_orders(1)


async def test_a_listener_that_is_refused_says_so() -> None:
    """A token of another key opens no inbox."""
    with serve(create_app(SETTINGS)) as server, pytest.raises(RefusedError):
        async with listen_to_inbox(server.http("/"), issue_session("ana", key=KEY[::-1], seconds=60), "phone"):
            pass
