"""The app: the chat, the inbox over HTTP, the page; ``serve(create_app(settings))``."""

from .application import create_app

__all__ = ["create_app"]
