"""The objectives: which terms each sums, with which weights, and how each term is read where the papers leave it open.

Rows of the MiniEnD comparison (Zhang et al. 2024, arXiv 2305.12330): all weights are one, no hard labels but in `scratch`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CacheMismatchError, ConfigurationError

if TYPE_CHECKING:
    from ..cache.cache import Cache
    from ..signals.codes.site_codec import SiteCodec
    from ..signals.relations.relations import Relation
    from ..signals.sites import Site

OBJECTIVES: dict[str, tuple[str, ...]] = {
    "scratch": ("labels",),
    "logits": ("logits",),
    "minilm": ("decoder_self",),
    "implicit": ("logits", "decoder_self"),
    "miniend-d": ("logits", "decoder_self", "cross"),
    "miniend-e": ("logits", "decoder_self", "encoder_self"),
}
"""Objective -> terms. `implicit` is the papers' L_Imp, `miniend-d` their L_Exp."""

OPTIONAL_LOGITS = ("miniend-d", "miniend-e")
"""Objectives that the paper also reports without the logit term (and finds better so on GLUE)."""

SITES = {"decoder_self": "decoder.self", "cross": "decoder.cross", "encoder_self": "encoder.self"}
"""Relation term -> site."""

CROSS_READINGS = {"qk": ("query_key",), "qq_kk_vv": ("query", "key", "value")}
"""The two readings of L^CrossAttn, whose exact form could not be recovered from the paper."""

READINGS = {
    "labels": "hard-label cross-entropy, mean over target positions",
    "logits": "KL(teacher || student) of the cached distribution (top-k: its tail as one outcome; else in expectation), "
    "mean over target positions (at temperature 1 equal in gradient to the soft cross-entropy of MiniMA, same author)",
    "decoder_self": "mean of the QQ, KK and VV relation KLs of the last decoder self-attention, causal (MiniLMv2 form)",
    "encoder_self": "mean of the QQ, KK and VV relation KLs of the last encoder self-attention (MiniLMv2 form)",
    "cross.qk": "relation KL of the last cross-attention's Q K^T, re-headed: our reading A of the paper's L^CrossAttn",
    "cross.qq_kk_vv": "mean of the QQ, KK and VV relation KLs of the last cross-attention (QQ causal over target positions, KK "
    "and VV over encoder positions): our reading B of the paper's L^CrossAttn",
}
"""How each term is computed; where the paper's own definition is not recoverable, the reading is called ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Terms with their weights."""

    name: str
    weights: Mapping[str, float]
    cross_relation: str = "qk"
    temperature: float = 1.0
    """T of the logit term: KL(p^(1/T) || q^(1/T)), both normalised, times T^2 (Hinton et al. 2015, section 2)."""

    @property
    def sites(self) -> dict[str, str]:
        """Short site name by relation term."""
        return {term: SITES[term] for term in self.weights if term in SITES}

    @property
    def needs_head(self) -> bool:
        """Whether the student's next-token logits enter the loss."""
        return "logits" in self.weights or "labels" in self.weights

    def reading(self, term: str) -> str:
        """The sentence that says how a term is computed."""
        tempered = (
            f", at temperature {self.temperature:g}, times its square"
            if term == "logits" and self.temperature != 1
            else ""
        )
        return READINGS[f"cross.{self.cross_relation}" if term == "cross" else term] + tempered

    def relations(self, term: str, site: Site) -> tuple[Relation, ...]:
        """The relations whose KLs a term averages."""
        from ..signals.relations.relations import relations_of

        kinds = CROSS_READINGS[self.cross_relation] if term == "cross" else ("query", "key", "value")
        return tuple(relation for relation in relations_of(site) if relation.kind in kinds)


def build_objective(
    name: str, logits: bool, cross_relation: str, weights: Sequence[str], temperature: float = 1.0
) -> Objective:
    """An objective by name, without its logit term where `logits` is false, with weights such as `cross=0.5`.

    Raises ConfigurationError for names, readings and weights that make no sense together.
    """
    if name not in OBJECTIVES:
        raise ConfigurationError(f"unknown objective {name!r}; expected one of {', '.join(OBJECTIVES)}")
    if cross_relation not in CROSS_READINGS:
        raise ConfigurationError(f"unknown cross relation {cross_relation!r}; expected {' or '.join(CROSS_READINGS)}")
    if not logits and name not in OPTIONAL_LOGITS:
        raise ConfigurationError(
            f"--no-logits goes with {' and '.join(OPTIONAL_LOGITS)}; objective {name} has no such variant"
        )
    chosen = dict.fromkeys((term for term in OBJECTIVES[name] if logits or term != "logits"), 1.0)
    if temperature != 1.0 and "logits" not in chosen:
        raise ConfigurationError(f"--temperature is that of the logit term, which objective {name} is without here")
    weighted = chosen | _parse_weights(weights, chosen)
    return Objective(name=name, weights=weighted, cross_relation=cross_relation, temperature=temperature)


def _parse_weights(weights: Sequence[str], chosen: Mapping[str, float]) -> dict[str, float]:
    parsed = {}
    for item in weights:
        term, _, number = item.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if term not in chosen or not 0 < value < math.inf:
            raise ConfigurationError(
                f"--weight {item!r}: expected TERM=NUMBER > 0 with TERM one of {', '.join(chosen)}"
            )
        parsed[term] = value
    return parsed


def required_codecs(objective: Objective, cache: Cache) -> dict[str, SiteCodec]:
    """The codec of the deepest stored layer per relation term.

    Raises CacheMismatchError when the cache lacks a signal that the objective needs.
    """
    if "logits" in objective.weights:
        _require_logits(objective, cache)
    found = {}
    for term, name in objective.sites.items():
        layers = [codec for codec in cache.codecs.values() if codec.site.name == name]
        if not layers:
            stored = ", ".join(cache.codecs) or "no relations"
            raise CacheMismatchError(
                f"objective {objective.name} needs {name}, but {cache.path} holds {stored}; dump that site too"
            )
        found[term] = max(layers, key=lambda codec: codec.site.layer)
    return found


def _require_logits(objective: Objective, cache: Cache) -> None:
    if cache.logit_code is None:
        raise CacheMismatchError(
            f"objective {objective.name} needs logits, which {cache.path} was dumped without (--logits none)"
        )
    stored = (1.0, *cache.logit_code.temperatures)
    if objective.temperature not in stored:
        names = ", ".join(f"{temperature:g}" for temperature in stored)
        raise CacheMismatchError(
            f"--temperature {objective.temperature:g}: {cache.path} has logits at temperature {names}; "
            "dump with --logits top-k and --temperatures for others"
        )
