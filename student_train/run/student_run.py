"""One student in training: its steps, its lines of the log, its checkpoints and its output."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ...errors import NotFiniteError, shortened
from ...models.optimizers import load_optimizer_tensors, optimizer_tensors
from ...models.save import save_student
from ...runtime.identity import require_same
from ...runtime.printing import Result, Verdict
from ...runtime.progress import Log
from ...storage.documents.parse import parse_plain
from ..distillation import Part
from ..reading.batch import Batch
from ..terms.labels import Labels
from .card_facts import card_facts
from .checkpoint import Checkpoint, damaged_checkpoint, latest_checkpoint, remove_older, save_checkpoint
from .directory import CHECKPOINTS, changed_plugins, stages_of
from .growth import Stage
from .loss_lines import of_terms
from .metrics import VALIDATION, MetricsLog
from .model_card import model_card
from .processes import Processes
from .projections import save_projections
from .setup import Setup
from .stage_one import train_own_filters
from .state import Clock, TrainingState
from .verdict import judged, verdict, verdict_on_states

BEST = "best"
TRAINED, MEASURED, OPTIMIZER = "trained", "measured", "optimizer"
"""The kinds of tensors in a checkpoint: parameters by name in the distillation, the buffers of terms, and optimizer state."""
ANOTHER_TERM = "Use the terms as they were when it started, or another --output"
"""What to do if a checkpoint has other parameters than the student and the terms of this run."""


class StudentRun:
    """One student's run, from a `Setup`.

    Only the main process writes files. `prefix` distinguishes its numbers in a tracker from another student's.
    """

    def __init__(self, setup: Setup, processes: Processes, prefix: str = "") -> None:
        self.setup, self.state = setup, TrainingState()
        self.module = processes.wrap(setup.distillation)
        self._processes, self._prefix = processes, prefix
        self._log: MetricsLog | None = None
        self._sums: dict[str, Tensor] = {}
        self._losses: list[tuple[Tensor, tuple[int, ...]]] = []
        self.clock = Clock(0)
        self.failed = False
        self._limited: set[str] = set()
        self.stages: tuple[Stage, ...] = ()
        """The stages of the run, which has some if it was continued with more steps."""

    @property
    def name(self) -> str:
        """The name of its output directory."""
        return self.setup.config.output.name

    def restore(self, log: Log) -> None:
        """Continue from the latest checkpoint, if there is one, and open the log."""
        setup, output = self.setup, self.setup.config.output
        model_card(
            card_facts(setup, self.state)
        )  # what it takes from the cache may be wrong, which is better known now
        self.stages = stages_of(output)
        checkpoint = latest_checkpoint(output / CHECKPOINTS)
        if checkpoint is not None:
            saved = _by_kind(checkpoint)
            state = _state_of(checkpoint, setup.config.steps)
            for kind, own in self._tensors().items():
                theirs, ours = ({name: list(one.shape) for name, one in part.items()} for part in (saved[kind], own))
                require_same(f"{output} holds a run of other parameters", theirs, ours, ANOTHER_TERM)
                with torch.no_grad():
                    for name, tensor in own.items():
                        tensor.copy_(saved[kind][name])
            load_optimizer_tensors(setup.optimizer, saved[OPTIMIZER])
            self.state = state
            if self._processes.main:
                remove_older(output / CHECKPOINTS)
            log(f"resumed at step {checkpoint.step}")
            for name in changed_plugins(output):
                log(
                    f"  warning: the plugin {name} has changed since this run began; its first steps were made with other code"
                )
        else:
            train_own_filters(setup, self._processes, log)
        self._log = MetricsLog(output, self._logged_until()) if self._processes.main else None
        self.clock = Clock(self.state.tokens)
        setup.distillation.train()

    def _logged_until(self) -> int:
        """Return the last step whose line is final. After a checkpoint during an evaluation, a resumed run writes the line."""
        return self.state.step - (self.state.unlogged is not None)

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the student's forward: bfloat16 if the run asks for it."""
        return torch.autocast(self.setup.feed.device.type, torch.bfloat16, enabled=self.setup.config.bf16)

    def counts(self, batch: Batch) -> list[int]:
        """Return the numbers that the sums of a batch are divided by, in the order of the loss's parts."""
        counts = self.setup.distillation.counts(batch)
        return [counts[part.name] for part in self.setup.distillation.parts]

    def note(self, sums: Mapping[str, Tensor], loss: Tensor, batch: Batch, share: float = 1.0) -> None:
        """Keep the loss of a micro-batch, and `share` of its sums, until the step is complete."""
        self._losses.append((loss.detach(), batch.examples))
        self._sums = {name: self._sums.get(name, 0.0) + share * value.detach().double() for name, value in sums.items()}

    def step_sums(self) -> dict[str, float]:
        """Return the sums of the step over micro-batches and processes, and forget them; waits for the device once."""
        values = torch.stack(list(self._sums.values())).tolist()
        total = dict(zip(self._sums, self._processes.sum(values), strict=True))
        self._sums = {}
        return total

    def require_finite(self, loss: float, norm: float, terms: Mapping[str, float]) -> None:
        """Raise NotFiniteError, before the update, if the loss, which sums the terms, or its gradient is not finite."""
        if math.isfinite(loss + norm):
            self._losses = []
            return
        self.failed = True
        parts = self._processes.gather([(bool(value.isfinite()), examples) for value, examples in self._losses])
        broken = [number for finite, examples in parts for number in examples if not finite]
        broken = broken or [number for _, examples in parts for number in examples]  # only the gradient is not finite
        shown = ", ".join(map(str, sorted(broken)[:32])) + (", ..." if len(broken) > 32 else "")
        guilty = [f"{name} {value}" for name, value in terms.items() if not math.isfinite(value)]
        in_term = f"; not finite is {', '.join(guilty)}" if guilty else ""
        raise NotFiniteError(
            f"{self.setup.config.output}: the loss or its gradient is not finite at step {self.state.step + 1} (loss {loss}, "
            f"gradient norm {norm}{in_term}), met in examples {shown}; the last checkpoint is kept. Train again, into another "
            "--output, with a lower --learning-rate, a longer --warmup-steps or without --bf16 (--init goes on from a student)"
        )

    def advance(self, loss: float, tokens: int, metrics: Mapping[str, float]) -> None:
        """Count a step that was made; `metrics` are the values to log, empty for most steps."""
        state = self.state
        state.step, state.loss = state.step + 1, loss
        state.tokens += tokens
        if state.step == 1:
            state.initial_loss = loss
        state.unlogged = {**metrics, **self.clock.read(state.tokens)} if metrics else {}

    def log(self, validation: dict[str, float] | None) -> bool:
        """Write the step's line, if it has one. Save a student with the smallest validation loss so far, and return True."""
        state, best = self.state, self.state.best
        line = dict(state.unlogged or {})
        if validation is not None:
            state.validation = validation
            line |= {f"{VALIDATION}{name}": value for name, value in validation.items()}
            if validation and validation["loss"] < (math.inf if state.best is None else state.best):
                state.best = validation["loss"]
                self._write_model(self.setup.config.output / BEST)
        if line and self._log is not None:
            self._log.log(state.step, line)
            self._processes.track({self._prefix + key: value for key, value in line.items()}, state.step)
        state.unlogged = None
        return state.best != best

    def save(self) -> None:
        """Save a checkpoint: parameters and buffers of student and terms, the optimizer state and the numbers of the run."""
        if self._processes.main and self.state.step:
            tensors = {
                f"{kind}/{name}": tensor.detach()
                for kind, own in self._tensors().items()
                for name, tensor in own.items()
            }
            tensors |= {f"{OPTIMIZER}/{name}": t for name, t in optimizer_tensors(self.setup.optimizer).items()}
            state = asdict(self.state)
            save_checkpoint(self.setup.config.output / CHECKPOINTS, state.pop("step"), tensors, state)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return what a checkpoint holds beside the optimizer's state: all parameters, and the buffers of the terms."""
        distillation = self.setup.distillation
        return {TRAINED: dict(distillation.named_parameters()), MEASURED: dict(distillation.terms.named_buffers())}

    def newly_limited(self, validation: Mapping[str, float]) -> list[str]:
        """Return a warning if parts have come so near to the cached signals that the error of the cache limits them by now."""
        limited = {
            name
            for term, own in self.setup.distillation.each_term()
            for part, least in own.limits().items()
            if validation.get(name := Part(term, part).name, math.inf) < least
        }
        new = sorted(limited - self._limited)
        self._limited |= limited
        if not new:
            return []
        return [
            f"{', '.join(new)}: the error of the cache is more than a twentieth of the student's and limits it from here on; "
            "a dump with a smaller error would teach it more"
        ]

    def finish(self, log: Log, named: bool = False) -> None:
        """Write the model directory, and say how the student is, by its name if there are several."""
        state, output = self.state, self.setup.config.output
        self._write_model(output)
        losses = ", ".join(f"{name} {value:.4f}" for name, value in of_terms(state.validation).items())
        who = f"{self.name}: " if named else ""
        text = f"{who}trained {state.step} steps, {state.tokens:,} tokens; validation: {losses or 'no validation examples'}"
        log(Result(text))
        if Labels.validation_name in state.validation:
            loss = state.validation[Labels.validation_name]
            log(Verdict(who + verdict(judged(self.setup.student, self.setup.feed.cache, loss))))
        if told := verdict_on_states(state.validation):
            log(Verdict(who + told))
        log(Result(f"wrote {output}"))

    def _write_model(self, folder: Path) -> None:
        if self._processes.main:
            save_projections(self.setup.distillation, folder)
            facts = card_facts(self.setup, self.state)
            save_student(self.setup.student, folder, self.setup.feed.cache.tokenizer_files(), model_card(facts))

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()


def _state_of(checkpoint: Checkpoint, steps: int) -> TrainingState:
    """Return the numbers of a checkpoint. Raise TrainingError for numbers that no run of so many steps has."""
    try:
        state = parse_plain(TrainingState, {**checkpoint.state, "step": checkpoint.step})
    except ValueError as error:
        raise damaged_checkpoint(checkpoint.path, error) from error
    if state.step > steps:
        raise damaged_checkpoint(checkpoint.path, f"its step {state.step:,} is after the last one, {steps:,}")
    return state


def _by_kind(checkpoint: Checkpoint) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a checkpoint by kind, and by name. Raise TrainingError for other tensors."""
    by_kind: dict[str, dict[str, Tensor]] = {TRAINED: {}, MEASURED: {}, OPTIMIZER: {}}
    for path, tensor in checkpoint.tensors.items():
        kind, _, name = path.partition("/")
        if kind not in by_kind:
            raise damaged_checkpoint(checkpoint.path, f"it holds a tensor {shortened(path)}")
        by_kind[kind][name] = tensor
    return by_kind
