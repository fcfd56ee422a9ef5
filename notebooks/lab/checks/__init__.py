"""The checks of the exercises, with one module for each lesson; a check says in one sentence what is missing."""

from __future__ import annotations

__all__ = ["EXERCISES"]

EXERCISES: dict[str, dict[str, str]] = {
    "01-handshake": {
        "check_accept_value": "Another key",
        "check_frame_header": "Read a header",
        "check_refusal": "The password, please",
    },
    "02-echo": {
        "check_shout": "Shout",
        "check_countdown": "A countdown",
        "check_calculator": "A calculator",
    },
    "03-manager": {
        "check_devices": "Three devices",
        "check_typing": "Ana is typing …",
        "check_who": "/who",
    },
    "04-broadcasting": {
        "check_latest": "The latest price",
        "check_pass_on": "Two rooms, one connection",
        "check_missed": "What did I miss?",
    },
    "05-notifications": {
        "check_receive": "Show it once",
        "check_tell_paid": "Push until it's accepted",
        "check_stream": "Server-sent events",
    },
}
"""The exercises of each lesson in their order: the check, and what the lesson calls it."""
