"""``make check-room``: whether this machine and its network are ready for a class, before the class is there.

Each line says ok or problem, and a problem says what helps. The exit status is 1 when there is one. It is run as a
file, and imports other parts of the course late, so that it can still say which package is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import time
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from urllib.request import getproxies

import psutil
from packaging.requirements import Requirement

try:
    import resource
except ImportError:  # Windows has no limit of this kind
    resource = None  # type: ignore[assignment]

__all__ = [
    "Line",
    "browser",
    "capacity",
    "descriptors",
    "engine",
    "folder",
    "main",
    "network",
    "port",
    "proxy",
    "versions",
]

EVERYWHERE = "0.0.0.0"
DESCRIPTORS = 4_096  # lesson 04 takes 2,100 for its thousand clients, the server for the class 3,200 and its students
KERNEL = 0.5  # GiB that a kernel takes at most, with all that it starts: 478 MiB in lesson 04
SYSTEM = 1.0  # GiB for all else: JupyterLab, a browser, the server for the class
KERNELS_PER_CORE = 8  # students read most of the time
BROWSERS = ("firefox", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@dataclass(frozen=True)
class Line:
    """What one check found."""

    name: str
    ok: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{'ok' if self.ok else 'problem':8} {self.name:12} {self.found}"
        return line if self.ok else f"{line}\n{'':21} remedy: {self.remedy}"


def versions(requirements: Iterable[str] | None = None) -> Line:
    """Python and the packages are what pyproject.toml asks for."""
    remedy = "make lab installs them, or: pip install --upgrade -e '.[course]'"
    try:
        wanted = list(map(Requirement, metadata.requires("learn-websockets") or [])) if requirements is None else []
    except metadata.PackageNotFoundError:
        return Line("versions", False, "the course is not installed in this Python", remedy)
    wanted += map(Requirement, requirements or [])
    mine = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "course"})]
    if wrong := list(_wrong(mine)):
        return Line("versions", False, "; ".join(wrong), remedy)
    return Line("versions", True, f"Python {sys.version.split()[0]}, {len(mine)} packages as the course wants them")


def _wrong(wanted: Iterable[Requirement]) -> Iterator[str]:
    for one in wanted:
        try:
            if not one.specifier.contains(found := metadata.version(one.name), prereleases=True):
                yield f"{one.name} is {found}, wanted {one.specifier}"
        except metadata.PackageNotFoundError:
            yield f"{one.name} is missing"


def port(number: int, *, host: str = EVERYWHERE) -> Line:
    """Nobody listens on the port of the server for the class."""
    try:
        socket.create_server((host, number)).close()
    except (OSError, OverflowError) as error:
        remedy = f"end what listens there, or take another: python -m server --classroom --port {number + 1}"
        return Line("port", False, f"{number} cannot be used: {error}", remedy)
    return Line("port", True, f"{number} is free")


def proxy(address: str | None = None) -> Line:
    """No proxy stands between a lesson and its own machine, or between a student and the server for the class."""
    from lab.servers.no_proxy import LOCAL, bypass_proxy, caught, httpx_refuses  # noqa: PLC0415

    proxies = sorted({"http", "https", "ws", "wss", "all", "socks"} & set(getproxies()))
    bypass_proxy()  # as every lesson does
    names = ", ".join(f"{name}_proxy" for name in proxies)
    if reason := httpx_refuses():
        return Line("proxy", False, f"httpx refuses {names or 'no_proxy'}: {reason}", "unset it, and start again")
    hosts = [*LOCAL, *([address] if address else [])]
    if through := caught(hosts):
        remedy = f"export no_proxy={','.join([os.environ['no_proxy'], *through])}  # before JupyterLab is started"
        return Line("proxy", False, f"{names} would catch {', '.join(through)}", remedy)
    return Line("proxy", True, f"{names} is set, and spares this machine" if proxies else "none is used")


def descriptors() -> Line:
    """A thousand clients and their server fit into one process."""
    if resource is None:
        return Line("descriptors", True, "this system has no limit")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        remedy = "raise it: nofile in /etc/security/limits.conf, or --ulimit nofile=4096 of a container"
        return Line("descriptors", False, f"a process may have {hard:,}, and {DESCRIPTORS:,} are needed", remedy)
    most = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    return Line("descriptors", True, f"a process may have {most}")


def engine() -> Line:
    """The Valkey of lessons 04 and 05 starts and answers."""
    from lab.servers.valkey import Engine  # noqa: PLC0415

    remedy = "without one, lessons 04 and 05 leave out what needs it and say so; or set VALKEY_URL to one of yours"
    if reason := Engine.missing():
        return Line("engine", False, reason, remedy)
    try:
        with Engine() as started:
            return Line("engine", True, f"answers, {'yours' if os.environ.get('VALKEY_URL') else repr(started)}")
    except Exception as error:
        return Line("engine", False, str(error), remedy)


def browser() -> Line:
    """There is a browser that JupyterLab can open."""
    if found := next(filter(None, map(shutil.which, BROWSERS)), None):
        return Line("browser", True, found)
    try:
        return Line("browser", True, webbrowser.get().__class__.__name__)
    except webbrowser.Error:
        remedy = "install Firefox, Chromium or Chrome; or open the address that JupyterLab prints on another machine"
        return Line("browser", False, "none is found on this machine", remedy)


def capacity(kernels: int = 1) -> Line:
    """Check that this machine has memory and cores for this many kernels."""
    free, cores = psutil.virtual_memory().available / 2**30, psutil.cpu_count() or 1
    needed = SYSTEM + kernels * KERNEL
    found = f"{free:.1f} GiB free, {cores} cores, for {kernels} {'kernel' if kernels == 1 else 'kernels'}"
    if free < needed:
        fit = max(0, int((free - SYSTEM) / KERNEL))
        remedy = f"{needed:.1f} GiB are needed; close other programs, or let {fit} work here and the rest elsewhere"
        return Line("capacity", False, found, remedy)
    if cores < 2 or kernels > cores * KERNELS_PER_CORE:
        remedy = f"take 2 cores or more, and one for each {KERNELS_PER_CORE} students; cells are slower, none is wrong"
        return Line("capacity", False, found, remedy)
    return Line("capacity", True, found)


def folder(path: Path = NOTEBOOKS) -> Line:
    """Notebooks can be saved where they lie."""
    if not os.access(path, os.W_OK):
        return Line("folder", False, f"{path} cannot be written to", "copy the course into a folder of your own")
    return Line("folder", True, f"{path} can be written to")


def network(number: int, address: str | None, *, wait: float = 0, host: str = EVERYWHERE) -> Line:
    """Check that students can reach this machine: wait up to `wait` seconds for one; with 0, only name the address."""
    if address is None:
        return Line("network", False, "this machine is in no network", "connect it to the network of the room")
    url = f"http://{address}:{number}/"
    if not wait:
        return Line("network", True, f"students open {url}join; to try it from another machine: --wait 60")
    print(f"within {wait:g} seconds, open {url} on another machine, or on a phone in the same network …", flush=True)
    try:
        visitors = wait_for_visitors(host, number, wait, {address, "127.0.0.1"})
    except OSError as error:
        return Line("network", False, f"cannot listen on port {number}: {error}", "see port")
    if visitors:
        return Line("network", True, f"{visitors[0]} has reached {url}")
    remedy = "let the port through this machine's firewall; a guest network may keep its guests apart: use a hotspot"
    return Line("network", False, f"no other machine has reached {url} in {wait:g} s", remedy)


def wait_for_visitors(host: str, number: int, wait: float, own: set[str]) -> list[str]:
    """Answer on the port for `wait` seconds, or until another machine connects; return the addresses."""
    visitors: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        timeout = 2  # seconds until a silent client is dropped

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"This machine reaches the teacher's.\n")
            if self.client_address[0] not in own:
                visitors.append(self.client_address[0])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Log nothing; the last line of the output names the visitors."""

    deadline = time.monotonic() + wait
    with HTTPServer((host, number), Answer) as server:
        while not visitors and (left := deadline - time.monotonic()) > 0:
            server.timeout = left
            server.handle_request()
    return visitors


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each check; 1 when one of them found a problem."""
    parser = argparse.ArgumentParser(description="Check whether this machine and its network are ready for a class.")
    parser.add_argument("--port", type=int, default=8000, help="of the server for the class (8000)")
    parser.add_argument("--kernels", type=int, default=1, help="students whose kernels run on this machine (1)")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for a visit from another machine (0)")
    options = parser.parse_args(arguments)
    lines = [versions()]
    if lines[0].ok:
        lines += _others(options)
    print(*lines, sep="\n")
    if problems := sum(not line.ok for line in lines):
        print("the room is not ready:", "1 problem" if problems == 1 else f"{problems} problems")
        return 1
    print("the room is ready")
    return 0


def _others(options: argparse.Namespace) -> list[Line]:
    """The checks that need the packages."""
    from server.app.classroom.join_link import lan_address  # noqa: PLC0415

    address = lan_address()
    return [
        folder(),
        port(options.port),
        proxy(address),
        descriptors(),
        engine(),
        browser(),
        capacity(options.kernels),
        network(options.port, address, wait=options.wait),
    ]


if __name__ == "__main__":
    sys.exit(main())
