"""The fourteen endings of lesson 02, with the codes that both ends see."""

from __future__ import annotations

from lab import measure_endings


def test_the_ends_disagree_only_where_no_close_frame_came() -> None:
    """After a reset, and after a reason that is too long."""
    endings = measure_endings()
    assert len(endings) == 14
    assert [how for how, (client, server) in endings.items() if client != server] == [
        "the connection is reset",
        "the server gives a reason of 124 bytes",
    ]
    assert endings["the server stops"] == ("1012", "1012")
    assert str(endings).splitlines()[1] == "  1000    1000  the handler returns"


def test_only_the_first_ways_are_tried() -> None:
    """The lesson shows six; the notebook that lies deeper shows all."""
    assert list(measure_endings(first=2)) == ["the handler returns", "the handler raises"]
