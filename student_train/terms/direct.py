"""DirectMiniLM of the comparative analysis (arXiv 2310.08797): a linear map of the student's Q, K and V against the teacher's.

An ordinary cache of relations holds Q, K and V. Its code is fitted to the KL of relations and not to the squared error, so the
error of each is measured by the dump and read here. Attention stays as it is under Q -> Q G, K -> K G^-T, and a learned map
absorbs G; so a map is learned at equal widths too. Dividing each kind by its own energy is ours: T5's queries are small and its
values large, and a sum without a scale would be a loss on values.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ...errors import CacheMismatchError, ConfigurationError
from ...signals.matching.target_statistics import Target
from ...signals.relations.codec import AttentionCodec
from .matched import LinearMap, Match, Matched, cache_error
from .relations import SAME, last_site, teacher_codec
from .term import TERMS, SitePair, TermContext

MOST_ERROR, MUCH_ERROR = 1e-1, 2e-2
"""The relative squared error of a cached Q, K or V above which we refuse a site, and from which we warn."""


@TERMS.register("direct")
class Direct(Matched):
    """The error of linearly mapped Q, K and V of the last layer, each over the teacher's energy: the mean over the three."""

    depends_on_heads = True

    def __init__(self, matches: Sequence[Match], maps: Mapping[str, LinearMap], axis: str, blocks: int) -> None:
        super().__init__(matches, maps, axis, "energy")
        self._blocks = blocks

    @classmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return the term of the self-attention that the option `site` names.

        Raises CacheMismatchError if the cache does not store it, or not faithfully, and ConfigurationError if `--direct-heads`
        does not divide both widths.
        """
        site = str(options["site"])
        codec = teacher_codec(context, site)
        pair = SitePair(codec.site, last_site(context, site))
        config, blocks = context.student.config, context.config.direct_heads or 1
        width, out = config.num_heads * config.d_kv, codec.inner
        _require_blocks(blocks, width, out)
        matches = [
            Match(
                part=kind,
                pair=pair,
                target=Target(str(codec.site), kind),
                map=kind,
                width=out,
                cache_error=cache_error(context.cache, str(codec.site), f"{kind}_squared_error", f"{kind}_energy"),
            )
            for kind in SAME
        ]
        term = cls(
            matches,
            {kind: LinearMap(width, out, blocks) for kind in SAME},
            context.family.stack(site.partition(".")[0]).axis,
            blocks,
        )
        term.warnings = _warnings(context, codec, matches)
        return term

    def formula(self) -> str:
        learned = "a learned map" if self._blocks == 1 else f"a learned map of {self._blocks} blocks"
        return (
            f"squared error of {learned} of the last self-attention's Q, K and V, each divided by the teacher's centred energy, "
            "mean over the three and tokens (DirectMiniLM)"
        )


def _require_blocks(blocks: int, student: int, teacher: int) -> None:
    if student % blocks or teacher % blocks:
        raise ConfigurationError(
            f"--direct-heads {blocks}: expected a number that divides the widths of Q, K and V, {student} of the student and "
            f"{teacher} of the teacher"
        )


def _warnings(context: TermContext, codec: AttentionCodec, matches: Sequence[Match]) -> tuple[str, ...]:
    """Return what to say of the cache's own error. Raises CacheMismatchError if it is too large to learn from."""
    errors = {match.part: match.cache_error for match in matches if match.cache_error is not None}
    shown = ", ".join(f"{kind} {error:.1e}" for kind, error in errors.items())
    most = max(errors.values(), default=0.0)
    if most > MOST_ERROR:
        raise CacheMismatchError(
            f"objective {context.objective} compares Q, K and V themselves, but in {context.cache.path} the relative squared "
            f"error of {codec.site} is {shown}, above {MOST_ERROR:g}; dump with a smaller --relation-kl"
        )
    if most > MUCH_ERROR:
        return (
            f"the cache's relative squared error of {codec.site} is {shown}, which limits the student; dump with a smaller "
            "--relation-kl for better",
        )
    return ()
