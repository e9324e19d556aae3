"""How OpenMP's threads wait for each other: awake if the cores are theirs, asleep if other processes need the cores too.

Threads that wait awake find the next piece of work at once, so a step is faster on a quiet machine. If the machine does other
work, a thread that waits awake takes the core from the thread that it waits for, and steps take several times as long. OpenMP
reads the choice once, when torch is loaded, so we choose by the load at the start. The results are the same.
"""

import os
import sys
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # progress bars are not needed for `--help`
    from .progress import Log

WAIT_POLICY = "OMP_WAIT_POLICY"
CHOSEN_BY_THE_USER = (WAIT_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""The variables by which a user chooses; libgomp and Intel's library have names of their own."""
SECONDS_OF_LOOKING = 0.2
SECONDS_BETWEEN_LOOKS = 20.0
MOST_SHARED = 0.5
"""The number of cores that may be missing before threads should sleep."""


def choose_waiting(say: "Log") -> None:
    """Let OpenMP's threads sleep while they wait if the machine is not quiet, and say so.

    Does nothing if the user has chosen, if torch is loaded already, and for a single thread.
    """
    if "torch" in sys.modules or any(name in os.environ for name in CHOSEN_BY_THE_USER) or _threads() == 1:
        return
    others = _busy_cores(SECONDS_OF_LOOKING) + _threads() * (_ranks_here() - 1)
    if _missing(others) > MOST_SHARED:
        os.environ[WAIT_POLICY] = "passive"
        say(
            f"the machine does other work ({others:.1f} of {len(_own_cores())} cores): OpenMP's threads sleep while they wait "
            f"for each other; set {WAIT_POLICY} to choose yourself"
        )


class SharedCores:
    """Notices during a long run that other processes use the cores on which our threads wait awake.

    Nothing can be changed then: OpenMP has read its choice, and another number of threads would change the results. On a GPU it
    does not matter. `device` is torch's.
    """

    def __init__(self, say: "Log", device: Any) -> None:
        self._say = say
        awake = os.environ.get(WAIT_POLICY, "").lower() != "passive" and _threads() > 1 and _ranks_here() == 1
        self._watching = awake and device.type == "cpu"
        self._since = monotonic(), 0.0
        if self._watching:
            self._since = monotonic(), _seconds_of_others()

    def look(self) -> None:
        """Say once if they do, with what to do; call it now and then."""
        seconds = monotonic() - self._since[0]
        if not self._watching or seconds < SECONDS_BETWEEN_LOOKS:
            return
        now = _seconds_of_others()
        others = (now - self._since[1]) / seconds
        self._since = monotonic(), now
        if _missing(others) > MOST_SHARED:
            self._watching = False
            self._say(
                f"hint: other processes use {others:.1f} of {len(_own_cores())} cores, while OpenMP's threads wait awake. Stop "
                f"this run and start the same command again with {WAIT_POLICY}=passive: it goes on, perhaps several times faster"
            )


def _missing(others: float) -> float:
    """Return how many more cores our threads and others want than there are."""
    return others + _threads() - len(_own_cores())


def _own_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _threads() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) else len(_own_cores())


def _ranks_here() -> int:
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(text) if text.isdecimal() and int(text) else 1


def _busy_cores(seconds: float) -> float:
    """Return how many of our cores are in use, on average over so many seconds of doing nothing."""
    import psutil

    shares = psutil.cpu_percent(interval=seconds, percpu=True)
    return float(sum(shares[core] for core in _own_cores() if core < len(shares))) / 100


def _seconds_of_others() -> float:
    """Return the seconds for which our cores have worked since the machine started, less the CPU time of this process."""
    import psutil

    times = psutil.cpu_times(percpu=True)
    busy = [sum(times[core]) - times[core].idle - getattr(times[core], "iowait", 0.0) for core in _own_cores()]
    return float(sum(busy)) - process_time()
