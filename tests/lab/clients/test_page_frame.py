"""A frame with a page of the kernel's server."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from lab.clients.page_frame import PageFrame

from server import serve


def test_repr_is_the_same_for_every_port() -> None:
    """What a notebook stores of it does not change from run to run."""
    with serve(FastAPI()) as one, serve(FastAPI()) as other:
        frames = PageFrame(one), PageFrame(other)
        assert len({frame.get_state()["_port"] for frame in frames}) == 2
    assert {repr(frame) for frame in frames} == {
        "PageFrame('/') — run this cell in JupyterLab to see the page in a frame"
    }


def test_a_path_begins_with_a_slash() -> None:
    """The error says what to write."""
    with serve(FastAPI()) as server, pytest.raises(ValueError, match="write '/chat'"):
        PageFrame(server, "chat")
