"""TCP in memory: sockets of one Python process that reach each other and nothing else."""

from __future__ import annotations

import errno
import itertools
import os
import socket as real
import struct
import time
from collections import deque
from typing import Any

from .threads import Waker

__all__ = ["MemorySocket", "getaddrinfo", "open_sockets", "socketpair"]

BUFFER = 1 << 20  # bytes that a connection holds in each direction before its sender has to wait
LOCAL = ("", "0.0.0.0", "127.0.0.1", "localhost", "::1", "::")

open_sockets: dict[int, MemorySocket] = {}
"""Every open socket, by its file number."""

_files = itertools.count(1_000)
_ports = itertools.count(49_152)
_listeners: dict[int, MemorySocket] = {}


class MemorySocket:
    """A `socket.socket` whose other end is in the same process."""

    def __init__(
        self,
        family: int = real.AF_INET,
        type: int = real.SOCK_STREAM,  # noqa: A002 - the name that socket.socket has
        proto: int = 0,
        fileno: int | None = None,
    ) -> None:
        if family not in (real.AF_INET, getattr(real, "AF_UNIX", real.AF_INET)):
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        self.family, self.type, self.proto = real.AddressFamily(family), real.SocketKind(type), proto
        self._file = next(_files)
        self._timeout: float | None = real.getdefaulttimeout()
        self._name: tuple[str, int] = ("0.0.0.0", 0)
        self._options: dict[tuple[int, int], Any] = {}
        self._incoming = bytearray()
        self._pending: deque[MemorySocket] | None = None  # of a listener: connections that nobody has accepted
        self._peer: MemorySocket | None = None
        self._peer_name: tuple[str, int] | None = None
        self._ended = False  # the peer sends no more
        self._shut = False  # this end sends no more
        self._reset = False
        self._closed = False
        self._closing = False
        self._io_refs = 0  # files that `makefile` made and that are still open
        self._is_pair = False
        self.watchers: set[Waker] = set()
        open_sockets[self._file] = self

    @property
    def connected(self) -> bool:
        """Whether it has, or had, another end."""
        return self._peer_name is not None

    @property
    def visible(self) -> bool:
        """Whether it is part of a network, and not half of a pair that `socketpair` made."""
        return self._pending is not None or (self.connected and not self._is_pair)

    # what can be done without waiting

    @property
    def readable(self) -> bool:
        """Whether `recv` or `accept` would return at once."""
        if self._pending is not None:
            return bool(self._pending)
        return bool(self._incoming) or self._ended or self._reset or self._closed

    @property
    def writable(self) -> bool:
        """Whether `send` would return at once."""
        if self._peer is None:
            return self._peer_name is not None or self._reset
        return len(self._peer._incoming) < BUFFER or self._reset or self._shut

    def changed(self) -> None:
        """Wake whoever waits for this socket."""
        for waker in list(self.watchers):
            waker.wake()

    def _wait(self, what: str) -> None:
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while not getattr(self, what):
            self._check_open()
            waker = Waker()
            self.watchers.add(waker)
            try:
                if not waker.wait(None if deadline is None else deadline - time.monotonic()):
                    raise TimeoutError("timed out")
            finally:
                self.watchers.discard(waker)

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    # a server's side

    def bind(self, address: tuple[str, int]) -> None:
        """Take a port; 0 takes a free one."""
        host, port = address[:2]
        if not 0 <= port <= 65_535:
            raise OverflowError("bind(): port must be 0-65535.")
        if host not in LOCAL:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if port in _listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._name = (host or "0.0.0.0", port or next(_ports))

    def listen(self, backlog: int = 128) -> None:
        """Accept connections from now on."""
        if not self._name[1]:
            self.bind(("", 0))
        if _listeners.setdefault(self._name[1], self) is not self:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        if self._pending is None:  # a second call keeps the connections that wait
            self._pending = deque()

    def accept(self) -> tuple[MemorySocket, tuple[str, int]]:
        """Return the next connection and its address."""
        self._check_open()
        if self._pending is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not self._pending:
            self._wait("readable")
        end = self._pending.popleft()
        end.settimeout(real.getdefaulttimeout())
        return end, end.getpeername()

    # a client's side

    def connect(self, address: tuple[str, int]) -> None:
        """Connect to a listener of this process."""
        if error := self.connect_ex(address):
            raise OSError(error, os.strerror(error))

    def connect_ex(self, address: tuple[str, int]) -> int:
        """Connect, and return 0 or the number of the error."""
        self._check_open()
        if self._peer_name is not None:
            return errno.EISCONN
        listener = _listeners.get(address[1]) if address[0] in LOCAL else None
        if listener is None or listener._pending is None:
            return errno.ECONNREFUSED
        if not self._name[1]:
            self._name = ("127.0.0.1", next(_ports))
        end = MemorySocket(self.family, self.type)
        end._name = ("127.0.0.1", address[1])
        _join(self, end)
        listener._pending.append(end)
        listener.changed()
        return 0

    # bytes

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return up to `size` bytes; none if the peer has closed."""
        self._check_open()
        if self._peer_name is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if not self.readable:
            self._wait("readable")
        if self._reset and not self._incoming:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        data = bytes(self._incoming[:size])
        if not flags & real.MSG_PEEK:
            del self._incoming[:size]
            if self._peer is not None:
                self._peer.changed()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Fill a buffer, and return how many bytes came."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Pass on as many bytes as the connection takes, and return their number."""
        self._check_open()
        if self._reset:
            self._reset = False  # the second attempt says that the pipe is broken
            self._peer = None
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if self._peer is None or self._shut:
            code = errno.EPIPE if self._peer_name else errno.ENOTCONN
            raise (BrokenPipeError if self._peer_name else OSError)(code, os.strerror(code))
        if not self.writable:
            self._wait("writable")
            return self.send(data, flags)
        if self._peer._closed:  # it doesn't read any more, and says so
            self._on_reset()
            return len(memoryview(data).cast("B"))
        view = memoryview(data).cast("B")[: BUFFER - len(self._peer._incoming)]
        self._peer._incoming += view
        self._peer.changed()
        return len(view)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Pass on all bytes."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view) :]

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        """Pass on the bytes of several buffers as far as the connection takes them."""
        return self.send(b"".join(buffers))

    # the end

    def shutdown(self, how: int) -> None:
        """Send no more; the peer reads what there is, and then the end."""
        self._check_open()
        if self._peer_name is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if how in (real.SHUT_WR, real.SHUT_RDWR):
            self._end()
        if how in (real.SHUT_RD, real.SHUT_RDWR):
            self._ended = True
        self.changed()

    def close(self) -> None:
        """Free the socket. The peer reads an end, or a reset if bytes were left unread or lingering is off."""
        self._closing = True
        if self._closed or self._io_refs > 0:
            return
        self._closed = True
        open_sockets.pop(self._file, None)
        if self._pending is not None:
            del _listeners[self._name[1]]
            for end in self._pending:
                end._abort()
        elif self._peer is not None:
            linger = self._options.get((real.SOL_SOCKET, real.SO_LINGER))
            if self._incoming or linger == struct.pack("ii", 1, 0):
                self._abort()
            else:
                self._end()
        self.changed()

    def _end(self) -> None:
        if not self._shut and self._peer is not None:
            self._shut = True
            self._peer._ended = True
            self._peer.changed()

    def _abort(self) -> None:
        self._closed = True
        open_sockets.pop(self._file, None)
        if self._peer is not None:
            self._peer._on_reset()

    def _on_reset(self) -> None:
        self._reset = True
        self.changed()

    def detach(self) -> int:
        """Give the file number away."""
        return self._file

    # what else a socket has

    def fileno(self) -> int:
        """Return the file number; -1 after `close`."""
        return -1 if self._closed else self._file

    def getsockname(self) -> tuple[str, int]:
        """Return this end's address."""
        self._check_open()
        return self._name

    def getpeername(self) -> tuple[str, int]:
        """Return the other end's address."""
        if self._peer_name is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peer_name

    def settimeout(self, value: float | None) -> None:
        """Wait so many seconds for anything; None is for ever."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return what `settimeout` was given."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait for ever, or not at all."""
        self._timeout = None if flag else 0

    def getblocking(self) -> bool:
        """Return whether it waits."""
        return self._timeout != 0

    def setsockopt(self, level: int, option: int, value: Any, length: int = 0) -> None:
        """Keep an option; only a linger time of 0 has an effect."""
        self._check_open()
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, length: int = 0) -> Any:
        """Return an option."""
        if (level, option) == (real.SOL_SOCKET, real.SO_ERROR):
            return errno.ECONNRESET if self._reset else 0
        return self._options.get((level, option), 0)

    def set_inheritable(self, inheritable: bool) -> None:
        """Do nothing: there are no child processes."""

    def get_inheritable(self) -> bool:
        """Return False: there are no child processes."""
        return False

    makefile = real.socket.makefile  # needs no more than recv_into, send and the two below

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closing and self._io_refs <= 0:
            self.close()

    def __enter__(self) -> MemorySocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def __repr__(self) -> str:
        return f"<MemorySocket {self._name} to {self._peer_name}>"


def _join(one: MemorySocket, other: MemorySocket) -> None:
    one._peer, other._peer = other, one
    one._peer_name, other._peer_name = other._name, one._name


def socketpair(*args: Any) -> tuple[MemorySocket, MemorySocket]:
    """Return two connected sockets."""
    one, other = MemorySocket(), MemorySocket()
    one._name, other._name = ("127.0.0.1", next(_ports)), ("127.0.0.1", next(_ports))
    _join(one, other)
    one._is_pair = other._is_pair = True
    return one, other


def getaddrinfo(host: str | bytes | None, port: int | str | None, *args: int, **options: int) -> list[Any]:
    """Return the one address that this network has."""
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None and name not in LOCAL:
        raise real.gaierror(-2, f"{name!r} can't be reached: this network is inside your browser")
    return [(real.AF_INET, real.SOCK_STREAM, 6, "", ("127.0.0.1", int(port or 0)))]
