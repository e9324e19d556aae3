"""The facts of a run that a report lists: when, with which versions, on which machine, by which command."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from ..listing import everything_below
from ..progress import duration, size_text

LIBRARIES = ("torch", "transformers")


def run_facts(seconds: Mapping[str, float], folders: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return names and texts for a `Listing`; `seconds` are by stage, and the bytes of `folders` are counted."""
    facts = [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("versions", _versions()),
        ("machine", machine()),
        ("command", command()),
    ]
    if seconds:
        stages = ", ".join(f"{stage} {duration(one)}" for stage, one in seconds.items())
        facts.append(("time", f"{duration(sum(seconds.values()))}: {stages}" if len(seconds) > 1 else stages))
    sizes = {name: size for name, folder in folders.items() if (size := bytes_below(folder))}
    if sizes:
        facts.append(("on disk", ", ".join(f"{name} {size_text(size)}" for name, size in sizes.items())))
    return facts


def command() -> str:
    """Return the command line of this process, as a shell takes it."""
    program = Path(sys.argv[0]).name
    if program in ("miniend", "__main__.py"):
        return shlex.join(["miniend", *sys.argv[1:]])
    return f"called from Python ({program or 'interactive'})"


def machine() -> str:
    """Return the processor, the cores, the memory and the GPUs of this machine."""
    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB", f"{platform.system()} {platform.machine()}"]
    if torch.cuda.is_available():
        parts += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return "; ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _versions() -> str:
    package = __name__.partition(".")[0]
    found = [f"{package} {sys.modules[package].__version__}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below a folder; a file that vanishes meanwhile does not count."""
    total = 0
    for path in everything_below(folder):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
