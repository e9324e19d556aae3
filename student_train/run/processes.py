"""The processes of a run, a single one or all that torchrun or accelerate launched, and the trackers of the run.

accelerate finds the processes, wraps modules in DistributedDataParallel and speaks to trackers. A step gets numbers from the
other processes by `sum`, in float64, so that counts are exact and every process gets the same result.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import gather_object
from torch import nn

from ...errors import ConfigurationError, in_one_line
from ...runtime.devices import choose_device, reset_accelerate
from ...runtime.launcher import are_several, options_decide
from ...runtime.stopping import stop_requested
from .tracker_run import tracker_settings


class Stopped(BaseException):
    """Some process of the run was told to stop. All processes raise it, at the same point."""


class Processes:
    """This process, and its connection to the other processes of the run."""

    def __init__(self, device: str, trackers: Sequence[str] = ()) -> None:
        wanted = choose_device(device)
        require_trackers(trackers)
        several = are_several()
        with ExitStack() as entered:
            self.not_used = entered.enter_context(options_decide(ranks=several))
            """The settings of the launcher that do not count."""
            with _meeting(several):
                self._accelerator = Accelerator(
                    cpu=wanted.type == "cpu", log_with=list(trackers) or None, dynamo_backend="no", mixed_precision="no"
                )
            self.rank, self.world = self._accelerator.process_index, self._accelerator.num_processes
            self._wraps = torch.distributed.is_initialized()
            if self._wraps and wanted.index is not None:
                raise ConfigurationError(
                    f"--device {device} names one GPU for {self.world} processes; leave it out or write cuda"
                )
            self._environment = entered.pop_all()
        self.device: torch.device = self._accelerator.device if self._wraps else wanted

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints lines."""
        return bool(self.rank == 0)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose backward averages gradients over the processes; `module` itself in a single process."""
        wrapped: nn.Module = self._accelerator.prepare_model(module) if self._wraps else module
        return wrapped

    @contextmanager
    def without_exchange(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Keep backward passes inside the block from exchanging gradients, for all but the last micro-batch of a step."""
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.no_sync(module))
            yield

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return each value summed over the processes."""
        if not self._wraps:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return list(total.tolist())

    def gather(self, items: Sequence[Any]) -> list[Any]:
        """Return the items of all processes, in the order of ranks."""
        return list(gather_object(list(items))) if self._wraps else list(items)

    def stop_if_told(self) -> None:
        """Raise Stopped in all processes if any of them got a signal. All processes must call this equally often."""
        if self.sum([float(stop_requested())])[0]:
            raise Stopped

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self._wraps:
            self._accelerator.wait_for_everyone()

    def start_trackers(self, settings: Mapping[str, Any], outputs: Sequence[Path]) -> None:
        """Tell the trackers that a run starts or goes on, and its settings."""
        if self._accelerator.log_with:
            own = tracker_settings(outputs) if self.main else {}
            self._accelerator.init_trackers("miniend", config=dict(settings), init_kwargs=dict(own))

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers to the trackers."""
        if self._accelerator.log_with:
            self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """End the trackers' run and leave the other processes."""
        with self._environment:
            self._accelerator.end_training()
            reset_accelerate()


@contextmanager
def _meeting(several: bool) -> Iterator[None]:
    """Turn an error of several processes that look for each other into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not several:
            raise
        raise ConfigurationError(
            f"the processes of the launcher do not find each other: {in_one_line(error)}; check MASTER_ADDR and MASTER_PORT, "
            "or start with torchrun"
        ) from error


def require_trackers(names: Sequence[str]) -> None:
    installed = {str(getattr(name, "value", name)) for name in get_available_trackers()}
    available = sorted(name for name in installed if not LOGGER_TYPE_TO_CLASS[name].requires_logging_directory)
    for name in names:
        if name not in available:
            raise ConfigurationError(
                f"--tracker {name!r} is not installed or unknown to accelerate; available here: "
                f"{', '.join(available) or 'none'} (TensorBoard is always written)"
            )
