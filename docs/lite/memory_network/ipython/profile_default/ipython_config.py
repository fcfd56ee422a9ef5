"""What IPython loads first in a kernel inside a browser: threads and sockets in memory."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - IPython provides it
c.InteractiveShellApp.extensions = ["memory_network.kernel"]
