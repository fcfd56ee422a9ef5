"""A figure goes to the notebook with its alternative text, and what is drawn is closed."""

from __future__ import annotations

from typing import Any

import pytest
from lab.drawing.figure import describe_bars, number, show_figure
from matplotlib import pyplot as plt


def test_a_figure_is_shown_once_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPython stores it: below the type of the picture."""
    shown: list[tuple[Any, Any]] = []
    monkeypatch.setattr("lab.drawing.figure.display", lambda figure, metadata: shown.append((figure, metadata)))
    figure, _ = plt.subplots()
    show_figure(figure, alt="nothing yet")
    assert shown == [(figure, {"image/png": {"alt": "nothing yet"}})]
    assert figure.number not in plt.get_fignums()


def test_bars_in_words() -> None:
    """Each has its name and the number that stands beside it."""
    assert describe_bars("bytes", {"long polling": 8_407.0, "SSE": 4.06}) == "bytes: long polling 8,407, SSE 4.06"
    shown = {0.1234: "0.123", 5: "5", 99.96: "100", 100.4: "100", 1_000_000: "1,000,000"}
    assert {value: number(value) for value in shown} == shown
