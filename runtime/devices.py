"""The device of a run, and the CPU threads of a process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

import torch

from ..errors import ConfigurationError

ResultT = TypeVar("ResultT")


def choose_device(text: str) -> torch.device:
    """Return the device of this name; `auto` is CUDA if PyTorch sees a CUDA device, else the CPU.

    Raises ConfigurationError for a name that is unknown and for a device that PyTorch does not see.
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise ConfigurationError(f"unknown device {text!r}; expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigurationError(f"device {text!r} is not supported; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device {text!r} was asked for, but PyTorch sees no CUDA device; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"device {text!r} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        )
    return device


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given: a GPU works on while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, work: Callable[[], ResultT]) -> tuple[ResultT, float]:
    """Return what some work on a device returns, and the seconds until the device has done it."""
    begun = perf_counter()
    result = work()
    wait_for(device)
    return result, perf_counter() - begun


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restore this process's number of CPU threads at the end of the block; a dump sets another one inside."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def reset_accelerate() -> None:
    """Let accelerate forget what it was told, as if the process had just started.

    It has one state per process, in which one training's number format and processes would be imposed on all that comes after.
    """
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
