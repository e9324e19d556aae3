"""The objectives: which terms each sums, with which options and weights. Without torch, for the command line reads it.

The first are the rows of the MiniEnD comparison (Zhang et al. 2024, arXiv 2305.12330): all weights are one, and only `scratch`
has hard labels. The others say where they come from.
A term here is a name in TERMS (`student_train/terms`) with its options; an objective of one's own is one line more:

    OBJECTIVES.add("mine", (spec("labels"), spec("relations", "last_encoder", site="encoder.self")))
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from ..runtime.registry import Registry


@dataclass(frozen=True, slots=True)
class TermSpec:
    """One term of an objective."""

    kind: str
    """A name in TERMS."""
    name: str
    """What metrics, weights and the model card call it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What `build` of the term is given beside the run's own options."""
    optional: bool = False
    """Whether the objective has the term only if it is given a weight."""


def spec(kind: str, name: str | None = None, optional: bool = False, **options: Any) -> TermSpec:
    """A term of this kind; its name is the kind's unless given."""
    return TermSpec(kind, name or kind, options, optional)


def _is_objective(_name: str, entry: Any) -> bool:
    return isinstance(entry, tuple) and bool(entry) and all(isinstance(one, TermSpec) for one in entry)


OBJECTIVES: Registry[tuple[TermSpec, ...]] = Registry(
    "objective", 'a tuple of terms, such as (spec("labels"),)', _is_objective
)
"""Objective -> terms. `implicit` is the papers' L_Imp, `miniend-d` their L_Exp."""

STACKS = ("both", "encoder", "decoder")
"""The stacks whose states are compared."""

_DECODER_SELF = spec("relations", "decoder_self", site="decoder.self")
_ENCODER_SELF = spec("relations", "encoder_self", site="encoder.self")
_CROSS = spec("cross_relations", "cross", site="decoder.cross")

OBJECTIVES.add("scratch", (spec("labels"),))
OBJECTIVES.add("logits", (spec("logits"),))
OBJECTIVES.add("minilm", (_DECODER_SELF,))
OBJECTIVES.add("implicit", (spec("logits"), _DECODER_SELF))
OBJECTIVES.add("miniend-d", (spec("logits"), _DECODER_SELF, _CROSS))
OBJECTIVES.add("miniend-e", (spec("logits"), _DECODER_SELF, _ENCODER_SELF))

# The comparative analysis of distillation objectives (arXiv 2310.08797): its HS and its DirectMiniLM. Its OD is `logits`, and its
# MHA transfer `miniend-e` without logits. Each is published by itself; labels and logits beside them are ours.
_STATES = (
    spec("hidden", "encoder_hidden", site="encoder.hidden"),
    spec("hidden", "decoder_hidden", site="decoder.hidden"),
)
_DIRECT = (spec("direct", "encoder_direct", site="encoder.self"), spec("direct", "decoder_direct", site="decoder.self"))
_IF_WEIGHED = (spec("labels", optional=True), spec("logits", optional=True))

OBJECTIVES.add("hidden", (*_IF_WEIGHED, *_STATES))
OBJECTIVES.add("direct", (*_IF_WEIGHED, *_DIRECT))

# The baselines of TED (arXiv 2210.01351): knowledge distillation, and layer-wise distillation through learned maps.
_LEARNED = tuple(spec(one.kind, one.name, **{**one.options, "projection": "always"}) for one in _STATES)

OBJECTIVES.add("kd", (spec("labels"), spec("logits")))
OBJECTIVES.add("lwd", (spec("labels"), spec("logits"), *_LEARNED))

# TED itself: the part of the states that the teacher's predictions use, through filters of teacher and student.
_FILTERED = (
    spec("filtered", "encoder_filtered", site="encoder.hidden"),
    spec("filtered", "decoder_filtered", site="decoder.hidden"),
)
OBJECTIVES.add("ted", (spec("labels"), spec("logits"), *_FILTERED))

# A student of an encoder's final states, which users of text encoders read; states of layers and relations join by a weight.
OBJECTIVES.add(
    "encoder",
    (
        spec("final", site="encoder.final"),
        spec("hidden", "encoder_hidden", optional=True, site="encoder.hidden"),
        spec("relations", "encoder_self", optional=True, site="encoder.self"),
    ),
)

OF_STACKS = ("hidden", "direct", "filtered")
"""The kinds of terms that `--stacks` chooses among, by their option `site`."""
OPTIONAL_LOGITS = ("miniend-d", "miniend-e")
"""Objectives that the paper also reports without the logit term (and finds better so on GLUE)."""

OWN_NAMES = ("labels", "logits")
"""Names that only the terms of this kind may have, because validation measures them."""

RESERVED = (
    *("loss", "cross_entropy", "step", "tokens", "learning_rate", "gradient_norm"),
    *("keys", "values", "items", "pop", "clear", "update", "training"),
)
"""Names that a term cannot have: the names of other metrics, and the attributes of a module."""

MOST_WEIGHT = 1e6
"""The largest weight of a term. Beyond, its gradient drowns all others, and overflows float32 soon after."""

CROSS_RELATIONS = ("qk", "qq_kk_vv")
"""The two readings of L^CrossAttn, whose exact form could not be recovered from the paper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Terms with their weights."""

    name: str
    terms: tuple[TermSpec, ...]
    weights: Mapping[str, float]
    """By name of the term."""


def build_objective(
    name: str, logits: bool, weights: Sequence[str], temperature: float = 1.0, stacks: str = "both"
) -> Objective:
    """An objective by name, without its logit term where `logits` is false, with weights such as `cross=0.5`.

    Optional terms without a weight are left out. So are the terms of hidden states and of direct in other stacks than `stacks`.
    Raises ConfigurationError for names, weights and temperatures that make no sense together.
    """
    specs = OBJECTIVES[name]
    _require_names(name, specs)
    if not logits and name not in OPTIONAL_LOGITS:
        raise ConfigurationError(
            f"--no-logits goes with {' and '.join(OPTIONAL_LOGITS)}; objective {name} does not have such a variant"
        )
    known = [one for one in specs if (logits or one.kind != "logits") and _is_of(one, stacks)]
    given = _parse_weights(weights, [one.name for one in known])
    terms = tuple(one for one in known if not one.optional or one.name in given)
    if temperature != 1.0 and all(term.kind != "logits" for term in terms):
        raise ConfigurationError(f"--temperature belongs to the logit term, which objective {name} does not have here")
    return Objective(name=name, terms=terms, weights=dict.fromkeys((term.name for term in terms), 1.0) | given)


def _is_of(term: TermSpec, stacks: str) -> bool:
    """Return whether a term is one of these stacks, or not of a kind that `--stacks` chooses among."""
    return stacks == "both" or term.kind not in OF_STACKS or str(term.options["site"]).startswith(f"{stacks}.")


def _require_names(objective: str, specs: Sequence[TermSpec]) -> None:
    """Raise ConfigurationError unless the terms of an objective have names of their own."""
    names = [one.name for one in specs]
    for one in specs:
        taken = one.name in RESERVED or (one.name in OWN_NAMES and one.name != one.kind)
        if taken or names.count(one.name) > 1 or not re.fullmatch("[a-z][a-z0-9_]*", one.name):
            raise ConfigurationError(
                f"objective {objective}: expected names of terms in lower case that are not used twice and are not one of "
                f"{', '.join((*RESERVED, *OWN_NAMES))}, found {', '.join(names)}; give the term another name"
            )


def _parse_weights(weights: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    parsed = {}
    for item in weights:
        term, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if term not in known or not 0 < value <= MOST_WEIGHT:
            raise ConfigurationError(
                f"--weight {item!r}: expected TERM=NUMBER above 0 and at most {MOST_WEIGHT:,.0f}, with TERM one of "
                f"{', '.join(known)}"
            )
        parsed[term] = value
    return parsed
