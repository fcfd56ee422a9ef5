"""Threads and TCP in memory for Pyodide: uvicorn, websockets and httpx run on them unchanged."""

from __future__ import annotations

import _thread
import _threading_local
import asyncio
import mmap
import queue
import resource
import select
import selectors
import socket
import sys
import threading
import time
from types import ModuleType

from . import processes, selector, sockets, threads

__all__ = ["install"]


# numbers as in Linux, which Pyodide's socket module leaves out
CONSTANTS = {
    "AI_PASSIVE": 1, "EAI_NONAME": -2, "IPPROTO_IPV6": 41, "IPPROTO_TCP": 6, "IPV6_V6ONLY": 26, "MSG_PEEK": 2,
    "NI_NUMERICHOST": 1, "NI_NUMERICSERV": 2, "SHUT_RD": 0, "SHUT_RDWR": 2, "SHUT_WR": 1, "SOL_SOCKET": 1,
    "SOMAXCONN": 4096, "SO_BROADCAST": 6, "SO_ERROR": 4, "SO_KEEPALIVE": 9, "SO_LINGER": 13, "SO_RCVBUF": 8,
    "SO_REUSEADDR": 2, "SO_SNDBUF": 7, "SO_TYPE": 3, "TCP_MAXSEG": 2, "TCP_NODELAY": 1,
}  # fmt: skip

# what the standard library looks up when it is used, and what takes its place
REPLACEMENTS: list[tuple[ModuleType, str, object]] = [
    (_thread, "allocate_lock", threads.Lock),
    (_thread, "get_ident", threads.current_ident),
    (_thread, "start_joinable_thread", threads.start_thread),
    (threading, "get_ident", threads.current_ident),
    (threading, "_start_joinable_thread", threads.start_thread),
    (threading, "_ThreadHandle", threads.ThreadHandle),
    (threading, "Lock", threads.Lock),
    (threading, "_allocate_lock", threads.Lock),
    (threading, "_CRLock", None),  # so that RLock is the one in Python, over the lock above
    (threading, "local", _threading_local.local),
    (queue, "SimpleQueue", getattr(queue, "_PySimpleQueue", None)),
    (time, "sleep", threads.sleep),
    (resource, "getpagesize", lambda: mmap.PAGESIZE),
    (resource, "RLIMIT_NOFILE", 7),
    (resource, "RLIM_INFINITY", -1),
    (resource, "getrlimit", lambda kind: (-1, -1)),  # a page may open as many sockets as it likes
    (socket, "socket", sockets.MemorySocket),
    (socket, "SocketType", sockets.MemorySocket),
    (socket, "socketpair", sockets.socketpair),
    (socket, "getaddrinfo", sockets.getaddrinfo),
    (select, "poll", selector.Poll),
    (selectors, "DefaultSelector", selector.MemorySelector),
    (selectors, "SelectSelector", selector.MemorySelector),
    (asyncio, "SelectorEventLoop", selector.MemoryLoop),
    (asyncio, "EventLoop", selector.MemoryLoop),
    (asyncio, "new_event_loop", selector.MemoryLoop),
    (asyncio.events, "new_event_loop", selector.MemoryLoop),
]


def install() -> None:
    """Put threads and sockets in memory into the place of those that the browser hasn't got."""
    for name, number in CONSTANTS.items():
        if not hasattr(socket, name):
            setattr(socket, name, number)
    for module, name, replacement in REPLACEMENTS:
        setattr(module, name, replacement)
    sys.modules["psutil"] = processes
