"""The log of ``python -m server``: one line for each event, as text or JSON, without queries, which hold tickets."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["JsonFormatter", "TextFormatter", "log_config"]

PACKAGE = __name__.partition(".")[0]
QUERY = re.compile(r"\?\S*?(\"?)(?=\s|$)")  # up to the next space, whatever a client writes
PLAIN = re.compile(r"[\w.:/+-]+")
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class TextFormatter(logging.Formatter):
    """``2026-11-22T22:15:00.123Z INFO     server.app.chat connection ended user=ana code=1000``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the traceback below it if there is one."""
        extra = "".join(f" {name}={_quoted(value)}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<8} {record.name} {_message(record)}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, the event's own fields, and the traceback as one string."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        event = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        event |= {"message": _message(record)} | _extra(record)
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


def log_config(style: str, level: str) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig` and uvicorn: everything goes to standard error.

    Only this package logs below INFO, because at DEBUG uvicorn and its libraries log headers and messages.
    """
    others = level.upper() if level != "debug" else "INFO"
    formatter = JsonFormatter if style == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{formatter.__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": others},
        # uvicorn would set these itself to the level of its own option
        "loggers": {name: {"level": others} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")}
        | {PACKAGE: {"level": level.upper()}},
    }


def _message(record: logging.LogRecord) -> str:
    return QUERY.sub(r"?…\1", record.getMessage())


def _quoted(value: object) -> str:
    """Return a value as it is, or quoted if it could be mistaken for several."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}
