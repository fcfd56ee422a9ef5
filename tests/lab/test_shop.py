"""A shop and a listener count honestly: what was accepted, what was pushed again, what was heard."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from lab.shop import Shop, listening
from pydantic import SecretStr

from server import serve
from server.app import create_app
from server.client import RefusedError
from server.frames import FanoutProtocol
from server.settings import Settings
from server.tickets import issue_session

KEY = "a key of this test, and of no other thing"
SETTINGS = Settings(key=SecretStr(KEY), pushes_per_second=10_000)


def bearer(user: str, scope: str = "") -> dict[str, str]:
    """Who pushes."""
    return {"Authorization": f"Bearer {issue_session(user, key=KEY, seconds=60, scope=scope)}"}


def test_a_listener_hears_what_the_shop_pushed() -> None:
    """Every accepted order is heard once, in order, by a listener that came before."""

    async def main() -> tuple[list[str], list[str]]:
        with serve(create_app(SETTINGS), ws=FanoutProtocol) as server:
            token = issue_session("ana", key=KEY, seconds=60)
            async with listening(server.http("/"), token, "phone") as phone:
                async with Shop([server.http("/")], bearer("shop", "push")) as shop:
                    await shop.more(5)
                await phone.until(lambda phone: len(phone.heard) >= len(shop.accepted))
                assert phone.connected
                assert phone.loss is None
                return shop.accepted, phone.heard

    accepted, heard = asyncio.run(main())
    assert accepted[:2] == ["order 1", "order 2"]
    assert len(accepted) >= 5
    assert heard == accepted


def test_a_shop_pushes_again_with_the_same_key() -> None:
    """An order that was not accepted comes again, the same; servers are asked in turn."""
    app, keys = FastAPI(), list[str]()

    @app.post("/users/ana/notifications", status_code=202)
    async def push(order: dict[str, str]) -> None:
        keys.append(order["key"])
        if len(keys) <= 2:
            raise HTTPException(503)

    async def main() -> Shop:
        with serve(app) as server:
            async with Shop(["http://127.0.0.1:9/", server.http("/")], {}) as shop:
                await shop.more(1)
            return shop

    shop = asyncio.run(main())
    assert len(set(keys[:3])) == 1
    assert shop.accepted[0] == "order 1"
    assert shop.again >= 2


def test_two_shops_push_different_orders() -> None:
    """A cell that is run again is another shop: what the last one pushed does not stand in its way."""

    async def main() -> tuple[list[str], list[str]]:
        with serve(create_app(SETTINGS), ws=FanoutProtocol) as server:
            token = issue_session("ana", key=KEY, seconds=60)
            for _ in range(2):
                async with listening(server.http("/"), token, "phone") as phone:
                    async with Shop([server.http("/")], bearer("shop", "push")) as shop:
                        await shop.more(2)
                    await phone.until(lambda phone: len(phone.heard) >= len(shop.accepted))
            return shop.accepted, phone.heard

    accepted, heard = asyncio.run(main())
    assert heard == accepted


def test_a_shop_that_may_not_push_says_so() -> None:
    """A refusal is no trouble that passes: it ends the block."""

    async def main() -> None:
        with serve(create_app(SETTINGS)) as server:
            async with Shop([server.http("/")], bearer("ben")) as shop:
                await shop.more(1)

    with pytest.raises(httpx.HTTPStatusError, match="403"):
        asyncio.run(main())


def test_a_listener_that_is_refused_says_so() -> None:
    """A token of another key opens no inbox."""

    async def main() -> None:
        with serve(create_app(SETTINGS)) as server:
            token = issue_session("ana", key=KEY[::-1], seconds=60)
            async with listening(server.http("/"), token, "phone"):
                pass

    with pytest.raises(RefusedError):
        asyncio.run(main())
