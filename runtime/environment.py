"""What a process runs on, in lines: who reads of a problem asks for this first."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "huggingface_hub", "zarr", "numpy")
PREFIXES = ("OMP_", "MKL_", "CUDA_VISIBLE_", "SLURM_", "HF_", "MINIEND_", "NCCL_")
RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
UNSAID = ("TOKEN", "KEY", "SECRET", "PASSWORD", "JWT")
"""The parts of names of variables whose values are nobody else's business."""


def environment_lines(program: str) -> Iterator[str]:
    """Yield versions (`program` is ours), processors and the variables that change what a run does; import no library."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield f"{program}, Python {platform.python_version()}, {platform.platform()}, {cores} cores"
    yield f"python: {sys.executable}"
    yield f"libraries: {', '.join(f'{name} {_version(name)}' for name in LIBRARIES)}"
    variables = {name: value for name, value in sorted(os.environ.items()) if _is_told(name)}
    yield f"variables: {', '.join(f'{name}={value}' for name, value in variables.items()) or 'none'}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _is_told(name: str) -> bool:
    return (name.startswith(PREFIXES) or name in RANKS) and not any(part in name for part in UNSAID)
