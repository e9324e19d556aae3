"""The calibration: what was fitted once for all shards (SPEC.md, section 5).

We read the name and the codes of a site's entry without knowing the kind of signal. The code of that kind reads the entry's
other members.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .measured import Fidelity, Mean
from .parse import OTHERS, Document, Record
from .values import Axis, Natural, Number, PositiveNumber, Range


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceCode(Record):
    """The code of the tensors of a site that are stored together."""

    axis: Axis
    """The token axis of its column."""
    blocks: tuple[str, ...]
    """The names of the tensors in a decoded row, in their order."""
    column: str
    """The name of the column of coefficients in every shard."""
    rank: Natural
    """The number of components."""
    step: PositiveNumber
    """The quantizer step of coefficients."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteEntry(Record):
    """The entry of one site: everything that calibration fitted for it."""

    site: str
    """The full name of the site, such as `encoder.self@11`."""
    codes: Mapping[str, PlaceCode]
    """The codes by place."""
    predicted_from: str | None = None
    """The full name of the site whose decoded tensors predict this one's; None for codes by themselves."""
    others: Mapping[str, Any] = field(default_factory=dict, metadata=OTHERS)
    """The entry's other members by name; the kind of signal decides what they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRanges(Record):
    """The training examples that calibration used, by purpose."""

    basis: Range
    """The examples that bases were fitted on."""
    step: Range
    """The examples that steps were chosen on."""
    report: Range
    """The examples that fidelity was measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredTeacher(Record):
    """The quality of the teacher on the calibration examples."""

    cross_entropy: Mean
    """The cross-entropy in nats, over target tokens."""
    end_cross_entropy: Mean | None = None
    """The cross-entropy in nats, over the targets that are EOS."""
    unigram_entropy: Number
    """The entropy in nats of the targets' token frequencies."""
    unigram_tokens: Natural
    """The number of tokens that were counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration(Document):
    """Bases, steps and temperatures; its folder has the arrays."""

    KIND: ClassVar[str] = "calibration"

    parent: str
    """The digest of the plan."""
    examples: CalibrationRanges
    teacher: MeasuredTeacher | None = None
    """None for an encoder without decoder, which does not predict tokens."""
    fidelity: Fidelity
    sites: tuple[SiteEntry, ...]
    """The attention sites, in the order of the plan."""
    hidden: tuple[SiteEntry, ...]
    """The layers whose hidden states are cached, in the order of the plan."""

    @property
    def entries(self) -> tuple[SiteEntry, ...]:
        """The entries of all sites."""
        return self.sites + self.hidden
