"""Show a page of a server in a frame of the notebook: ``PageFrame(server)``.

Where the reader's browser is on another machine (JupyterHub, Binder), it cannot reach 127.0.0.1 here. So the
frame goes through jupyter-server-proxy, by an address that only the browser can work out.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import anywidget
import traitlets

from server.testing.target import Served

__all__ = ["PageFrame"]


class PageFrame(anywidget.AnyWidget):
    """A frame with a page of a server, and a link to the same page in a tab of its own: ``PageFrame(server, "/")``.

    `server` is what `serve` returned, or a `Tap`. `title` names the frame for screen readers, and `height` is in
    pixels.

    Raises:
        ValueError: the path does not begin with a slash.
    """

    _esm = Path(__file__).with_name("page_frame.js")
    _port = traitlets.Int().tag(sync=True)
    _path = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int().tag(sync=True)

    def __init__(self, server: Served, path: str = "/", *, title: str = "The page", height: int = 480) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path must begin with a slash, got {path!r}; write {'/' + path!r}")
        port = urlsplit(server.url("/")).port
        super().__init__(_port=port, _path=path, title=title, height=height)

    def __repr__(self) -> str:
        return f"PageFrame({self._path!r}) — run this cell in JupyterLab to see the page in a frame"
