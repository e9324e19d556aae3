"""Measure the peak growth of memory while a block runs: the allocator's count on CUDA, resident memory on a CPU."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from ...runtime.devices import wait_for

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(slots=True)
class Growth:
    """The result of `peak_growth`."""

    bytes: int = 0
    """The growth in bytes; 0 until the block has ended."""
    measure: str = ""
    """How it was measured, for people."""


@contextmanager
def peak_growth(device: torch.device) -> Iterator[Growth]:
    """Measure the peak of memory inside the block, minus the memory that was in use before it.

    On a CPU this is the resident memory of the whole process, in pages. So small amounts drown in Python's own allocations. The
    measure misses memory that was freed before, not returned to the system, and used again. Where a process cannot reset its
    peak (macOS), it shows only growth beyond the peak of the process's whole life.
    """
    growth = Growth(measure="torch.cuda.max_memory_allocated" if device.type == "cuda" else "resident memory")
    before = _forget_peak(device)
    yield growth
    growth.bytes = max(0, _peak(device) - before)


def _forget_peak(device: torch.device) -> int:
    """Reset the peak to the memory in use now, if the system can; return the bytes in use."""
    if device.type == "cuda":
        wait_for(device)
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # man 5 proc: resets the peak resident set size
    return _peak(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # not used on Linux, where ru_maxrss starts from the peak of the process's parent (man 2 getrusage)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
