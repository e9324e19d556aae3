"""The plan: everything that decides the bytes of a cache (SPEC.md, section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .parse import Document, Record, has_the_form_of, member, only_for
from .values import (
    READS_PADDING,
    AtLeastOne,
    Buckets,
    CodecName,
    Digest,
    Entries,
    FeedForward,
    HiddenCode,
    Length,
    LogitKind,
    Natural,
    Number,
    Pipeline,
    Positive,
    PositiveNumber,
    ProperShare,
    Residues,
    Rows,
    Seed,
    Share,
    TaskKind,
    TeacherDtype,
    Temperature,
    Threads,
    TokenId,
    Width,
)

PAIRS, SPAN_CORRUPTION, TEXT = "pairs", "span-corruption", "text"
"""The kinds of a task."""
FROM_HIDDEN = "from-hidden"
"""The kind of logits that is made of hidden states and does not have lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherFacts(Record):
    """The shape of the teacher."""

    model_type: str
    encoder_layers: Width
    decoder_layers: Natural
    """0 for an encoder without decoder."""
    d_model: Width
    heads: Width
    d_kv: Width
    vocab_rows: Rows
    """The number of rows of the output head; the tokenizer may have fewer entries."""
    tied: bool
    """Whether the output head is the embedding."""
    head_scale: PositiveNumber
    """The factor on the decoder's output before the head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherConfig(Record):
    """What a student takes from its teacher's config.json. A null counts as missing; other members may be anything."""

    model_type: str | None = None
    architectures: tuple[str, ...] | None = None
    vocab_size: Rows | None = None
    d_model: Width | None = None
    d_kv: Width | None = None
    d_ff: Width | None = None
    num_heads: Width | None = None
    num_layers: Width | None = None
    num_decoder_layers: Width | None = None
    relative_attention_num_buckets: Buckets | None = None
    relative_attention_max_distance: Length | None = None
    layer_norm_epsilon: Share | None = None
    dropout_rate: Share | None = None
    feed_forward_proj: FeedForward | None = None
    tie_word_embeddings: bool | None = None
    scale_decoder_outputs: bool | None = None
    pad_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    decoder_start_token_id: TokenId | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTeacher(Record):
    """The identity of the teacher, and what a reader must know of it."""

    name: str
    revision: str | None
    """The commit of a hub checkpoint; None for a local folder."""
    tensor_digest: Digest
    """The SHA-256 over name, dtype, shape and bytes of every tensor."""
    config: Mapping[str, Any] = field(metadata=has_the_form_of(TeacherConfig))
    """The teacher's config.json."""
    facts: TeacherFacts
    start_id: TokenId
    """The id that the decoder gets first."""
    pad_id: TokenId
    dtype: TeacherDtype
    """The dtype of the teacher's forward pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTokenizer(Record):
    """The ids that a reader must know; the tokenizer's files are raw files of the plan's folder."""

    size: Rows
    """The number of entries; every token id is smaller."""
    eos_id: TokenId
    pad_id: TokenId
    sentinel_ids: tuple[TokenId, ...]
    """The ids that replace the spans of span corruption, in their order."""
    digest: str | None = None
    """The SHA-256 of tokenizer.json without truncation and padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusFile(Record):
    """A local file of a corpus."""

    name: str
    """The last part of the file's path."""
    bytes: Natural
    sha256: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class FileList(Record):
    """The files of a corpus that has many; they are in a raw file of the plan's folder, one object a line."""

    count: Positive
    bytes: Natural
    """The sum of their lengths."""
    sha256: Digest
    """The SHA-256 of the raw file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDataset(Record):
    """A dataset of the hub, or a local folder that is read like one."""

    name: str
    config: str | None
    split: str
    revision: str | None
    """The commit; None for a local folder, whose files are listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusPart(Record):
    """One of the corpora that are mixed."""

    kind: str
    """The kind of the corpus: `files`, `hf`, `python-docs` or `python-source`."""
    weight: Number
    """The share of the documents, relative to the other corpora's weights."""
    hub: HubDataset | None = field(default=None, metadata=only_for("kind", "hf"))
    files: tuple[CorpusFile, ...] | None = None
    """The files in reading order, if they are not many."""
    file_list: FileList | None = None
    """What stands for `files` where they are many."""
    sha256: Digest | None = None
    """The SHA-256 of the documents with a NUL between them, for a corpus that is built in."""
    fields: tuple[str, ...] | None = None
    """The fields that hold its text, where they differ from the fields of the first corpus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCorpus(Record):
    """The corpora, and how they become one stream of documents."""

    fields: tuple[str, ...]
    """The fields that hold the text: one for text, two for pairs; for all corpora that do not name their own."""
    shuffle_buffer: Natural
    """The number of documents from which we draw the next one; 0 keeps the order."""
    parts: tuple[CorpusPart, ...]
    distinct: bool | None = None
    """Whether documents that came before are left out; None for no."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanCorruption(Record):
    """How a segment of tokens becomes an input with holes and the targets that fill them."""

    segment_length: Positive
    """The number of raw tokens that an example takes; the largest if lengths are drawn."""
    noise: Positive
    """The number of raw tokens that move to the targets, of the longest example."""
    spans: Positive
    """The number of holes of the longest example."""
    noise_density: ProperShare
    """The share of the tokens that move to the targets, as asked for."""
    mean_span: AtLeastOne
    """The mean number of tokens in a hole, as asked for."""
    eos_between_documents: bool
    shortest_input_length: Positive | None = None
    """The shortest length that is drawn for an input, EOS included; None if all examples have one length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(Record):
    """How examples are made."""

    kind: TaskKind
    input_length: Length
    """The number of input tokens of an example, EOS included; for pairs, text and drawn lengths, the largest number."""
    target_length: Length | None = None
    """The number of target tokens of an example, EOS included; for pairs and drawn lengths, the largest number. None for text,
    which does not have targets."""
    prefix: str | None = None
    """The text before every input that is not corrupted; None for none."""
    residues: Residues | None = None
    """How the letters of protein sequences are spelled for the teacher; None for texts as they are."""
    pipeline: Pipeline | None = None
    """The pipeline of diffusers that reads the states; some read padding like text. None for texts without padding."""
    corruption: SpanCorruption | None = field(default=None, metadata=only_for("kind", SPAN_CORRUPTION))

    @property
    def corrupted(self) -> SpanCorruption:
        """The span corruption of a task of that kind."""
        assert self.corruption is not None
        return self.corruption

    @property
    def pairs(self) -> bool:
        """Whether examples are pairs of an input and a target that the corpus already has."""
        return self.kind == PAIRS

    @property
    def padded(self) -> bool:
        """Whether the padding id fills every text and counts as text, as in the pipeline that reads the states."""
        return self.pipeline in READS_PADDING

    @property
    def text(self) -> bool:
        """Whether examples are texts as they are, for an encoder without decoder."""
        return self.kind == TEXT


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalNorm(Record):
    """What the plan says of the norm between the teacher's last states and its head."""

    norm_epsilon: PositiveNumber
    """The number that is added to the mean square."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedLogits(Record):
    """How next-token distributions are stored."""

    kind: LogitKind
    k: Entries
    """The number of entries of the longest head; 0 for `sampled` and `from-hidden`."""
    top_p: Share
    """The mass at which a top-k head may end; 1 for the other kinds."""
    draws: Entries
    """The number of draws N; 0 for `top-k` and `from-hidden`."""
    step: PositiveNumber
    """The quantizer step of log-probabilities, in nats; 1 for `from-hidden`, which does not use it."""
    entropy_step: PositiveNumber
    """The quantizer step of the tail's entropy, in nats."""
    temperatures: tuple[PositiveNumber, ...]
    """The temperatures in addition to 1; empty unless the kind is `top-k`."""
    norm: FinalNorm | None = field(default=None, metadata=only_for("kind", FROM_HIDDEN))

    @property
    def from_states(self) -> bool:
        """Whether distributions are not lists, but come from the last states and the head."""
        return self.kind == FROM_HIDDEN

    def has(self, temperature: float) -> bool:
        """Return whether the distributions can be decoded at this temperature; from states they can at any."""
        return self.from_states or temperature in (1.0, *self.temperatures)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSignals(Record):
    """The signals of the teacher that the cache holds, and how exact they are."""

    relations: tuple[str, ...]
    """The full names of attention sites, such as `encoder.self@11`."""
    relation_kl: Number
    """The target of calibration: the mean KL in nats from the teacher's relations to the cached ones."""
    relation_step: Number | None
    """A fixed quantizer step; None if calibration chooses it."""
    relation_rank: Positive | None
    """The largest number of components of a code; None for no limit."""
    relation_temperature: Temperature
    hidden: tuple[str, ...]
    """The full names of the layers whose output is cached, such as `encoder.hidden@6`."""
    hidden_error: Number
    """The target of calibration: the squared error of hidden states, relative to their energy."""
    hidden_code: HiddenCode
    """`predicted`: a layer is coded as what the stored layer below it does not say; `separate`: by itself."""
    calibration_examples: Positive
    logits: PlannedLogits | None
    """How next-token distributions are stored; None for a cache without them."""

    @property
    def of_the_teacher(self) -> bool:
        """Whether the cache holds anything of the teacher. One without holds examples to pre-train on."""
        return bool(self.relations or self.hidden or self.logits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment(Record):
    """The device, processor and libraries with which the bytes can be made again."""

    threads: Threads
    """The number of CPU threads of the teacher's forward pass."""
    device: str | None = None
    cpu: str | None = None
    versions: Mapping[str, str] | None = None
    """The versions by library."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived(Record):
    """Values that follow from the options of the first run."""

    validation_share: Number
    """The share of the documents that we hold out until the validation set is full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan(Document):
    """Everything that decides the bytes of a cache."""

    KIND: ClassVar[str] = "plan"

    teacher: PlannedTeacher
    tokenizer: PlannedTokenizer
    corpus: PlannedCorpus
    task: Task = field(metadata=member("objective"))
    seed: Seed
    validation_examples: Natural
    batch_size: Positive
    """The number of examples in one forward pass of the teacher."""
    shard_examples: Positive
    """The number of examples of a shard."""
    codec: CodecName
    """The codec of the columns of segments and shards."""
    signals: PlannedSignals
    environment: Environment
    derived: Derived
