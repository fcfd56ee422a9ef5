"""What a server of its own logs: one line for each event, without the queries of addresses, where tickets are."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["JsonFormatter", "TextFormatter", "log_config"]

QUERY = re.compile(r"\?[^\s\"']+")
USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class TextFormatter(logging.Formatter):
    """``2026-11-22T22:15:00.123Z INFO     server.chat connection ended user=ana code=1000``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback under it where there is one."""
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<8} {record.name} {_message(record)}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, what the event adds, and the traceback as one string."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        event = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        event |= {"message": _message(record)} | _extra(record)
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


def log_config(style: str, level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`, and uvicorn's `log_config`: everything to standard error."""
    formatter = JsonFormatter if style == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{formatter.__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # uvicorn would set these itself to the level of its own option
        "loggers": {name: {"level": level.upper()} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")},
    }


def _message(record: logging.LogRecord) -> str:
    return QUERY.sub("?…", record.getMessage())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in USUAL}
