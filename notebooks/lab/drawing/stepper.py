"""A stepper: walk through a captured conversation with the arrow keys, field by field, and see both ends.

It is HTML without a script: a group of radio buttons, and a panel behind each. So it works with the keyboard and with
a screen reader, in a notebook, on a slide and on a page of the site, and without a kernel. Where a notebook isn't
trusted its style is missing, and all steps stand below each other.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ..tap.conversation import Conversation
from ..tap.frames import TapFrame
from ..tap.tap import Tap
from .picture import INKS, MONO, SANS, boxed, excerpt, printable
from .steps import Byte, Step, Which, conversation_steps, frame_steps

__all__ = ["Stepper", "stepper"]

TWIN = 118  # characters of a line of the text twin
ENDS = 27  # characters of the two states in it
KEYS = 'data-lm-suppress-shortcuts="true"'  # without it, JupyterLab takes the arrow keys


class Stepper:
    """Steps through what a tap captured; a notebook shows it as HTML, and ``print(stepper)`` gives the text twin."""

    def __init__(self, steps: list[Step], title: str, start: int = 1) -> None:
        if not 1 <= start <= len(steps):
            raise ValueError(f"start must be a step from 1 to {len(steps)}, got {start!r}")
        self.steps = steps
        self.title = title
        self.start = start

    @property
    def html(self) -> str:
        """The stepper as HTML, the same every time for the same conversation."""
        return _html(self)

    @property
    def text(self) -> str:
        """The steps as text, one line each, in a box."""
        return boxed(self.title, _twin(self.steps))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def stepper(seen: Tap | Conversation | TapFrame, which: Which = "all", title: str = "", *, start: int = 1) -> Stepper:
    """Show what a tap captured one step at a time: each header of a handshake, each field of a frame.

    Example: ``stepper(tap, "handshake")``. Click a step, or press Tab and then the arrow keys. Each step shows its
    name, its bytes and bits, what it means, and the state of both ends after it: CONNECTING, OPEN, CLOSING or CLOSED,
    as a browser calls them.

    Args:
        seen: a tap that saw one connection, one of its conversations (``tap.conversations[0]``), or one frame
            (``tap.frames[0]``).
        which: ``"all"`` shows the whole connection. ``"handshake"`` shows the request and its response line by line,
            ``"frames"`` everything after them, ``"close"`` everything from the first close frame to the end.
        title: what stands above it; by default, what is shown.
        start: the step that is shown at first, where the ones before it are known already.

    For random bytes (the key, a mask) it shows what they are, so the stepper is the same every time. It waits up
    to 1 s for a close that has begun.

    Raises:
        ValueError: there is nothing to show, the tap saw several connections, `which` is unknown, or there is no
            step `start`.
    """
    titles = {
        "all": "The connection, step by step",
        "handshake": "The handshake, step by step",
        "frames": "The frames, step by step",
        "close": "The close, step by step",
    }
    if which not in titles:
        raise ValueError(f"which must be one of {', '.join(map(repr, titles))}, got {which!r}")
    if isinstance(seen, TapFrame):
        return Stepper(list(frame_steps(seen)), title or f"One {seen.opcode.name} frame, step by step", start)
    steps = list(conversation_steps(_only(seen).settle(), which))
    if not steps:
        raise ValueError(f"there is nothing to show of {which!r} in this conversation; pass 'all' to see what there is")
    return Stepper(steps, title or titles[which], start)


def _only(seen: Tap | Conversation) -> Conversation:
    if isinstance(seen, Conversation):
        return seen
    seen.settle()
    found = seen.conversations
    if len(found) != 1:
        raise ValueError(f"the tap saw {len(found)} connections; pass one of them, such as tap.conversations[0]")
    return found[0]


# as text


def _twin(steps: list[Step]) -> list[str]:
    found = [f"{'after this step, the client is / the server is':>{TWIN}}"]
    message = ""
    for number, step in enumerate(steps, 1):
        if step.message != message:
            message = step.message
            sent = f"the {step.sender} sends: " if step.sender else ""
            found.append(f"{sent}{excerpt(message, TWIN - 20)}")
        shown = " ".join(byte.hex for byte in step.data[step.at : step.end]) if step.data else ""
        left = "  ".join(part for part in (step.bits or shown, step.name, step.meaning) if part)
        left = excerpt(f"{number:>3}  {left}", TWIN - ENDS)
        found.append(f"{left:<{TWIN - ENDS}}  {step.client:>10} / {step.server:<10}")
    return found


# as HTML


def _style() -> str:
    inks = "".join(f"--{name}:light-dark({light},{dark});" for name, (light, dark) in INKS.items())
    parts = {
        "": f"{inks}color-scheme:light dark;display:flex;flex-wrap:wrap;gap:4px 2px;align-items:center;"
        "max-width:760px;margin:6px 0;padding:12px 16px;border:1px solid var(--edge);border-radius:10px;"
        f"background:var(--card);color:var(--ink);font:14px/1.45 {SANS};text-align:left;box-sizing:border-box",
        ">b": "flex:1 1 100%",
        ">b span": "float:right;color:var(--soft);font-weight:400;font-size:12px",
        ">input": "order:0;width:18px;height:18px;margin:0 1px;cursor:pointer;accent-color:var(--client)",
        ">div": "order:1;flex:1 1 100%;display:none",
        ">input:checked+div": "display:block",
        " .mono": f"margin:10px 0 8px;font:13px/1.5 {MONO};color:var(--soft);white-space:pre-wrap;"
        "overflow-wrap:anywhere;background:var(--fill);border-radius:6px;padding:8px 10px",
        " .mono span": "display:inline-block;padding:0 4px;border:1px solid transparent;border-radius:4px;"
        "text-align:center;vertical-align:top",
        " .mono i": "display:block;font-style:normal;font-size:11px",
        " .mono i:empty": "display:none",
        " .mono mark": "display:inline-block;padding:0 4px;border:1px solid currentColor;border-radius:4px;"
        "text-align:center;vertical-align:top;background:var(--card);color:var(--client);font-weight:650",
        " .server mark": "color:var(--server)",
        " code": f"font:14px {MONO};letter-spacing:2px;color:inherit;background:none;border:0",
        " .name": "font-weight:650;color:var(--client)",
        " .server .name": "color:var(--server)",
        " .ends": "margin:8px 0 0;color:var(--soft);font-size:13px",
        " .ends b": "color:var(--ink)",
        " p": "margin:6px 0 0",
    }
    rules = "".join(f".stepper{selector}{{{rule}}}" for selector, rule in parts.items())
    # JupyterLab and the site have themes of their own, which need not be the system's
    return (
        rules + "[data-jp-theme-light=true] .stepper,[data-theme=light] .stepper{color-scheme:light}"
        "[data-jp-theme-light=false] .stepper,[data-theme=dark] .stepper{color-scheme:dark}"
    )


def _html(shown: Stepper) -> str:
    title = _safe(shown.title)
    count = len(shown.steps)
    found = [
        # a form makes the buttons a group of their own, and the button keeps Enter from sending it
        f'<form><div class="stepper" role="group" aria-label="{title}">',
        f"<style>{_style()}</style>",
        '<button type="submit" disabled hidden></button>',
        f"<b>{title} <span>click, or press Tab and then ← →</span></b>",
    ]
    for number, step in enumerate(shown.steps, 1):
        name = _safe(f"{number} of {count}: {step.name}")
        checked = " checked" if number == shown.start else ""
        found.append(f'<input type="radio" name="step" {KEYS} aria-label="{name}"{checked}>')
        found.append(_panel(number, count, step))
    return "\n".join([*found, "</div></form>"])


def _panel(number: int, count: int, step: Step) -> str:
    sent = f"the {step.sender} sends: " if step.sender else ""
    parts = [f'<div class="{step.sender or "both"}">', f"<p>{number} of {count} · {sent}{_safe(step.message)}</p>"]
    if step.lines:
        lines = [
            f"<mark>{_safe(line) or '(empty line)'}</mark>" if index == step.at else _safe(line)
            for index, line in enumerate(step.lines)
        ]
        parts.append(f'<div class="mono">{"<br>".join(lines)}</div>')
    if step.data:
        cells = [_cell(byte, "mark" if step.at <= index < step.end else "span") for index, byte in enumerate(step.data)]
        parts.append(f'<div class="mono">{"".join(cells)}</div>')
    bits = f" <code>{step.bits}</code>" if step.bits else ""
    parts.append(f'<p><span class="name">{_safe(step.name)}</span>{bits} · {_safe(step.meaning)}</p>')
    parts.append(f'<p class="ends">client: <b>{step.client}</b> · server: <b>{step.server}</b></p></div>')
    return "\n".join(parts)


def _cell(byte: Byte, tag: str) -> str:
    return f"<{tag}>{byte.hex}<i>{_safe(byte.character.replace(' ', '␣'))}</i></{tag}>"


def _safe(text: str) -> str:
    return escape(printable(text))
