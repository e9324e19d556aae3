"""The settings of a training run; we check them before we load anything, and without torch.

`StepSettings` says how the steps are made, `LearningSettings` what is learned, `TrainSettings` the student's size and start, and
`TrainConfig` where cache and student are. Field names are the option names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..models.layer_maps import LAYER_MAPS
from ..models.optimizer_settings import OPTIMIZERS, SCHEDULES
from ..models.pruning.widths import PRUNED, require_keep
from ..runtime.durable import is_there
from ..runtime.local_names import path_or_size, path_or_url, start
from ..runtime.options import check, option, require
from ..runtime.registry import NAME
from .objective import CROSS_RELATIONS, OBJECTIVES, STACKS
from .teacher_layers import parse_teacher_layers

DEFAULT_LEARNING_RATE = {"adafactor": 5e-2, "adamw": 1e-3}
"""The learning rate by optimizer, by experiment (docs/results/defaults.md). Adafactor's is relative to each matrix's RMS."""

TEMPERATURES = (0.1, 100.0)
"""The smallest and the largest temperature, as in a dump."""

_NAMED_START = re.compile(f"{NAME.pattern}:")
"""The beginning of `--init START:SOURCE`; `models/start` knows the names."""
HIDDEN_NORMS = ("rms", "none")
"""What hidden states are divided by before they are compared."""
HIDDEN_SCALES = ("energy", "mean")
HIDDEN_METRICS = ("plain", "whitened")
PROJECTIONS = ("auto", "always", "shared")
"""Which maps from the student's hidden states to the teacher's are learned."""

ONE_PASS = "one pass"
"""The mark of settings that students in one pass share."""
VARIED = "varied"
"""The mark of settings that a comparison chooses itself for each student."""


def objectives() -> tuple[str, ...]:
    """Return the names of the objectives, including those that plugins add."""
    return tuple(OBJECTIVES)


def layer_maps() -> tuple[str, ...]:
    """Return the names of the layer maps, including those that plugins add."""
    return tuple(LAYER_MAPS)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSettings:
    """How the steps of a training run are made, whatever it learns."""

    steps: int = option(
        10_000,
        section="essential",
        least=1,
        identity=True,
        marks=(ONE_PASS,),
        help="Optimizer steps. A larger number in a later run continues the student.",
    )
    batch_size: int = option(
        32, section="essential", least=1, identity=True, marks=(ONE_PASS,), help="Examples per optimizer step."
    )
    learning_rate: float | None = option(
        None,
        section="essential",
        shown="0.05 for adafactor, 0.001 for adamw",
        identity="peak_learning_rate",
        marks=(VARIED,),
        help="Learning rate after warm-up.",
    )
    gradient_accumulation_steps: int = option(
        1, section="speed", least=1, identity=True, marks=(ONE_PASS,), help="Micro-batches per optimizer step."
    )
    optimizer: str = option(
        "adafactor",
        section="training",
        choices=tuple(OPTIMIZERS),
        identity=True,
        help="adafactor makes steps relative to each matrix's RMS and at most 1/sqrt(step). adamw has one rate for all "
        "weights.",
    )
    warmup_steps: int | None = option(
        None,
        section="training",
        shown="a hundredth of the steps",
        identity="warmup",
        help="Steps of linear warm-up.",
    )
    schedule: str = option(
        "linear", section="training", choices=SCHEDULES, identity=True, help="Learning rate after warm-up."
    )
    weight_decay: float = option(0.01, section="training", identity=True, help="Decoupled weight decay of matrices.")
    max_grad_norm: float = option(
        1.0, section="training", least=0, identity=True, help="Largest global gradient norm; 0 does not clip."
    )
    bf16: bool = option(
        False,
        section="speed",
        identity=True,
        marks=(ONE_PASS,),
        help="bfloat16 autocast for the student's forward; the losses and evaluation are float32.",
    )
    gradient_checkpointing: bool = option(
        False,
        section="speed",
        help="Compute each block once more in the backward instead of keeping its activations: less memory, slower steps, on a "
        "CPU the same student.",
    )
    log_every: int = option(
        10,
        section="advanced",
        least=1,
        marks=(ONE_PASS,),
        help="Steps between lines of metrics.jsonl and TensorBoard.",
    )
    save_every: int = option(500, section="advanced", least=1, marks=(ONE_PASS,), help="Steps between checkpoints.")
    eval_every: int = option(
        500,
        section="advanced",
        least=1,
        marks=(ONE_PASS,),
        help="Steps between evaluations on the validation examples.",
    )
    tracker: tuple[str, ...] = option(
        (),
        section="advanced",
        shown="none",
        marks=(ONE_PASS,),
        help="Tracker of accelerate, such as wandb or mlflow, to write to in addition to TensorBoard. Repeatable.",
    )

    def __post_init__(self) -> None:
        check(self)
        require(
            self.batch_size % self.gradient_accumulation_steps == 0,
            f"--gradient-accumulation-steps {self.gradient_accumulation_steps} does not divide --batch-size {self.batch_size}",
        )
        require(
            0 < self.peak_learning_rate < 1,
            f"--learning-rate must be between 0 and 1, not {self.peak_learning_rate:g}",
        )
        require(0 <= self.weight_decay < 1, f"--weight-decay must be at least 0 and below 1, not {self.weight_decay:g}")
        require(
            0 <= self.warmup <= self.steps,
            f"--warmup-steps must be between 0 and --steps {self.steps}, not {self.warmup_steps}",
        )

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up."""
        return self.learning_rate if self.learning_rate is not None else DEFAULT_LEARNING_RATE[self.optimizer]

    @property
    def warmup(self) -> int:
        """The number of warm-up steps."""
        return self.warmup_steps if self.warmup_steps is not None else min(self.steps, -(-self.steps // 100))

    def is_logged(self, step: int) -> bool:
        """Return whether step number `step`, counted from 1, gets a line of metrics: first, last or every `log_every`-th."""
        return step == 1 or step % self.log_every == 0 or step == self.steps


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningSettings(StepSettings):
    """What a model learns from a cache, whatever its size and its start."""

    objective: str = option(
        "miniend-e",
        section="essential",
        choices=objectives,
        several=True,
        identity=True,
        help="scratch: hard labels. logits: KL to the cached distribution. minilm: relations of decoder self-attention. "
        "implicit: logits and minilm. miniend-d: implicit and relations of cross-attention. miniend-e: implicit and relations "
        "of encoder self-attention. kd: hard labels and logits. hidden: hidden states of several layers. lwd: kd and hidden, "
        "with learned maps. direct: Q, K and V of self-attentions. Repeatable, like --size.",
    )
    logits: bool = option(
        True, section="training", shown="kept", identity=True, help="Drop the logit term of miniend-d and miniend-e."
    )
    temperature: float = option(
        1.0,
        section="training",
        identity=True,
        marks=(ONE_PASS,),
        help="Temperature of teacher and student in the logit term: 1, or one of the --temperature of the dump; any with "
        "--logits from-hidden.",
    )
    cross_relation: str = option(
        "qk",
        section="training",
        choices=CROSS_RELATIONS,
        identity=True,
        help="Our readings of the paper's cross-attention term: qk is the attention itself, re-headed; qq_kk_vv is MiniLMv2's "
        "form.",
    )
    relation_heads: int | None = option(
        None,
        section="training",
        shown="the largest of 32, 24, 16, 12, 8 that divides both widths",
        identity=True,
        help="Relation heads.",
    )
    weight: tuple[str, ...] = option(
        (),
        section="training",
        metavar="TERM=NUMBER",
        shown="1 for each term",
        identity=True,
        help="Weight of a term: labels, logits, decoder_self, cross, encoder_self, encoder_hidden, decoder_hidden, "
        "encoder_direct or decoder_direct. A weight adds labels or logits to hidden and direct. Repeatable.",
    )
    mapping: str = option(
        "uniform",
        section="layers",
        choices=layer_maps,
        identity=True,
        help="The teacher's layers that a student's layer learns from in hidden and lwd. last: only the last from the last. "
        "uniform: evenly spaced ones. last-k: the teacher's last ones. all: each from its own, at equal depth. consecutive: "
        "groups of neighbours, which are all of the teacher's. uniform+last: two each, of uniform and of last-k.",
    )
    stacks: str = option(
        "both",
        section="layers",
        choices=STACKS,
        identity=True,
        help="The stacks that hidden, lwd, ted and direct compare.",
    )
    teacher_layer: tuple[str, ...] = option(
        (),
        section="layers",
        metavar="SITE=LAYER",
        shown="the deepest that the cache holds",
        identity=True,
        help="The teacher's layer that the student's last layer learns from, such as decoder.self=-2: from 0, or negative from "
        "the end. For relations, for direct, and for hidden with --mapping last. Repeatable.",
    )
    hidden_norm: str = option(
        "rms",
        section="layers",
        choices=HIDDEN_NORMS,
        identity=True,
        help="Hidden states are compared over their root mean square per token (rms), or as they are (none).",
    )
    hidden_scale: str = option(
        "energy",
        section="layers",
        choices=HIDDEN_SCALES,
        identity=True,
        help="The squared error of a hidden state is divided by the teacher's centred energy, so that 1 is no better than a "
        "constant (energy), or by its width (mean).",
    )
    hidden_metric: str = option(
        "plain",
        section="layers",
        choices=HIDDEN_METRICS,
        identity=True,
        help="plain: all directions of a hidden state count alike. whitened: each counts by the inverse of its variance (an "
        "experiment).",
    )
    projection: str = option(
        "auto",
        section="layers",
        choices=PROJECTIONS,
        identity=True,
        help="The map from the student's states to the teacher's. auto: none at equal widths, and else one learned map for each "
        "pair of layers; lwd always learns them. always: learned at equal widths too. shared: one learned map for all layers of "
        "a stack. direct always learns its maps.",
    )
    direct_heads: int | None = option(
        None,
        section="layers",
        least=1,
        shown="1, a map of all heads together",
        identity=True,
        help="Blocks that the learned maps of direct consist of; the number of heads gives a map for each head.",
    )
    filter_steps: int = option(
        500,
        section="layers",
        least=0,
        identity=True,
        help="Steps on hard labels that train the student's own filters, its weights frozen, before an objective ted whose "
        "student --init gave. 0 leaves them random, as in a fresh student.",
    )
    seed: int = option(
        0,
        section="advanced",
        least=0,
        identity=True,
        marks=(ONE_PASS, VARIED),
        help="Seed of the student's weights and of the order of examples.",
    )

    def __post_init__(self) -> None:
        StepSettings.__post_init__(self)
        least, most = TEMPERATURES
        require(
            least <= self.temperature <= most,
            f"--temperature must be between {least:g} and {most:g}, not {self.temperature:g}",
        )
        require(
            self.hidden_metric == "plain" or self.hidden_scale == "energy",
            f"--hidden-metric {self.hidden_metric} has a scale of its own: leave --hidden-scale {self.hidden_scale} out",
        )
        parse_teacher_layers(self.teacher_layer)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings(LearningSettings):
    """Everything that decides a student's weights except the cache: what it learns, its size and its start."""

    size: str | None = option(
        None,
        section="essential",
        metavar="SIZE",
        local=path_or_size,
        several=True,
        shown="half the teacher's depth and width",
        marks=(VARIED,),
        help="6L384H, 6E3D384H for unequal depths, or a T5 config.json. Repeatable: several students train in one pass, each in "
        "OUTPUT/SIZE-OBJECTIVE.",
    )
    init: str | None = option(
        None,
        section="training",
        metavar="[START:]SOURCE",
        local=start,
        shown="fresh weights",
        help="Where the student starts: a checkpoint of a student, which brings its size; teacher-layers:TEACHER for evenly "
        "spaced layers of its teacher, whose width the size must have; or pruned:SORTED for the first heads and neurons of a "
        "teacher that prune-teacher sorted.",
    )
    keep: float | None = option(
        None,
        section="training",
        shown="none",
        marks=(VARIED,),
        help="For --init pruned:SORTED: the fraction of the heads and of the feed-forward's neurons that the student keeps. It "
        "decides the size.",
    )

    def __post_init__(self) -> None:
        LearningSettings.__post_init__(self)
        require(
            not (self.init or "").endswith(":"),
            f"--init {self.init}: expected START:SOURCE, found no source; name a folder or a hub name",
        )
        require(
            not (self.starts_from_checkpoint and self.size),
            f"--init {self.init} is a student with its own size: leave --size {self.size} out, or start from layers of the "
            f"teacher with --init teacher-layers:TEACHER",
        )
        if self.keep is not None:
            require_keep(self.keep)
            require(
                self.starts_pruned,
                f"--keep {self.keep:g} is for --init {PRUNED}:SORTED, "
                + (f"not for --init {self.init}" if self.init else "which is missing; give both"),
            )
        if self.starts_pruned:
            require(self.keep is not None, f"--init {self.init}: give the fraction to keep with --keep, such as 0.5")
            require(not self.size, f"--init {self.init} gives the size by --keep: leave --size {self.size} out")

    @property
    def starts_from_checkpoint(self) -> bool:
        """Whether the student starts as a checkpoint, which has its own size. Else `--init` names a start before a colon."""
        return self.init is not None and not (_NAMED_START.match(self.init) and not is_there(Path(self.init)))

    @property
    def starts_pruned(self) -> bool:
        """Whether the student starts as a prefix of a sorted teacher."""
        return (self.init or "").startswith(f"{PRUNED}:") and not self.starts_from_checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(TrainSettings):
    """The options of `miniend train-student` for one student."""

    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        marks=(ONE_PASS,),
        help="Directory or URL of a cache that dump-teacher wrote.",
    )
    output: Path = option(
        section="essential",
        once=True,
        help="Hugging Face model directory to write. A run that is already there is continued, and only what is to change need "
        "be given.",
    )
    device: str = option("auto", section="speed", marks=(ONE_PASS,), help="auto, cpu, cuda or cuda:N.")
    allow_unfinished: bool = option(
        False,
        section="advanced",
        marks=(ONE_PASS,),
        help="Train on the shards that an unfinished dump has published; a resumed run takes the same ones.",
    )

    @property
    def candidates(self) -> tuple[float, ...]:
        """The fractions to which the weights are cut for each candidate that they make; none for a student."""
        return ()

    @property
    def score_of_candidates(self) -> str | None:
        """The score that each evaluation must allow; None for a student."""
        return None

    @property
    def sampled(self) -> int | None:
        """The number of candidates that a step draws beside the largest and the smallest; None for all."""
        return None


INFORMATION, ACCURACY, KL = "information", "accuracy", "kl"
SCORES = (INFORMATION, ACCURACY, KL)
"""What candidates are compared by; see `recipes/schedule/scores.py`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SandwichConfig(TrainConfig):
    """Everything that decides a sandwich: one set of weights, that of the largest candidate, from which all are cut."""

    keeps: tuple[float, ...] = option(
        section="essential",
        identity=True,
        help="Fractions of the sorted teacher, the largest first; `keep` is the first.",
    )
    sandwich_sample: int | None = option(
        None, section="training", least=0, shown="all", help="Candidates that a step draws."
    )
    score: str = option(INFORMATION, section="essential", choices=SCORES, help="What candidates are compared by.")

    @property
    def candidates(self) -> tuple[float, ...]:
        """The fractions to which the weights are cut."""
        return self.keeps

    @property
    def score_of_candidates(self) -> str | None:
        """The score that each evaluation must allow."""
        return self.score

    @property
    def sampled(self) -> int | None:
        """The number of candidates that a step draws beside the largest and the smallest; None for all."""
        return self.sandwich_sample


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRequest(TrainConfig):
    """The options of the command line: the options of a student, and what to do with them."""

    dry_run: bool = option(
        False,
        section="essential",
        once=True,
        help="Write nothing: do a few steps and say what the run would take in memory, FLOPs, disk, epochs and hours.",
    )
    push_to_hub: str | None = option(
        None,
        section="advanced",
        metavar="USER/NAME",
        shown="none",
        help="Upload the finished student to the Hugging Face hub as this model; several students as NAME-SIZE-OBJECTIVE.",
    )
    hub_private_repo: bool = option(
        False,
        section="advanced",
        shown="the hub's own: public, unless the organization says otherwise",
        help="For --push-to-hub: make a new model private. One that exists stays as it is.",
    )


def each_student(config: TrainConfig, sizes: Sequence[str | None], objectives: Sequence[str]) -> list[TrainConfig]:
    """Return one configuration per size and objective; several get a folder each, OUTPUT/SIZE-OBJECTIVE
    (OUTPUT/OBJECTIVE if no size is given).

    Raises ConfigurationError if two of them have the same name.
    """
    pairs = [(size, objective) for size in sizes or [None] for objective in objectives]
    if len(pairs) == 1:
        return [replace(config, size=pairs[0][0], objective=pairs[0][1])]
    names = [objective if size is None else f"{size_name(size)}-{objective}" for size, objective in pairs]
    require(
        len(set(names)) == len(names),
        f"students in one pass must differ in size or objective; found {', '.join(names)}",
    )
    return [
        replace(config, size=size, objective=objective, output=config.output / name)
        for (size, objective), name in zip(pairs, names, strict=True)
    ]


def size_name(size: str) -> str:
    """Return the size itself, or for a config.json the name of its folder, to name a student's folder after."""
    path = Path(size)
    return path.absolute().parent.name if path.suffix == ".json" else path.name
