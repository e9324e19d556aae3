"""The teacher's layer that a term compares with, where `--teacher-layer` names one."""

from collections.abc import Iterable

from ...errors import CacheMismatchError, ConfigurationError
from ...signals.sites import Site
from ..teacher_layers import parse_teacher_layers
from .term import Term, TermContext


def teacher_depth(context: TermContext, stack: str) -> int:
    """Return the number of the teacher's layers in a stack."""
    return context.family.depths(context.cache.plan.teacher.facts)[stack]


def chosen_site(context: TermContext, name: str) -> Site | None:
    """Return the teacher's site of this name that `--teacher-layer` chooses; None if it does not choose one.

    Raises ConfigurationError for a layer that the teacher does not have, and CacheMismatchError for one that is not stored.
    """
    wanted = parse_teacher_layers(context.config.teacher_layer).get(name)
    if wanted is None:
        return None
    depth, asked = teacher_depth(context, name.partition(".")[0]), f"--teacher-layer {name}={wanted}"
    if not -depth <= wanted < depth:
        raise ConfigurationError(
            f"{asked}: the teacher has {depth} layers there, so 0 to {depth - 1} or -{depth} to -1; of {name}, the cache holds "
            f"{_held(context, name)}"
        )
    site = Site(name, wanted % depth)
    if str(site) not in context.cache.codecs:
        raise CacheMismatchError(
            f"{asked} is {site}, but of {name}, {context.cache.path} holds {_held(context, name)}; choose one of these, or dump "
            f"it with --signal {site}"
        )
    return site


def unread_choices(context: TermContext, terms: Iterable[Term]) -> list[str]:
    """Return the sites that `--teacher-layer` names and that no term reads."""
    read = {pair.teacher.name for term in terms for pair in term.pairs}
    return [name for name in parse_teacher_layers(context.config.teacher_layer) if name not in read]


def _held(context: TermContext, name: str) -> str:
    return ", ".join(str(codec.site) for codec in context.cache.codecs.values() if codec.site.name == name) or "none"
