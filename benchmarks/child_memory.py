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

from miniend.student_train.dry_run.peak_memory import peak_growth


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
    if device == "cpu":
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that the allocator keeps would be used again unseen
    with peak_growth(torch.device(device)) as growth:
        call()
    return growth.bytes / 1e6


def limit_memory(megabytes: float) -> None:
    """From here on this process may map so much more than it has; beyond, allocations fail."""
    lines = Path("/proc/self/status").read_text().splitlines()
    mapped = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize:"))
    most = mapped + int(megabytes * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
