"""What this process says of itself. Linux: memory and open files come from /proc. Imports next to nothing."""

from __future__ import annotations

import os
import resource

__all__ = ["cpu", "open_files", "peak_rss", "reset_peak_rss", "rss"]


def cpu() -> float:
    """Seconds of CPU, user and system, of all threads so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss() -> float:
    """Resident memory in MB."""
    return _status("VmRSS:")


def peak_rss() -> float:
    """Peak of the resident memory in MB.

    Not `ru_maxrss`: exec hands that down, so a small process begins with the peak of the one that started it.
    """
    return _status("VmHWM:")


def reset_peak_rss() -> None:
    """Begin the peak anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def open_files() -> int:
    """The number of open descriptors."""
    return len(os.listdir("/proc/self/fd"))


def _status(field: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))
