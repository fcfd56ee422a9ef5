"""Print the resources that each student of a Hub uses; run it as the account that runs the Hub, or as root."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import psutil

MIB = 2**20


def students() -> dict[str, list[psutil.Process]]:
    """Return the processes of each student: the server, its kernels, and their children."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter():
        try:
            name = process.environ().get("JUPYTERHUB_USER")
        except (psutil.Error, OSError):  # somebody else's, or gone
            continue
        if name:
            found[name].append(process)
    return found


def numbers(processes: list[psutil.Process]) -> Iterator[tuple[int, int, int]]:
    """Memory that is this process's alone, descriptors and threads of each process that still lives."""
    for process in processes:
        try:
            yield process.memory_full_info().uss, process.num_fds(), process.num_threads()
        except psutil.Error:
            continue


def main() -> None:
    """Print a row for each student."""
    print(f"{'student':<20} {'processes':>9} {'MiB':>6} {'descriptors':>11} {'threads':>7}")
    for name, processes in sorted(students().items()):
        rows = list(numbers(processes))
        memory, descriptors, threads = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
        print(f"{name:<20} {len(rows):>9} {memory / MIB:>6.0f} {descriptors:>11} {threads:>7}")


if __name__ == "__main__":
    main()
