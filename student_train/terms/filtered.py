"""Filtered states: task-aware layer-wise distillation, TED (Liang et al. 2023, arXiv 2210.01351, equations 5 to 7).

The teacher's filters were trained once on the cache (`miniend filters`). The student has filters of its own, one for each of the
teacher's, which train with it and are exported beside it. The published loss is a mean squared error, whose scale depends on the
filters; ours is the share of the teacher's variance that the student does not explain, and needs no weight.
"""

from collections.abc import Mapping
from typing import Any, Self

from ...errors import CacheMismatchError
from ...models.layer_maps import uniform
from ...signals.filters.filter import FILTERED, NORM
from ...signals.matching.target_statistics import Target
from ...signals.sites import Site, site_from
from .hidden import TENSOR as STATES
from .matched import LinearMap, Match, Matched
from .term import TERMS, SitePair, TermContext


@TERMS.register("filtered")
class Filtered(Matched):
    """The unexplained share of the teacher's filtered states, mean over filters and tokens."""

    @classmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return the term of one stack, which the option `site` names.

        Raises CacheMismatchError if the cache does not have filters of that stack.
        """
        site = str(options["site"])
        stack = site.partition(".")[0]
        theirs = sorted(site_from(name) for name in context.cache.filters if name.startswith(f"{site}@"))
        if not theirs:
            raise CacheMismatchError(
                f"objective {context.objective} needs filters of {site}, but {context.cache.path} has "
                f"{', '.join(context.cache.filters) or 'none'}; add them with: miniend filters --cache {context.cache.path} "
                "--teacher TEACHER"
            )
        depth, width = context.family.depth(context.student.config, stack), int(context.student.config.d_model)
        matches, maps = [], {}
        for own, teachers in paired(theirs, depth):
            part, filter = f"{own + 1}-{teachers.layer + 1}", context.cache.filters[str(teachers)]
            target = Target(str(teachers), FILTERED)
            pair = SitePair(teachers, Site(site, own))
            matches.append(
                Match(part=part, pair=pair, target=target, map=part, width=filter.width, tensor=STATES, norm=NORM)
            )
            maps[part] = LinearMap(width, filter.width)
        return cls(matches, maps, context.family.stack(stack).axis, "energy")

    def formula(self) -> str:
        return (
            "squared error of learned filters of the states over their rms from the teacher's filtered states, divided by the "
            "teacher's centred energy, mean over filters and tokens (TED)"
        )


def paired(teachers: list[Site], depth: int) -> list[tuple[int, Site]]:
    """Return pairs (student layer, teacher's filter): as many as there are filters, or student layers if these are fewer.

    Filter k of K is after student layer k L / K, rounded half up; a student of L < K layers learns from filters i K / L.
    """
    count = len(teachers)
    if depth >= count:
        return [(layer, teachers[place]) for place, layer in uniform(count, depth)]
    return [(layer, teachers[place]) for layer, place in uniform(depth, count)]
