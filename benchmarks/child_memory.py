"""Measure the peak memory of a call, above the level before it, in a separate process.

The peak is the kernel's high-water mark of resident memory (Linux and glibc), or the allocator's on CUDA. It is reset just before
the call, so neither the imports nor the inputs count. A script that asks for a case runs itself again with `--case`, and prints
the answer as its last line.
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

from miniend.student_train.dry_run.peak_memory import peak_growth


def in_child(script: str, **case: Any) -> float | None:
    """Return the number that `script --case JSON` prints last; None if the case ran out of memory."""
    run = subprocess.run(
        [sys.executable, script, "--case", json.dumps(case)], check=False, capture_output=True, text=True
    )
    if run.returncode:
        if "can't allocate memory" in run.stderr or "MemoryError" in run.stderr or "out of memory" in run.stderr:
            return None
        raise RuntimeError(run.stderr)
    return float(run.stdout.split()[-1])


def peak_over_before(call: Callable[[], object], device: str = "cpu") -> float:
    """Return the MB at the peak of a call, above the level before it."""
    if device == "cpu":
        ctypes.CDLL(None).malloc_trim(0)  # else the call could reuse freed memory that the allocator keeps
    with peak_growth(torch.device(device)) as growth:
        call()
    return growth.bytes / 1e6


def limit_memory(megabytes: float) -> None:
    """Let this process map only this much more memory than it has; further allocations fail."""
    lines = Path("/proc/self/status").read_text().splitlines()
    mapped = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize:"))
    most = mapped + int(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
