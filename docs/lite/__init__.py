"""The first lessons in the reader's browser, without an install: JupyterLite, and a network in memory."""

__all__ = ["LESSONS"]

LESSONS = ("01-handshake", "02-echo", "03-manager")
