"""The settings of a training run, checked before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigurationError
from ..models.optimizer_settings import OPTIMISERS
from ..models.optimizers import SCHEDULES

DEFAULT_SIZE = "6L384H"
"""The student of the MiniEnD paper."""

DEFAULT_LEARNING_RATE = {"adamw": 3e-4, "adafactor": 1e-2}
"""AdamW: MiniMoE's and MiniMA's (same author); Adafactor: relative to each matrix's RMS, T5's own pre-training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What `miniend train-student` is asked for. Field names are the command line's option names."""

    cache: str | Path
    output: Path
    """A Hugging Face model directory; a run that is already there is continued."""
    size: str | None = None
    """`6L384H` (the default), `6E3D384H`, or a T5 config.json; with `init` the checkpoint has its own."""
    objective: str = "miniend-e"
    logits: bool = True
    temperature: float = 1.0
    """Of teacher and student in the logit term; other than 1 it must be one that the cache was dumped with."""
    cross_relation: str = "qk"
    relation_heads: int | None = None
    weight: tuple[str, ...] = ()
    """Weights of terms, e.g. `cross=0.5`; 1 otherwise."""
    steps: int = 10_000
    batch_size: int = 32
    """Examples per optimiser step."""
    gradient_accumulation_steps: int = 1
    """Forward passes that a step's batch is split into."""
    optimizer: str = "adamw"
    learning_rate: float | None = None
    warmup_steps: int | None = None
    """One hundredth of the steps unless given."""
    schedule: str = "linear"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    """Largest global gradient norm; 0 does not clip."""
    bf16: bool = False
    gradient_checkpointing: bool = False
    """Recompute each block in the backward instead of keeping its activations: less memory, slower steps."""
    device: str = "auto"
    seed: int = 0
    init: str | None = None
    """Checkpoint of a student to go on from."""
    init_from_teacher: str | None = None
    """Teacher checkpoint whose evenly spaced layers the student starts from; the size must have its width."""
    log_every: int = 10
    save_every: int = 500
    eval_every: int = 500
    allow_unfinished: bool = False
    tracker: tuple[str, ...] = ()
    """Experiment trackers of accelerate's, e.g. `wandb`, beside metrics.jsonl and TensorBoard."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "gradient_accumulation_steps", "log_every", "save_every", "eval_every"):
            _require(
                getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}"
            )
        _require(self.temperature > 0, f"--temperature must be positive, not {self.temperature:g}")
        _require(self.optimizer in OPTIMISERS, f"--optimizer {self.optimizer!r}: expected {' or '.join(OPTIMISERS)}")
        _require(self.schedule in SCHEDULES, f"--schedule {self.schedule!r}: expected one of {', '.join(SCHEDULES)}")
        _require(self.seed >= 0, "--seed must not be negative")
        _require(self.max_grad_norm >= 0, "--max-grad-norm must not be negative; 0 does not clip")
        _require(
            self.batch_size % self.gradient_accumulation_steps == 0,
            f"--gradient-accumulation-steps {self.gradient_accumulation_steps} does not divide --batch-size {self.batch_size}",
        )
        _require(
            0 <= self.warmup <= self.steps,
            f"--warmup-steps must lie between 0 and --steps {self.steps}, not {self.warmup_steps}",
        )
        _require(not (self.init and self.size), "--init brings a student of its own size; leave --size out")
        _require(not (self.init and self.init_from_teacher), "--init and --init-from-teacher: give one of them")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up."""
        return self.learning_rate if self.learning_rate is not None else DEFAULT_LEARNING_RATE[self.optimizer]

    @property
    def warmup(self) -> int:
        """Warm-up steps."""
        return self.warmup_steps if self.warmup_steps is not None else min(self.steps, -(-self.steps // 100))

    def is_logged(self, step: int) -> bool:
        """Whether step number `step`, counted from 1, gets a line of metrics: every `log_every`-th, the first and the last."""
        return step == 1 or step % self.log_every == 0 or step == self.steps


def each_student(config: TrainConfig, sizes: Sequence[str | None], objectives: Sequence[str]) -> list[TrainConfig]:
    """One configuration per size and objective; of several, each has its own folder OUTPUT/SIZE-OBJECTIVE
    (OUTPUT/OBJECTIVE of students that start from one checkpoint).

    Raises ConfigurationError where one is named twice.
    """
    pairs = [(size, objective) for size in sizes or [None] for objective in objectives]
    if len(pairs) == 1:
        return [replace(config, size=pairs[0][0], objective=pairs[0][1])]
    names = [
        objective if config.init else f"{size_name(size or DEFAULT_SIZE)}-{objective}" for size, objective in pairs
    ]
    _require(
        len(set(names)) == len(names),
        f"students in one pass must differ in size or objective; found {', '.join(names)}",
    )
    return [
        replace(config, size=size, objective=objective, output=config.output / name)
        for (size, objective), name in zip(pairs, names, strict=True)
    ]


def size_name(size: str) -> str:
    """What a folder is named after: the size itself, or the name of the folder that holds a config.json."""
    path = Path(size)
    return path.absolute().parent.name if path.suffix == ".json" else path.name


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)
