"""Why deeper/server-in-a-thread takes nest_asyncio2: what becomes of cells that arrive while a nested loop runs."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty

import pytest
from jupyter_client.manager import start_new_kernel

NESTED = """
import {module} as nest, asyncio
async def main():
    print("nested", flush=True)
    await asyncio.sleep(0.5)
nest.apply()
asyncio.run(main())
"""


@pytest.mark.parametrize(("module", "patience", "answered"), [("nest_asyncio2", 30, 3), ("nest_asyncio", 3, 1)])
def test_cells_that_arrive_during_a_nested_loop(module: str, patience: float, answered: int) -> None:
    """Run All sends the next cells meanwhile: nest_asyncio2 keeps them, nest_asyncio loses them for ever."""
    pytest.importorskip(module)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        sent = {client.execute(NESTED.format(module=module))}
        while client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
            pass
        sent |= {client.execute("second = 2"), client.execute("third = 3")}
        replies: set[str] = set()
        with suppress(Empty):
            while not sent <= replies:
                replies.add(client.get_shell_msg(timeout=patience)["parent_header"]["msg_id"])
        assert len(sent & replies) == answered
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
