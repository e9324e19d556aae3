"""How much memory a call takes at its peak, over what was there before it: in a process of its own, started for it alone.

The peak is the kernel's high-water mark of resident memory, set back just before the call (Linux and glibc), so that
neither the imports nor the making of the inputs count; on CUDA it is the allocator's. A script that asks for a case runs itself
again with `--case`, and prints the answer as its last line.
"""

import ctypes
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def in_child(script: str, **case: Any) -> float | None:
    """The number that `script --case JSON` prints last; None where the case ran out of memory."""
    run = subprocess.run(
        [sys.executable, script, "--case", json.dumps(case)], check=False, capture_output=True, text=True
    )
    if run.returncode:
        if "can't allocate memory" in run.stderr or "MemoryError" in run.stderr or "out of memory" in run.stderr:
            return None
        raise RuntimeError(run.stderr)
    return float(run.stdout.split()[-1])


def peak_over_before(call: Callable[[], object], device: str = "cpu") -> float:
    """MB at the peak of a call over what was there before."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    ctypes.CDLL(None).malloc_trim(0)  # freed memory that the allocator keeps would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")
    before = _kib("VmRSS")
    call()
    return (_kib("VmHWM") - before) * 1024 / 1e6


def limit_memory(megabytes: float) -> None:
    """From here on this process may map so much more than it has; beyond, allocations fail."""
    most = _kib("VmSize") * 1024 + int(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
