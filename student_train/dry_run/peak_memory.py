"""By how much memory grows at most while something runs: the allocator's count on CUDA, resident memory on a CPU."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(slots=True)
class Growth:
    """What `peak_growth` found; 0 until its block has ended."""

    bytes: int = 0
    measure: str = ""
    """How it was measured, for people."""


@contextmanager
def peak_growth(device: torch.device) -> Iterator[Growth]:
    """Measure the peak inside the block less what was in use before it.

    On a CPU this is the whole process's, in pages, so small things drown in what Python allocates, and memory that was freed
    before but not given back to the system is not seen to be used again. Where a process cannot reset its peak (macOS), what
    stays below the peak of its whole life is not seen.
    """
    growth = Growth(measure="torch.cuda.max_memory_allocated" if device.type == "cuda" else "resident memory")
    before = _forget_peak(device)
    yield growth
    growth.bytes = max(0, _peak(device) - before)


def _forget_peak(device: torch.device) -> int:
    """Let the peak begin anew from now, where the system can; bytes in use."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
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
    # not on Linux, where it begins at the peak of whoever started the process (man 2 getrusage)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
