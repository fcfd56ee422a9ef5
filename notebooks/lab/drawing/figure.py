"""Show a figure of Matplotlib together with what it says in words, for those who don't see it."""

from __future__ import annotations

from collections.abc import Mapping

from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

__all__ = ["describe_bars", "number", "show_figure"]


def show_figure(figure: Figure, alt: str) -> None:
    """Show a figure and close it.

    `alt` says in words what the figure shows. It's stored beside the picture as its alternative text, which the
    course's site passes on to screen readers.
    """
    display(figure, metadata={"image/png": {"alt": alt}})  # type: ignore[no-untyped-call]
    plt.close(figure)


def describe_bars(what: str, values: Mapping[str, float]) -> str:
    """Return bars in words: ``requests: polling 5, WebSocket 1``."""
    return f"{what}: " + ", ".join(f"{name} {number(value)}" for name, value in values.items())


def number(value: float) -> str:
    """Return a number as it stands beside its bar: three digits, or a whole number with commas."""
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
