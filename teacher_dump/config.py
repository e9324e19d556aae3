"""The settings of a dump; we check them before we load anything, and without torch.

`ExampleSettings` says which examples there are, `DumpSettings` which signals we keep and how fast, `TeacherSettings` which
teacher and which part, and `DumpConfig` where the cache is. Field names are the option names.
"""

from dataclasses import dataclass
from pathlib import Path

from ..runtime.local_names import corpus as corpus_name
from ..runtime.local_names import path_or_name, path_or_url
from ..runtime.options import changed_from_defaults, check, flag_of, marked, option, require
from ..signals.choices import FROM_HIDDEN, HIDDEN_CODES, LOGIT_KINDS, NOTHING, PREDICTED, RELATION_TEMPERATURES
from ..storage.documents.values import LARGEST_LENGTH, MOST_THREADS, PIPELINES, READS_PADDING
from ..storage.positions import MAXIMUM_SHARDS, parse_ranges

DEFAULT_FIELDS = {"span-corruption": ("text",), "pairs": ("input", "target"), "text": ("text",)}
"""The default fields of the corpus, by task."""
DEFAULT_SITES = {
    **dict.fromkeys(("span-corruption", "pairs"), ("encoder.self", "decoder.self", "decoder.cross")),
    "text": ("encoder.final",),
}
"""The sites that are cached unless others are named, by task."""
NAMED_ORDER, REVERSED_ORDER = "named", "reversed"
"""The orders in which span corruption can use the sentinels: from <extra_id_0> up, or from the last one down."""
OF_PAIRS, OF_SPANS, OF_TEXT = "pairs", "span-corruption", "text"
"""The marks of options that only some tasks have; they are the names of the tasks."""
HIDDEN_ERROR, HIDDEN_ERROR_OF_LOGITS = 1e-2, 1e-3
"""The default error of hidden states: for matching states, and for states that the teacher's head makes logits of."""
DEFAULT_LOGITS = "hybrid"
TEACHER_DTYPES = ("float32", "bfloat16")
CODECS = ("pcodec", "zstd")


def default_hidden_error(logits: str) -> float:
    """Return the target of hidden states that is used unless one is given: a tenth where they stand for logits."""
    return HIDDEN_ERROR_OF_LOGITS if logits == FROM_HIDDEN else HIDDEN_ERROR


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSettings:
    """The settings that decide the examples and their order."""

    corpus: str | tuple[str, ...] = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=corpus_name,
        help="python-docs, python-source; a file or quoted glob of .txt, .jsonl, .json, .csv, .tsv, .fasta (each also .gz or "
        ".zst) or .parquet; a folder of datasets.save_to_disk; or hf:NAME[:CONFIG][@REVISION], also of a local folder. "
        "Repeatable: several corpora are mixed document by document; when one ends, the others go on.",
    )
    examples: int = option(
        section="essential", least=1, help="Training examples. A larger number in a later run appends."
    )
    corpus_weight: tuple[float, ...] = option(
        (),
        section="corpus",
        shown="equal shares",
        help="Share of the documents, relative to the others: one per --corpus, in their order. Repeatable.",
    )
    shuffle_buffer: int = option(
        0,
        section="corpus",
        least=0,
        help="Documents in memory from which the next one is drawn; 0 keeps the order of the corpora.",
    )
    drop_duplicates: bool = option(
        False,
        section="corpus",
        help="Leave out documents that came before, with all their texts. Takes about 100 bytes of memory for each document.",
    )
    field: tuple[str, ...] = option(
        (),
        section="corpus",
        shown="text, or input and target for --task pairs",
        help="Field that holds the text, of every corpus; twice for --task pairs. a.b is a field inside another. Or name one, "
        "or two, for each --corpus in their order. Repeatable.",
    )
    split: str = option("train", section="corpus", help="Split of hf: corpora and of saved datasets.")
    task: str | None = option(
        None,
        section="corpus",
        choices=tuple(DEFAULT_FIELDS),
        shown="span-corruption; text with --encoder-only",
        help="T5 span corruption of text, ready-made pairs of input and target, or, for an encoder only, each text as it is.",
    )
    encoder_only: bool = option(
        False,
        section="essential",
        help="Use only the teacher's encoder: a T5EncoderModel, or that of a full checkpoint. It reads each text as it is.",
    )
    input_length: int = option(512, section="essential", least=1, help="Input tokens per example, EOS included.")
    shortest_input_length: int | None = option(
        None,
        section="corpus",
        marks=(OF_SPANS,),
        least=1,
        shown="--input-length",
        help="Draw the length of each example between this and --input-length, all alike, so that a model which is trained on "
        "them does not learn the end of a target by its position.",
    )
    prefix: str | None = option(
        None,
        section="corpus",
        marks=(OF_PAIRS, OF_TEXT),
        shown="none",
        help="Text before every text, or before every input of a pair, such as 'summarize: '.",
    )
    residues: str | None = option(
        None,
        section="corpus",
        marks=(OF_TEXT,),
        choices=("spaced",),
        shown="as they are written",
        help="How protein sequences are spelled. spaced: a space between the letters, and X for U, Z, O and B, as ProtT5 and "
        "ProstT5 read them; ProstT5 also wants --prefix '<AA2fold> '.",
    )
    pipeline: str | None = option(
        None,
        section="corpus",
        marks=(OF_TEXT,),
        choices=PIPELINES,
        shown="none",
        help=f"The pipeline of diffusers that reads the states. For {', '.join(READS_PADDING)} every text is padded to "
        "--input-length, and the encoder reads the padding like text, as it does there. The others hide it.",
    )
    target_length: int = option(
        128,
        section="corpus",
        least=1,
        marks=(OF_PAIRS,),
        help="Longest target of a pair; span corruption derives its own.",
    )
    noise_density: float = option(
        0.15, section="corpus", marks=(OF_SPANS,), help="Share of the tokens that span corruption removes."
    )
    mean_noise_span_length: float = option(
        3.0, section="corpus", marks=(OF_SPANS,), help="Mean length of a removed span, in tokens."
    )
    sentinel_order: str | None = option(
        None,
        section="corpus",
        marks=(OF_SPANS,),
        choices=(NAMED_ORDER, REVERSED_ORDER),
        shown="named, if the teacher knows it",
        help="named: the first span is <extra_id_0>. reversed: it is the last sentinel, as in transformers' flax recipe.",
    )
    corpus_epochs: int = option(
        1,
        section="corpus",
        least=1,
        marks=(OF_SPANS,),
        help="Passes over the corpus at most; each has fresh corruptions.",
    )
    validation_examples: int = option(
        512, section="corpus", least=0, help="Validation examples, from documents that training never sees."
    )
    shard_examples: int = option(256, section="speed", least=1, help="Examples per shard, the unit of publishing.")
    seed: int = option(
        0,
        section="advanced",
        least=0,
        help="Seed of mixing, shuffling, corruption and the choice of validation documents.",
    )

    def __post_init__(self) -> None:
        check(self)
        require(bool(self.corpora), "--corpus: expected at least one, found none; name one")
        shards = (self.examples + self.validation_examples) // self.shard_examples
        require(
            shards < MAXIMUM_SHARDS, f"--shard-examples is too small: {shards:,} shards, at most {MAXIMUM_SHARDS:,}"
        )
        require(
            self.examples >= 3, "--examples must be at least 3: calibration needs one each for basis, step and report"
        )
        require(0 < self.noise_density < 1, f"--noise-density must be between 0 and 1, not {self.noise_density:g}")
        self._require_not_too_long("input_length", "target_length")
        require(
            (self.shortest_input_length or 1) <= self.input_length,
            f"--shortest-input-length must be at most --input-length, {self.input_length}, not {self.shortest_input_length}",
        )
        require(
            self.encoder_only == (self.made_by == OF_TEXT),
            f"--task {self.made_by} is for teachers with a decoder: leave it out with --encoder-only"
            if self.encoder_only
            else "--task text is for encoders without decoder, since texts do not have targets: add --encoder-only",
        )
        each = len(DEFAULT_FIELDS[self.made_by])
        require(
            len(self.fields) in (each, each * len(self.corpora)),
            f"--task {self.made_by} needs {each} --field, or {each} for each --corpus, found {len(self.fields)}: "
            f"{', '.join(self.fields)}",
        )
        self._require_own_options()

    def _require_not_too_long(self, *names: str) -> None:
        """Raise ConfigurationError for an option that a plan cannot have, because readers bound their memory by the plan."""
        for name in names:
            value = getattr(self, name)
            require(
                value < LARGEST_LENGTH, f"{flag_of(type(self), name)} must be below {LARGEST_LENGTH:,}, not {value:,}"
            )

    def _require_own_options(self) -> None:
        """Raise ConfigurationError for an option of another task, which would be ignored."""
        tasks_of: dict[str, list[str]] = {}
        for task in DEFAULT_FIELDS:
            for name in marked(type(self), task):
                tasks_of.setdefault(name, []).append(task)
        for name in changed_from_defaults(self):
            tasks = tasks_of.get(name, [self.made_by])
            require(
                self.made_by in tasks,
                f"{flag_of(type(self), name)} is an option of --task {' and '.join(tasks)}, not of --task {self.made_by}; "
                "leave it out",
            )

    @property
    def made_by(self) -> str:
        """The task: how examples are made of the corpus."""
        return self.task or (OF_TEXT if self.encoder_only else OF_SPANS)

    @property
    def corpora(self) -> tuple[str, ...]:
        """The names of the corpora, one or several."""
        return (self.corpus,) if isinstance(self.corpus, str) else self.corpus

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that we read: of every corpus, or of each corpus in their order."""
        return self.field or DEFAULT_FIELDS[self.made_by]

    def fields_of(self, corpus: int) -> tuple[str, ...]:
        """Return the fields of a corpus, which is counted from 0."""
        each = len(DEFAULT_FIELDS[self.made_by])
        start = corpus * each if len(self.fields) > each else 0
        return self.fields[start : start + each]


@dataclass(frozen=True, kw_only=True, slots=True)
class DumpSettings(ExampleSettings):
    """The settings of a dump that do not depend on the teacher or on where the cache is."""

    signals: str | tuple[str, ...] = option(
        (),
        section="fidelity",
        flag="--signal",
        metavar="SITE",
        shown="encoder.self, decoder.self, decoder.cross; encoder.final with --encoder-only",
        help="Site whose Q, K and V are cached: SITE[@LAYERS], the last layer unless given; or none. encoder.hidden and "
        "decoder.hidden cache the output of a layer, encoder.final that of the encoder's final norm. LAYERS is a layer (6, -1), "
        "a range (1-5), all, last:N, uniform:N, or several with commas. Repeatable.",
    )
    relation_kl: float = option(
        3e-3,
        section="fidelity",
        help="Target: KL, in nats, from the teacher's relations to the cached ones, for the worst relation and number of heads.",
    )
    relation_step: float | None = option(
        None,
        section="fidelity",
        shown="from --relation-kl",
        help="Fixed quantizer step instead of a target, in units of the direction in which errors cost most KL.",
    )
    relation_rank: int | None = option(
        None, section="fidelity", least=1, shown="no limit", help="Most components per relation code."
    )
    relation_temperature: str = option(
        "published",
        section="fidelity",
        choices=RELATION_TEMPERATURES,
        help="published: softmax(A A'/sqrt(d_r)). calibrated: sharpened per relation to a relative entropy of 0.8.",
    )
    hidden_error: float | None = option(
        None,
        section="fidelity",
        shown="0.01, or 0.001 with --logits from-hidden",
        help="Target for hidden states: squared error, relative to their energy about their mean. One for all layers.",
    )
    hidden_code: str = option(
        PREDICTED,
        section="fidelity",
        choices=HIDDEN_CODES,
        help="predicted: of several layers of a stack, each is coded as what the layer below does not say. separate: by itself.",
    )
    logits: str | None = option(
        None,
        section="fidelity",
        choices=(*LOGIT_KINDS, NOTHING),
        shown="hybrid; none with --encoder-only",
        help="The next-token distributions to cache. from-hidden caches the decoder's last state instead, and once the teacher's "
        "head: all ids at any temperature, as exact as --hidden-error; the dump prints how exact, in nats.",
    )
    top_k: int = option(
        64, section="fidelity", least=1, help="top-k: entries kept per target position; the rest is one tail."
    )
    top_p: float = option(1.0, section="fidelity", help="top-k: probability at which a list may end before k.")
    temperatures: tuple[float, ...] = option(
        (),
        section="fidelity",
        flag="--temperature",
        shown="none",
        help="top-k: a temperature other than 1 at which students can ask for the distributions. Repeatable.",
    )
    draws: int = option(
        20,
        section="fidelity",
        least=1,
        help="sampled: draws per position. hybrid: ids above 1/DRAWS are kept, the rest is drawn in such portions.",
    )
    logit_step: float = option(1 / 8, section="fidelity", help="Quantizer step of log-probabilities, in nats.")
    calibration_examples: int = option(
        160, section="fidelity", help="Training examples that bases and steps are fitted on."
    )
    batch_size: int = option(16, section="speed", least=1, help="Examples per forward pass of the teacher.")
    dtype: str = option("float32", section="speed", choices=TEACHER_DTYPES, help="Dtype of the teacher.")
    codec: str = option(
        "pcodec",
        section="speed",
        choices=CODECS,
        help="pcodec is smaller; zstd writes faster and needs only core Zarr codecs to read.",
    )
    threads: int | None = option(
        None,
        section="speed",
        least=1,
        shown="the plan's value, or up to 8 for a new cache",
        help="CPU threads, recorded in the plan because they affect the output. OMP_NUM_THREADS is ignored.",
    )
    mixed_environment: bool = option(
        False,
        section="advanced",
        once=True,
        help="Continue a cache from another machine or other library versions; the bytes can then differ.",
    )

    def __post_init__(self) -> None:
        ExampleSettings.__post_init__(self)
        require(
            self.calibration_examples >= 3,
            "--calibration-examples must be at least 3: basis, step and report need one each",
        )
        require(self.relation_kl > 0, f"--relation-kl must be positive, not {self.relation_kl:g}")
        require(
            self.relation_step is None or self.relation_step > 0,
            f"--relation-step must be positive, not {self.relation_step}",
        )
        require(0 < self.hidden_target < 1, f"--hidden-error must be between 0 and 1, not {self.hidden_target:g}")
        self._require_not_too_long("top_k", "draws")
        require(
            self.threads is None or self.threads < MOST_THREADS,
            f"--threads must be below {MOST_THREADS:,}, not {self.threads}",
        )
        require(0 < self.top_p <= 1, f"--top-p must be above 0 and at most 1, not {self.top_p:g}")
        require(1e-5 <= self.logit_step <= 1, f"--logit-step must be between 1e-5 and 1 nats, not {self.logit_step:g}")
        require(
            not self.encoder_only or self.distributions == NOTHING,
            f"--logits {self.distributions}: an encoder does not predict tokens; leave it out with --encoder-only",
        )
        require(
            self.distributions == "top-k" or not self.temperatures,
            "--temperature belongs to --logits top-k: leave it out for from-hidden, which has every temperature; the draws of "
            "hybrid and sampled are made at temperature 1 and fit only that",
        )
        for value in self.temperatures:
            require(
                0.1 <= value <= 100 and value != 1,
                f"--temperature must be between 0.1 and 100 and not 1, which every cache has; found {value:g}",
            )
        require(
            len(set(self.temperatures)) == len(self.temperatures),
            "--temperature: expected different numbers, found one twice",
        )

    @property
    def distributions(self) -> str:
        """The kind of logits, or `none`."""
        return self.logits or (NOTHING if self.encoder_only else DEFAULT_LOGITS)

    @property
    def hidden_target(self) -> float:
        """The relative squared error of hidden states."""
        return default_hidden_error(self.distributions) if self.hidden_error is None else self.hidden_error

    @property
    def sites(self) -> tuple[str, ...]:
        """The values of --signal, each one or several sites with their layers; empty for none."""
        named = (self.signals,) if isinstance(self.signals, str) else tuple(self.signals)
        return () if named == (NOTHING,) else named or DEFAULT_SITES[self.made_by]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherSettings(DumpSettings):
    """The settings of a dump with its teacher, its device, and the part that is dumped."""

    teacher: str = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        help="Folder or hub name of a T5, T5 v1.1, Flan-T5, mT5 or umT5 checkpoint; with --encoder-only also of an encoder.",
    )
    teacher_revision: str | None = option(
        None, section="advanced", shown="the newest commit", help="Branch, tag or commit of a hub teacher."
    )
    device: str = option("auto", section="speed", help="auto, cpu, cuda or cuda:N.")
    shards: str | None = option(
        None,
        section="speed",
        once=True,
        metavar="RANGES",
        shown="all",
        help="Dump only these positions of the shard table (validation first, then training): A:B, the end excluded; A: and :B "
        "too, and several with commas.",
    )

    def __post_init__(self) -> None:
        DumpSettings.__post_init__(self)
        if self.shards is not None:
            parse_ranges(self.shards)


@dataclass(frozen=True, kw_only=True, slots=True)
class DumpConfig(TeacherSettings):
    """The options of `miniend dump-teacher`."""

    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        once=True,
        help="Directory or s3://, gs://, az:// URL of the cache. A dump that is already there is continued, and only what is "
        "to change need be given.",
    )
    force: bool = option(
        False, section="advanced", once=True, help="Write shards even if the disk seems too small for them."
    )
