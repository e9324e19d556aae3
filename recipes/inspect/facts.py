"""The facts about a cache that `miniend inspect` reports, as dataclasses; `as_json` returns the object that `--json` prints."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from ...runtime.showing import Shown
from ...signals.relations.measures import WorstRelation
from ...storage.documents.marker import PackingCounts
from ...storage.documents.plan import PlannedCorpus, PlannedLogits, Task, TeacherFacts

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheBytes:
    """The bytes of the published files, by what they hold."""

    total: int
    """The bytes of all files, documents included."""
    inputs: int
    """The bytes of the token ids, of inputs and targets."""
    logits: int
    bases: int
    """The bytes of the calibration's columns."""
    relations: Mapping[str, int]
    """The bytes of relations by site."""
    hidden: Mapping[str, int]
    """The bytes of hidden states by site."""
    segments: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BytesPerToken:
    """The bytes of whole columns, divided by the tokens of their axis."""

    logits: float | None
    """None for a cache without lists of logits; those from hidden states are in the bytes of the states."""
    relations: Mapping[str, Mapping[str, float]]
    """The bytes of relations by site and code place."""
    hidden: Mapping[str, Mapping[str, float]]
    """The bytes of hidden states by site and code place."""

    def of_site(self, site: str) -> Mapping[str, float]:
        """Return the bytes of a site by code place."""
        return self.relations[site] if site in self.relations else self.hidden[site]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object. A site with one code place is only a number."""
        return {
            "logits": self.logits,
            "relations": _one_or_by_place(self.relations),
            "hidden": _one_or_by_place(self.hidden),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitFidelity:
    """The fidelity of the cached next-token distributions, as means over target positions."""

    kl: float
    """The KL in nats from the teacher's head and tail to the decoded head and tail, or between whole distributions."""
    tempered: Mapping[str, float]
    """The KL at other temperatures, by its name in the documents (`kl at 2`)."""
    kept_mass: float
    """The probability that is kept id by id."""
    entries: float | None
    """The number of entries of heads and draws; None for whole distributions from states."""
    gradient_angle: float | None
    """The angle in degrees between the gradients of the full and the cached distribution; None if they were not compared."""
    gradient_norm_ratio: float | None
    """The length of the cached gradient, relative to the full one."""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "kl": self.kl,
            **self.tempered,
            "kept_mass": self.kept_mass,
            "entries": self.entries,
            "gradient_angle": self.gradient_angle,
            "gradient_norm_ratio": self.gradient_norm_ratio,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheFidelity:
    """The fidelity that the dump measured while it had the teacher."""

    relation_kl: Mapping[str, Mapping[str, float]]
    """The mean KL in nats by site and kind, at the site's own number of relation heads."""
    relation_kl_p99: Mapping[str, Mapping[str, float]]
    """The 99th percentile over rows."""
    relation_kl_by_heads: Mapping[str, Mapping[str, Mapping[int, float]]]
    """The mean KL in nats by site, kind and number of relation heads, most heads first."""
    relation_kl_worst: Mapping[str, WorstRelation]
    """The relation of greatest mean KL by site."""
    relation_kl_target: float | None
    """The KL that calibration aimed at for the worst relation of each site; None if the step was given."""
    tensor_error: Mapping[str, Mapping[str, float]]
    """The relative squared error of Q, K and V by site and tensor."""
    hidden_error: Mapping[str, float]
    """The relative squared error of states by site."""
    normalized_hidden_error: Mapping[str, float]
    """The relative squared error of states over their root mean square, the form in which students match them."""
    hidden_cosine: Mapping[str, float]
    """The mean cosine of states and decoded states by site."""
    hidden_error_target: float | None
    """The error of states that calibration aimed at; None for a cache without hidden states."""
    continued_kl: Mapping[str, float]
    """The KL in nats of the teacher's predictions when it goes on from the decoded states of a stack's deepest site, by site."""
    logits: LogitFidelity | None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {name: getattr(self, name) for name in CacheFidelity.__dataclass_fields__} | {
            "relation_kl_worst": {site: asdict(worst) for site, worst in self.relation_kl_worst.items()},
            "logits": self.logits.as_json() if self.logits else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteFacts:
    """The codes of a site, by code place."""

    rank: Mapping[str, int]
    """The number of components."""
    axis: Mapping[str, str]
    """The tokens that the code runs over."""
    step: Mapping[str, float]
    """The quantizer step."""
    predicted_from: str | None = None
    """The site that predicts it; None for codes by themselves."""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"rank": self.rank, "axis": self.axis, "step": self.step, "predicted_from": self.predicted_from}


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationFacts(SiteFacts):
    """The codes of an attention site, and facts about its relations by kind."""

    relation_heads: int
    """The number of relation heads at which temperatures and entropies were measured."""
    inner: int
    """The width of Q, K and V."""
    inverse_temperature: Mapping[str, float]
    """The factor inside the softmax."""
    relative_entropy: Mapping[str, float]
    """The entropy of the teacher's relations; 1 is uniform."""
    carries_no_information: tuple[str, ...]
    """The kinds of relation that are almost uniform or almost one-hot."""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "relation_heads": self.relation_heads,
            "inner": self.inner,
            **SiteFacts.as_json(self),
            "alpha": self.inverse_temperature,
            "relative_entropy": self.relative_entropy,
            "carries_no_information": list(self.carries_no_information),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedTeacher:
    """The teacher, and how good it is on the cached examples."""

    name: str
    tensor_digest: str
    dtype: str
    facts: TeacherFacts
    cross_entropy: float | None
    """The cross-entropy in nats per target token of the training examples; None if it was not measured."""
    validation_cross_entropy: float | None
    unigram_entropy: float | None
    """The entropy in nats of the targets' token frequencies; None for an encoder without decoder."""

    @property
    def quality(self) -> str:
        """How good it is, for people."""
        if self.unigram_entropy is None:
            return "an encoder without decoder"
        loss = self.cross_entropy
        measured = (
            "cross-entropy not measured yet" if loss is None else f"cross-entropy {loss:.3f} nats per target token"
        )
        return f"{measured}, unigram entropy {self.unigram_entropy:.3f}"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "name": self.name,
            "tensor_digest": self.tensor_digest,
            "dtype": self.dtype,
            **self.facts.body(),
            "cross_entropy": self.cross_entropy,
            "validation_cross_entropy": self.validation_cross_entropy,
            "unigram_entropy": self.unigram_entropy,
        }


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class CacheFacts(Shown):
    """The facts that `miniend inspect` reports about a cache, finished or not."""

    format_version: int
    digest: str
    complete: bool
    examples: int
    """The number of training examples that are published."""
    validation_examples: int
    planned_examples: int
    """The number of training examples that the dump planned."""
    tokens: Mapping[str, int]
    """The number of tokens by axis."""
    bytes: CacheBytes
    bytes_per_token: BytesPerToken
    raw_bytes_per_token: BytesPerToken
    """The bytes of Q, K, V, hidden states and full distributions in bfloat16."""
    fidelity: CacheFidelity
    relations: Mapping[str, RelationFacts]
    """The facts about attention sites, by site."""
    hidden: Mapping[str, SiteFacts]
    """The facts about sites of hidden states, by site."""
    teacher: CachedTeacher
    task: Task
    corpus: PlannedCorpus
    packing: PackingCounts | None
    """What became of the documents that segments were made of; None for a cache without segments or counts."""
    logits: PlannedLogits | None
    codec: str

    def lines(self) -> Iterable[str]:
        """Return the lines that `miniend inspect` prints."""
        from .inspection import describe

        return describe(self)

    def html(self) -> Iterable[str]:
        """Return the tables for a notebook."""
        from .tables import tables

        return tables(self)

    @property
    def sites(self) -> dict[str, SiteFacts]:
        """The facts about every site, attention sites first."""
        return {**self.relations, **self.hidden}

    @property
    def label_tokens(self) -> int:
        """The number of tokens on the labels' axis, which is the last."""
        return list(self.tokens.values())[-1]

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "format_version": self.format_version,
            "digest": self.digest,
            "complete": self.complete,
            "examples": self.examples,
            "validation_examples": self.validation_examples,
            "planned_examples": self.planned_examples,
            "tokens": self.tokens,
            "bytes": asdict(self.bytes),
            "bytes_per_token": self.bytes_per_token.as_json(),
            "raw_bytes_per_token": self.raw_bytes_per_token.as_json(),
            "fidelity": self.fidelity.as_json(),
            "relations": {site: relation.as_json() for site, relation in self.relations.items()},
            "hidden": {site: codes.as_json() for site, codes in self.hidden.items()},
            "teacher": self.teacher.as_json(),
            "objective": self.task.body(),
            "corpus": self.corpus.body(),
            "packing": self.packing.body() if self.packing else None,
            "logits": self.logits.body() if self.logits else None,
            "codec": self.codec,
        }


def _one_or_by_place(sites: Mapping[str, Mapping[str, T]]) -> dict[str, Any]:
    """Return the only value of a site, or its values by code place if it has several."""
    return {site: places if len(places) > 1 else next(iter(places.values())) for site, places in sites.items()}
