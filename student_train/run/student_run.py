"""One student in training: its steps, its lines of the log, its checkpoints and what it leaves behind."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from ...errors import NotFiniteError
from ...models.optimizers import learning_rate_at, load_optimiser_tensors, optimiser_tensors, set_learning_rate
from ...models.student import save_student
from ...runtime.progress import Say
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .card_facts import card_facts
from .checkpoint import latest_checkpoint, save_checkpoint
from .clock import Clock
from .directory import CHECKPOINTS
from .gradient_norms import gradient_norms
from .metrics import HELD_OUT, MetricsLog
from .model_card import model_card
from .processes import Processes
from .setup import Setup
from .state import TrainingState

BEST = "best"


class StudentRun:
    """Works on one `Setup`. Only the main process writes files; `prefix` tells its numbers from another's in a tracker."""

    def __init__(self, setup: Setup, processes: Processes, prefix: str = "") -> None:
        self.setup, self.state = setup, TrainingState()
        self.module = processes.wrap(setup.distillation)
        self._processes, self._prefix = processes, prefix
        self._log: MetricsLog | None = None
        self._sums: dict[str, Tensor] = {}
        self._losses: list[tuple[Tensor, tuple[int, ...]]] = []
        self.clock = Clock(0)
        self.failed = False

    @property
    def name(self) -> str:
        """Of its output directory."""
        return self.setup.config.output.name

    def restore(self, say: Say) -> None:
        """Go on from the latest checkpoint, if there is one, and open the log."""
        setup, output = self.setup, self.setup.config.output
        checkpoint = latest_checkpoint(output / CHECKPOINTS)
        if checkpoint is not None:
            parameters = {f"student/{name}": parameter for name, parameter in setup.student.named_parameters()}
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(checkpoint.tensors[name])
            state = {name: tensor for name, tensor in checkpoint.tensors.items() if name not in parameters}
            load_optimiser_tensors(setup.optimiser, {n.removeprefix("optimiser/"): t for n, t in state.items()})
            self.state = TrainingState(step=checkpoint.step, **checkpoint.state)
            say(f"resumed at step {checkpoint.step}")
        self._log = MetricsLog(output, self._logged_until()) if self._processes.main else None
        self.clock = Clock(self.state.tokens)
        setup.student.train()

    def _logged_until(self) -> int:
        """The last step whose line stands; a checkpoint made in an evaluation leaves that of its own step to whoever goes on."""
        return self.state.step - (self.state.unlogged is not None)

    def counts(self, batch: Batch) -> list[int]:
        """How much each part of the loss sums for a batch, in the order of the parts."""
        found = self.setup.distillation.counts(batch)
        return [found[part.name] for part in self.setup.distillation.parts]

    def add(self, batch: Batch, teacher: TeacherSignals, counts: Mapping[str, float]) -> None:
        """Forward and backward of one micro-batch; `counts` are those of the whole step, all processes included."""
        setup = self.setup
        with torch.autocast(setup.feed.device.type, torch.bfloat16, enabled=setup.config.bf16):
            found = self.module(batch, teacher)
        loss = setup.distillation.total(found, counts) * self._processes.world  # whose gradients are averaged
        loss.backward()
        self._losses.append((loss.detach(), batch.examples))
        self._sums = {name: self._sums.get(name, 0.0) + value.detach().double() for name, value in found.items()}

    def update(self, counts: Mapping[str, float], tokens: int) -> None:
        """The optimiser step after every micro-batch was added; notes what there is to log.

        Gradient norms are those before clipping; those by part are taken in steps that are logged alone.

        Raises NotFiniteError, before the update, when the loss or its gradient is not finite.
        """
        setup, config, state = self.setup, self.setup.config, self.state
        terms = setup.distillation.term_means(self._total(), counts)
        loss = sum(setup.objective.weights[term] * mean for term, mean in terms.items())
        parts = gradient_norms(setup.student) if config.is_logged(state.step + 1) else {}
        norm = self._clip()
        if not math.isfinite(loss + norm):
            self._refuse(state.step + 1, loss, norm)
        self._losses = []
        state.step, state.loss = state.step + 1, loss
        state.tokens += tokens
        if state.step == 1:
            state.initial_loss = loss
        rate = learning_rate_at(state.step, config.steps, config.peak_learning_rate, config.warmup, config.schedule)
        rate = set_learning_rate(setup.optimiser, rate, state.step)
        setup.optimiser.step()
        setup.optimiser.zero_grad(set_to_none=True)
        state.unlogged = {}
        if config.is_logged(state.step):
            state.unlogged = {"loss": loss, **terms, "gradient_norm": norm, **parts, "learning_rate": rate}
            state.unlogged |= self.clock.read(state.tokens)

    def _total(self) -> dict[str, float]:
        """The sums of the step over micro-batches and processes; one wait for the device."""
        values = torch.stack(list(self._sums.values())).tolist()
        total = dict(zip(self._sums, self._processes.sum(values), strict=True))
        self._sums = {}
        return total

    def _clip(self) -> float:
        parameters = [p for p in self.setup.student.parameters() if p.grad is not None]
        limit = self.setup.config.max_grad_norm
        return float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))

    def _refuse(self, step: int, loss: float, norm: float) -> NoReturn:
        self.failed = True
        parts = self._processes.gather([(bool(value.isfinite()), examples) for value, examples in self._losses])
        broken = [number for finite, examples in parts for number in examples if not finite]
        broken = broken or [number for _, examples in parts for number in examples]  # the gradient alone
        shown = ", ".join(map(str, sorted(broken)[:32])) + (", ..." if len(broken) > 32 else "")
        raise NotFiniteError(
            f"{self.setup.config.output}: the loss or its gradient is not finite at step {step} (loss {loss}, gradient norm "
            f"{norm}), met in examples {shown}; the last checkpoint is kept. Train again, into another --output, with a lower "
            "--learning-rate, a longer --warmup-steps or without --bf16 (--init goes on from a student)"
        )

    def log(self, held_out: dict[str, float] | None) -> None:
        """Write the step's line, if it has one, and keep the student where it is the best so far."""
        state = self.state
        line = dict(state.unlogged or {})
        if held_out is not None:
            state.held_out = held_out
            line |= {f"{HELD_OUT}{name}": value for name, value in held_out.items()}
            if held_out and held_out["loss"] < (math.inf if state.best is None else state.best):
                state.best = held_out["loss"]
                self._write_model(self.setup.config.output / BEST)
        if line and self._log is not None:
            self._log.log(state.step, line)
            self._processes.track({self._prefix + key: value for key, value in line.items()}, state.step)
        state.unlogged = None

    def save(self) -> None:
        """A checkpoint of where the run stands."""
        if self._processes.main and self.state.step:
            tensors = {f"student/{name}": p.detach() for name, p in self.setup.student.named_parameters()}
            tensors |= {f"optimiser/{n}": t for n, t in optimiser_tensors(self.setup.optimiser).items()}
            state = asdict(self.state)
            save_checkpoint(self.setup.config.output / CHECKPOINTS, state.pop("step"), tensors, state)

    def finish(self, say: Say) -> None:
        """Write the model directory."""
        state, output = self.state, self.setup.config.output
        self._write_model(output)
        found = ", ".join(f"{name} {value:.4f}" for name, value in state.held_out.items())
        say(f"trained {state.step} steps, {state.tokens:,} tokens; held-out: {found or 'no validation examples'}")
        say(f"wrote {output}")

    def _write_model(self, folder: Path) -> None:
        if self._processes.main:
            facts = card_facts(self.setup, self.state)
            save_student(self.setup.student, folder, self.setup.feed.cache.tokenizer_files(), model_card(facts))

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
