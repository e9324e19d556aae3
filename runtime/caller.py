"""Leave the program that calls us as it was: a library that changes settings of the process surprises everybody else in it.

Commands own their process. A call from a user's program does not, so the program's settings are put back after it.
"""

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Restore = Callable[[], object]


@contextmanager
def caller_kept() -> Iterator[None]:
    """Restore settings of the process at the end of the block, whatever ends it.

    These are the environment, the filters of warnings, the random states of Python, NumPy and torch, torch's threads, default
    dtype and choice of deterministic algorithms, the verbosity and bars of transformers and datasets, and accelerate's state,
    which the block does not see.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="IProgress not found")  # of libraries' bars, in a plain notebook
        for kept in (_environment, _python, _numpy, _torch, _transformers, _datasets, _accelerate):
            for restore in kept():
                stack.callback(restore)
        yield


def _loaded(name: str) -> Any:
    """Return a module that somebody has imported, or None."""
    return sys.modules.get(name)


def _environment() -> Iterator[Restore]:
    before = dict(os.environ)

    def restore() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})

    yield restore


def _python() -> Iterator[Restore]:
    state = random.getstate()
    yield lambda: random.setstate(state)


def _numpy() -> Iterator[Restore]:
    import numpy as np

    state = np.random.get_state()
    yield lambda: np.random.set_state(state)


def _torch() -> Iterator[Restore]:
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    yield lambda: torch.set_num_threads(threads)
    yield lambda: torch.set_default_dtype(dtype)
    yield lambda: torch.set_rng_state(state)
    yield lambda: torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        on_gpus = torch.cuda.get_rng_state_all()
        yield lambda: torch.cuda.set_rng_state_all(on_gpus)


def _transformers() -> Iterator[Restore]:
    if logging := _loaded("transformers.utils.logging"):
        verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()

        def restore_bars() -> None:
            if logging.is_progress_bar_enabled() != shown:
                (logging.enable_progress_bar if shown else logging.disable_progress_bar)()

        yield lambda: logging.set_verbosity(verbosity)
        yield restore_bars


def _datasets() -> Iterator[Restore]:
    before = _loaded("datasets.utils.tqdm")
    disabled = before is not None and before.are_progress_bars_disabled()

    def restore() -> None:
        bars = _loaded("datasets.utils.tqdm")
        if bars is not None and bars.are_progress_bars_disabled() and not disabled:
            bars.enable_progress_bars()

    yield restore


def _accelerate() -> Iterator[Restore]:
    """Take a training of the caller's own out of accelerate's state, which has one per process."""
    from accelerate import state

    shared = [kind._shared_state for kind in (state.PartialState, state.AcceleratorState, state.GradientState)]
    before = [dict(one) for one in shared]
    for one in shared:
        one.clear()

    def restore() -> None:
        for one, own in zip(shared, before, strict=True):
            one.clear()
            one.update(own)

    yield restore
