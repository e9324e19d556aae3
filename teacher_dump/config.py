"""The settings of a dump, checked before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..signals.logits.code import LOGIT_KINDS
from ..storage.layout import MAXIMUM_SHARDS
from ..storage.positions import parse_ranges
from .teacher import DTYPES

CHOICES: dict[str, tuple[str, ...]] = {
    "task": ("span-corruption", "pairs"),
    "relation_temperature": ("published", "calibrated"),
    "logits": (*LOGIT_KINDS, "none"),
    "codec": ("pcodec", "zstd"),
    "dtype": tuple(DTYPES),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DumpConfig:
    """What `miniend dump-teacher` is asked for. Field names are the command line's option names."""

    teacher: str
    """Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint."""
    corpus: str | tuple[str, ...]
    """`python-docs`, a file or glob, or `hf:NAME[:CONFIG][@REVISION]`; several are mixed."""
    cache: str | Path
    """Directory or s3://, gs://, az:// URL of the cache; a dump that is already there is continued."""
    examples: int
    """Training examples; may grow in a later run."""
    teacher_revision: str | None = None
    """Branch, tag or commit of a hub teacher."""
    corpus_weight: tuple[float, ...] = ()
    """Share of the documents, one per corpus in their order; none for equal shares."""
    shuffle_buffer: int = 0
    """Documents among which the next one is drawn; 0 keeps the order of the corpora."""
    field: tuple[str, ...] = ("text",)
    """Field of every corpus that holds the text, or the two fields of a pair."""
    split: str = "train"
    """Split of the `hf:` corpora."""
    task: str = "span-corruption"
    input_length: int = 512
    """Input tokens per example, EOS included; the longest for pairs."""
    target_length: int = 128
    """Longest target of a pair; span corruption derives its own."""
    noise_density: float = 0.15
    mean_noise_span_length: float = 3.0
    corpus_epochs: int = 1
    """How often the corpus may be gone through, with fresh corruptions each time."""
    validation_examples: int = 512
    seed: int = 0
    signals: str = "encoder.self,decoder.self,decoder.cross"
    """Sites whose Q, K and V, or whose hidden states, are cached."""
    relation_kl: float = 1e-3
    """Mean KL in nats between the teacher's relations and the cached ones."""
    relation_step: float | None = None
    """Fixed quantiser step instead of a target KL, in units of the direction of Q, K and V in which errors cost most KL."""
    relation_rank: int | None = None
    """Most components per code."""
    relation_temperature: str = "published"
    hidden_error: float = 1e-3
    """Squared error of cached hidden states relative to their energy about their mean (`signals/hidden.py`)."""
    logits: str = "hybrid"
    top_k: int = 64
    """Entries kept per target position by `top-k`."""
    top_p: float = 1.0
    """Mass at which a `top-k` list may end before k."""
    temperatures: tuple[float, ...] = ()
    """Temperatures beside 1 at which students may ask for `top-k`."""
    draws: int = 20
    """N of `sampled` and `hybrid`."""
    logit_step: float = 1 / 8
    """Quantiser step of log-probabilities, in nats."""
    calibration_examples: int = 160
    batch_size: int = 16
    shard_examples: int = 256
    dtype: str = "float32"
    device: str = "auto"
    threads: int | None = None
    """CPU threads of the forward, part of the plan; the plan's own, or for a new one `default_threads()`, unless given."""
    shards: str | None = None
    """Positions in the shard table to dump, `A:B` with commas; all by default."""
    codec: str = "pcodec"
    mixed_environment: bool = False
    """Go on with a cache that another machine or other library versions began; byte identity is then not promised."""
    force: bool = False
    """Begin the shards even where the disk seems too small for them."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"{option(name)} {getattr(self, name)!r}: expected one of {', '.join(choices)}"
                )
        for name in (
            "examples",
            "input_length",
            "target_length",
            "corpus_epochs",
            "top_k",
            "draws",
            "batch_size",
            "shard_examples",
        ):
            _require(getattr(self, name) >= 1, f"{option(name)} must be at least 1, not {getattr(self, name)}")
        _require(bool(self.corpora), "--corpus: expected at least one, found none")
        _require(self.shuffle_buffer >= 0, "--shuffle-buffer must not be negative")
        _require(self.validation_examples >= 0, "--validation-examples must not be negative")
        shards = (self.examples + self.validation_examples) // self.shard_examples
        _require(
            shards < MAXIMUM_SHARDS, f"--shard-examples is too small: {shards:,} shards, at most {MAXIMUM_SHARDS:,}"
        )
        _require(
            self.examples >= 3, "--examples must be at least 3: calibration needs one each for basis, step and report"
        )
        _require(
            self.calibration_examples >= 3,
            "--calibration-examples must be at least 3: basis, step and report need one each",
        )
        _require(self.threads is None or self.threads >= 1, f"--threads must be at least 1, not {self.threads}")
        if self.shards is not None:
            parse_ranges(self.shards)
        _require(self.relation_kl > 0, "--relation-kl must be positive")
        _require(self.relation_step is None or self.relation_step > 0, "--relation-step must be positive")
        _require(self.relation_rank is None or self.relation_rank >= 1, "--relation-rank must be at least 1")
        _require(0 < self.hidden_error < 1, "--hidden-error must lie between 0 and 1")
        _require(0 < self.top_p <= 1, "--top-p must lie above 0 and be at most 1")
        _require(1e-5 <= self.logit_step <= 1, "--logit-step must lie between 1e-5 and 1 nats")
        self._check_temperatures()
        _require(self.seed >= 0, "--seed must not be negative")
        _require(0 < self.noise_density < 1, "--noise-density must lie between 0 and 1")
        fields = 2 if self.task == "pairs" else 1
        _require(
            len(self.field) == fields,
            f"--task {self.task} needs {fields} --field, found {len(self.field)}: {', '.join(self.field)}",
        )
        _require(
            self.task != "pairs" or self.corpus_epochs == 1,
            "--corpus-epochs needs fresh corruptions; pairs would only be repeated, so leave it at 1",
        )

    def _check_temperatures(self) -> None:
        _require(
            self.logits == "top-k" or not self.temperatures,
            f"--temperatures needs --logits top-k: what {self.logits} draws at temperature 1 stands for no other",
        )
        for value in self.temperatures:
            _require(
                0.1 <= value <= 100 and value != 1,
                f"--temperatures must lie between 0.1 and 100 and not be 1, which is always there; found {value:g}",
            )
        _require(
            len(set(self.temperatures)) == len(self.temperatures),
            "--temperatures: expected different ones, found one twice",
        )

    @property
    def corpora(self) -> tuple[str, ...]:
        """The names of the corpora, one or several."""
        return (self.corpus,) if isinstance(self.corpus, str) else self.corpus


def option(name: str) -> str:
    """A field's name as the command line writes it."""
    return "--" + name.replace("_", "-")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)
