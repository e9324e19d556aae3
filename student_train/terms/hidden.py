"""Hidden states: HS of the comparative analysis (arXiv 2310.08797), and layer-wise distillation, a baseline of TED (2210.01351).

The published form is the mean squared error of post-LN states. A T5 is pre-norm, and its stream grows with depth. So by default
both sides are divided by their root mean square per token, and the error by the teacher's centred energy; both are ours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ...errors import CacheMismatchError, ConfigurationError
from ...models.layer_maps import layer_pairs
from ...signals.codes.site_codec import SiteCodec
from ...signals.hidden_states import NORMALIZED, RAW
from ...signals.matching.target_statistics import Target, TargetStatistics
from ...signals.sites import Site
from .matched import IDENTITY, LinearMap, Match, Matched, cache_error, chosen_projection
from .teacher_layer import chosen_site, teacher_depth
from .term import TERMS, SitePair, Term, TermContext
from .weighings import TOP, WEIGHINGS, has_complement

TENSOR = "hidden"
MEASURES = {"rms": NORMALIZED, "none": RAW}
"""The measures of a cache whose ratio is the relative squared error, by what states are divided by."""
BESIDE = f"_beyond_top_{TOP}"
"""The end of the name of what validation measures beside a term."""


@TERMS.register("hidden")
class Hidden(Matched):
    """The error of linearly mapped hidden states, mean over pairs of layers (`--mapping`) and tokens."""

    def __init__(
        self, matches: Sequence[Match], maps: Mapping[str, LinearMap], axis: str, weighing: str, words: str
    ) -> None:
        super().__init__(matches, maps, axis, weighing)
        self._words = words
        self._weighing_name = weighing

    @classmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return the term of one stack, which the option `site` names; its option `projection` takes the place of `auto`.

        Raises CacheMismatchError, which names them all, for layers that the cache does not store, and ConfigurationError for
        maps that a student of its teacher's layers cannot have.
        """
        config, site = context.config, str(options["site"])
        stack = site.partition(".")[0]
        pairs = _pairs(context, site)
        codecs = [_codec(context, pair.teacher) for pair in pairs]
        width, out = context.student.config.d_model, codecs[0].width
        projection = chosen_projection(context, str(options.get("projection", IDENTITY)))
        learned = projection != IDENTITY or width != out
        parts = _parts(pairs)
        keys = _slots(pairs) if projection == "shared" else parts
        # principal directions also serve what is measured beside the loss, so they are always wanted
        matches = [
            Match(
                part=part,
                pair=pair,
                target=Target(str(pair.teacher), TENSOR, config.hidden_norm, directions=True),
                map=key if learned else None,
                width=out,
                noise=_noise(codec),
                cache_error=cache_error(context.cache, str(pair.teacher), *MEASURES[config.hidden_norm]),
            )
            for part, pair, key, codec in zip(parts, pairs, keys, codecs, strict=True)
        ]
        maps = {key: LinearMap(width, out) for key in dict.fromkeys(keys)} if learned else {}
        weighing = config.hidden_scale if config.hidden_metric == "plain" else config.hidden_metric
        mapped = f"{projection} learned map" if projection == "shared" else "learned map"
        words = (
            f"squared error of {f'a {mapped} of ' if learned else ''}the {stack}'s hidden states"
            f"{' over their rms' if config.hidden_norm == 'rms' else ''}, layers paired by {config.mapping}"
        )
        return cls(matches, maps, context.family.stack(stack).axis, weighing, words)

    def beside(self, statistics: Mapping[Target, TargetStatistics]) -> Mapping[str, Term]:
        """Return the same error in the complement of each target's strongest directions, with the same maps."""
        matches = [match for match in self.matches if has_complement(statistics[match.target])]
        if not matches:
            return {}
        maps = {key: one for key, one in self.maps.items() if isinstance(one, LinearMap)}
        term = Hidden(matches, maps, self.axis, "beyond_top", self._words).to(self.metric.device)
        term.weigh(statistics)
        return {BESIDE: term}

    def formula(self) -> str:
        return f"{self._words}, divided by {WEIGHINGS[self._weighing_name].phrase}, mean over pairs and tokens"


def _pairs(context: TermContext, site: str) -> list[SitePair]:
    """Return the pairs of layers of a stack that the mapping gives, with the layer of `--teacher-layer`."""
    mapping, stack = context.config.mapping, site.partition(".")[0]
    depth = context.family.depth(context.student.config, stack)
    chosen = chosen_site(context, site)
    if chosen is not None and mapping != "last":
        raise ConfigurationError(
            f"--teacher-layer {site}: --mapping {mapping} chooses the layers of {site}; use --mapping last, or leave one out"
        )
    layers = layer_pairs(mapping, depth, teacher_depth(context, stack))
    pairs = [SitePair(chosen or Site(site, theirs), Site(site, own)) for own, theirs in layers]
    missing = [str(one) for one in sorted({pair.teacher for pair in pairs}) if str(one) not in context.cache.codecs]
    if missing:
        held = ", ".join(context.cache.codecs) or "no sites"
        wanted = " ".join(f"--signal {one}" for one in missing)
        raise CacheMismatchError(
            f"objective {context.objective} with --mapping {mapping} needs {', '.join(missing)}, but "
            f"{context.cache.path} holds {held}; dump with {wanted}, or choose another --mapping"
        )
    return pairs


def _codec(context: TermContext, site: Site) -> SiteCodec:
    return context.cache.codecs[str(site)]


def _parts(pairs: Sequence[SitePair]) -> list[str]:
    """Return the names of the parts, `2-4` for student layer 2 and teacher layer 4, counted from 1.

    A pair that occurs twice, as in `uniform+last`, counts twice, and has a map of its own; the second is `6-12-again`.
    """
    seen: Counter[str] = Counter()
    names = []
    for pair in pairs:
        name = f"{pair.student.layer + 1}-{pair.teacher.layer + 1}"
        names.append(name + "-again" * seen[name])
        seen[name] += 1
    return names


def _slots(pairs: Sequence[SitePair]) -> list[str]:
    """Return the key of each pair's shared map: the n-th teacher layer of any student layer has the n-th map."""
    seen: Counter[int] = Counter()
    keys = []
    for pair in pairs:
        seen[pair.student.layer] += 1
        keys.append(f"map-{seen[pair.student.layer]}")
    return keys


def _noise(codec: SiteCodec) -> float:
    """Return the variance of a uniform rounding error, step^2 / 12."""
    [code] = codec.codes.values()
    return code.step**2 / 12
