"""The checks of what a loss term gives: at its building, and in each batch. A term may be a user's own first program.

Each check raises an error that names the term. Without it, such a mistake would end in a traceback of another file, or would
train something else without a word.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ...errors import CacheMismatchError, ConfigurationError, shortened
from ...signals.kinds import KINDS
from ...signals.logits.targets import LogitTarget
from ...signals.sites import Site
from ..objective import TermSpec
from .term import SitePair, Term, TermContext

CORRECT = "correct the term"


class TermOptions(dict[str, Any]):
    """The options of a term. One that is missing raises ConfigurationError, which names the term."""

    def __init__(self, spec: TermSpec) -> None:
        super().__init__(spec.options)
        self._spec = spec

    def __missing__(self, key: str) -> Any:
        raise ConfigurationError(
            f"loss term {self._spec.name}: expected the option {key}, found {', '.join(self) or 'none'}; write "
            f"spec({self._spec.kind!r}, {key}=...) in its objective"
        )


def require_term(name: str, term: Any, context: TermContext) -> Term:
    """Return what `build` of a term returned.

    Raises ConfigurationError unless it is a usable term of this student, and CacheMismatchError if the cache lacks what it reads.
    """
    if not isinstance(term, Term):
        raise _wrong(name, "`build` should return a miniend.Term", term)
    _require_parts(name, term.parts)
    if not isinstance(term.pairs, Sequence) or not all(_is_pair(pair) for pair in term.pairs):
        raise _wrong(name, "`pairs` should be a tuple of miniend.SitePair", term.pairs)
    for pair in term.pairs:
        _require_cached(name, pair.teacher, context)
        _require_in_student(name, pair.student, context)
    _require_distributions(name, term.distributions, context)
    for what, text in (("formula", term.formula()), ("against", term.against())):
        if not isinstance(text, str):
            raise _wrong(name, f"`{what}` should return a text", text)
    return term


def _wrong(name: str, expected: str, found: object) -> ConfigurationError:
    return ConfigurationError(f"loss term {name}: {expected}, found {shortened(repr(found))}; {CORRECT}")


def _require_parts(name: str, parts: Any) -> None:
    texts = isinstance(parts, tuple) and all(isinstance(part, str) for part in parts)
    if not texts or not parts or len(set(parts)) < len(parts):
        raise _wrong(name, '`parts` should be a tuple of different names, such as ("",)', parts)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, SitePair) and isinstance(pair.teacher, Site) and isinstance(pair.student, Site)


def _require_cached(name: str, site: Site, context: TermContext) -> None:
    if str(site) not in context.cache.codecs:
        held = ", ".join(context.cache.codecs) or "no sites"
        raise CacheMismatchError(
            f"loss term {name} needs {site}, but {context.cache.path} holds {held}; dump it with --signal {site}"
        )


def _require_in_student(name: str, site: Site, context: TermContext) -> None:
    stacks = {stack.name: stack for stack in context.family.stacks}
    if site.stack not in stacks or site.kind not in KINDS or not KINDS[site.kind].exists(stacks[site.stack]):
        raise _wrong(name, f"the student's site should be one that {context.student.config.model_type} has", str(site))
    depth = context.family.depth(context.student.config, site.stack)
    if not isinstance(site.layer, int) or not 0 <= site.layer < depth:
        raise _wrong(name, f"the student's {site.stack} has the layers 0 to {depth - 1}", str(site))


def _require_distributions(name: str, temperature: Any, context: TermContext) -> None:
    if temperature is None:
        return
    logits, path = context.cache.plan.signals.logits, context.cache.path
    if logits is None:
        raise CacheMismatchError(
            f"loss term {name} needs logits, which {path} was dumped without (--logits none); dump it with another --logits"
        )
    if not logits.has(temperature):
        names = ", ".join(f"{one:g}" for one in (1.0, *logits.temperatures))
        raise CacheMismatchError(
            f"loss term {name} needs logits at temperature {temperature}, but {path} holds them at {names}; "
            "dump with --logits from-hidden for all others, or with --logits top-k and --temperature for some"
        )


def require_counts(name: str, term: Term, counts: Any) -> Mapping[str, int]:
    """Return what `counts` of a term returned. Raises ConfigurationError unless it is integers from 0 by part."""
    if (
        not isinstance(counts, Mapping)
        or set(counts) != set(term.parts)
        or any(not isinstance(count, int) or count < 0 for count in counts.values())
    ):
        raise _wrong(name, f"`counts` should return an integer for each of its parts {term.parts}", counts)
    return counts


def require_sums(name: str, term: Term, sums: Any) -> Mapping[str, Tensor]:
    """Return what `sums` of a term returned. Raises ConfigurationError unless it is scalars by part; `target` is part ""."""
    wanted = set(term.parts) - ({""} if term.trains_head or term.reads_predictions else set())
    if (
        not isinstance(sums, Mapping)
        or set(sums) != wanted
        or any(not isinstance(one, Tensor) or one.shape for one in sums.values())
    ):
        shown = {part: getattr(one, "shape", one) for part, one in sums.items()} if isinstance(sums, Mapping) else sums
        raise ConfigurationError(
            f"loss term {name}: `sums` should return a scalar tensor for each of the parts {tuple(sorted(wanted))}, "
            f"found the shapes {shown!r}; {CORRECT}"
        )
    return sums


def require_target(name: str, term: Term, target: Any) -> LogitTarget | None:
    """Return what `target` of a term returned. Raises ConfigurationError unless there is one exactly if it trains the head."""
    if not isinstance(target, LogitTarget if term.trains_head else type(None)):
        expected = "a LogitTarget, because `trains_head` is true" if term.trains_head else "None, or set `trains_head`"
        raise _wrong(name, f"`target` should return {expected}", target)
    found: LogitTarget | None = target
    return found


def require_some(part: str, count: float) -> float:
    """Return the number that a part's sum is divided by. Raises ConfigurationError if it is 0, for the mean is not defined."""
    if not count:
        raise ConfigurationError(
            f"loss term {part}: expected that `counts` counts something in these examples, found 0; {CORRECT}"
        )
    return count


def require_gradients(sums: Mapping[str, Tensor], parts: Iterable[str]) -> None:
    """Raise ConfigurationError if a part's sum does not depend on anything that is trained; that part would train nothing."""
    for part in parts:
        if not sums[part].requires_grad:
            raise ConfigurationError(
                f"loss term {part}: its sum does not have a gradient, so it would train nothing; compute it from the student's "
                f"tensors without detach, item or no_grad, or leave the term out"
            )
