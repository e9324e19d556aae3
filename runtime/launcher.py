"""What launchers (torchrun, accelerate launch, mpirun) put into the environment: the ranks count, their settings do not.

accelerate takes number format, compilation, sharding and more from the environment, also where `accelerate launch` is not used:
a colleague's config or a line in a job script is enough. Then a run would not be what its options, and its records, say.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError, shortened

SETTINGS = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "FORK_LAUNCHED")
"""The beginnings of the names of all variables that accelerate and Trainer read as settings."""
SAID = (
    "ACCELERATE_MIXED_PRECISION",
    "ACCELERATE_DYNAMO_BACKEND",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
    "ACCELERATE_GRADIENT_CLIPPING",
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_USE_CPU",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
)
"""The settings that somebody may miss; a launcher writes most of them in any case, with a value that asks for nothing."""
FIRST = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""The ranks that torchrun and the kinds of MPI write."""
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""The numbers of processes that torchrun and the kinds of MPI write, in accelerate's order."""
RANKS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "TORCHELASTIC_",
    "PMI_",
    "OMPI_COMM_WORLD_",
    "MV2_COMM_",
)
"""The beginnings of the names of all variables by which processes find their ranks."""


MOST_RANKS = 10**9
FIRST = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""The variables that hold the rank of a process."""
NUMBERS = (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE"), SIZES[1:], ("MASTER_PORT",))
"""The variables that must be whole numbers; of the first two pairs, a rank and the number of ranks."""


@contextmanager
def options_decide(ranks: bool) -> Iterator[list[str]]:
    """Take the settings of launchers out of the environment inside the block; give those that somebody may miss.

    Without `ranks` the block does not see either that a launcher started it.
    """
    names = SETTINGS if ranks else (*SETTINGS, *RANKS)
    before = _matching(names)
    try:
        for name in before:
            del os.environ[name]
        yield _missed(before)
    finally:
        for name in _matching(names):  # Trainer writes some itself
            del os.environ[name]
        os.environ.update(before)


def not_used(missed: list[str]) -> str:
    """Return the line that says which settings of the environment do not count."""
    return f"warning: not used, because the options decide: {', '.join(missed)} of the environment"


def require_possible_ranks() -> None:
    """Raise ConfigurationError for numbers of processes that no launcher can mean; accelerate would stop with a traceback."""
    found = {name: os.environ[name] for names in NUMBERS for name in names if name in os.environ}
    wrong = [f"{name}={shortened(value)!r}" for name, value in found.items() if not _is_number(value)]
    for rank, size in NUMBERS[:2]:
        unsaid = "1" if rank == "RANK" else str(MOST_RANKS)  # the size on this machine may be left unsaid
        if not wrong and int(found.get(rank, "0")) >= int(found.get(size, unsaid)):
            wrong = [f"{name}={found.get(name)}" for name in (rank, size)]
    if wrong:
        raise ConfigurationError(
            f"the environment holds {', '.join(wrong)}; expected whole numbers as a launcher sets them, each rank below its "
            "size: unset these variables, or start with torchrun"
        )


def are_several() -> bool:
    """Return whether a launcher started this process as one of several that must find each other.

    Raises ConfigurationError if they cannot; accelerate would stop with a traceback, or look for the first one for minutes.
    """
    require_possible_ranks()
    if all(int(os.environ.get(name, "1")) <= 1 for name in SIZES):
        return False
    first = os.environ.get("MASTER_ADDR", "127.0.0.1")
    try:
        socket.getaddrinfo(first, None)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"the environment holds MASTER_ADDR={shortened(first)!r}, which is not the address of a machine ({error}); unset "
            "the variables of the launcher, or start with torchrun"
        ) from error
    return True


def is_first() -> bool:
    """Return whether this is the process that shows progress: the first of a launcher's, or a lone one."""
    return all(os.environ.get(name, "0") in ("", "0") for name in FIRST)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def leads() -> bool:
    """Return whether this process is the first of those that a launcher started, or the only one."""
    return all(os.environ.get(name, "0") in ("", "0") for name in FIRST)


def require_one_process(command: str) -> None:
    """Raise ConfigurationError if a launcher started this process as one of several."""
    found = {name: os.environ[name] for name in SIZES if os.environ.get(name, "1") not in ("", "1")}
    if found:
        name, size = next(iter(found.items()))
        raise ConfigurationError(
            f"{command} works in one process, but a launcher started several ({name}={shortened(size)}); start it without "
            "torchrun, accelerate launch or mpirun"
        )


def _matching(names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(names)}


def _missed(settings: dict[str, str]) -> list[str]:
    asking = {name: value for name, value in settings.items() if name in SAID and not _asks_for_nothing(name, value)}
    return [f"{name}={value}" for name, value in sorted(asking.items())]


def _asks_for_nothing(name: str, value: str) -> bool:
    nothing = ("1",) if name == "ACCELERATE_GRADIENT_ACCUMULATION_STEPS" else ("", "no", "false", "0")
    return value.lower() in nothing
