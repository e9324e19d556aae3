"""The teacher's signals of a batch, decoded once for all students that learn from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ...cache import Cache
from ...models.families import Family, SpecialIds
from ...signals.codes.prediction import chain_of, decode_chain
from ...signals.codes.site_codec import SiteCodec
from ...signals.filters.filter import FILTERED, Filter
from ...signals.logits.code import LogitCode, SparseDistributions
from ...signals.logits.states import StateDistributions, StateHead
from ...signals.sites import Site
from .batch import Batch
from .records import Columns

NO_FILTERS: Mapping[str, Filter] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Needs:
    """The parts of a cache that some losses read."""

    sites: frozenset[str] = frozenset()
    """The full names of sites."""
    temperatures: frozenset[float] = frozenset()
    """The temperatures at which next-token distributions are read."""
    filtered: frozenset[str] = frozenset()
    """The full names of the sites whose filtered states are read."""

    @classmethod
    def of_all(cls, needs: Iterable["Needs"]) -> "Needs":
        """Return the union of all needs."""
        every = list(needs)
        sites = frozenset(site for one in every for site in one.sites)
        temperatures = frozenset(temperature for one in every for temperature in one.temperatures)
        return cls(sites, temperatures, frozenset(site for one in every for site in one.filtered))


@dataclass(frozen=True, slots=True)
class TeacherSignals:
    """The teacher's side of every loss for one batch, on the batch's device, without gradients."""

    sites: Mapping[str, Mapping[str, Tensor]]
    """Tensors by site (`encoder.self@11`) and name, such as `query` or `filtered`, float32 [B, length, inner]."""
    logits: Mapping[float, SparseDistributions | StateDistributions]
    """The distributions of the valid target positions, by temperature; those from states are the same object at each."""


class TeacherDecoder:
    """Decodes a batch's integers into the signals that several objectives need."""

    def __init__(
        self,
        family: Family,
        codecs: Mapping[str, SiteCodec],
        sites: Iterable[str],
        logit_code: LogitCode | None,
        temperatures: Iterable[float],
        special: SpecialIds,
        states: tuple[Site, StateHead] | None = None,
        filters: Mapping[str, Filter] = NO_FILTERS,
    ) -> None:
        """`states` is the site that distributions are made of, one of `sites`, and the head that makes them.

        `filters` are by site, of the sites whose filtered states are wanted.
        """
        self._family, self._special, self._sites = family, special, tuple(sites)
        self._codecs, self._logit_code, self._temperatures = dict(codecs), logit_code, sorted(temperatures)
        self._states, self._filters = states, dict(filters)

    @torch.no_grad()
    def decode(self, batch: Batch) -> TeacherSignals:
        """Return the signals of a batch that is on the decoder's device."""
        tokens = self._family.given(batch.ids, self._special)
        sites = decode_chain(self._codecs, self._sites, batch.coefficients, tokens)
        for name, one in self._filters.items():
            sites[name] = {**sites[name], FILTERED: one.of(sites[name]["hidden"])}
        if self._states is not None:
            site, head = self._states
            # the rows of the student's own positions, in the same order
            distributions = head.distributions(sites[str(site)]["hidden"][batch.valid[batch.label_axis]])
            return TeacherSignals(sites, dict.fromkeys(self._temperatures, distributions))
        if self._logit_code is None or not self._temperatures:
            return TeacherSignals(sites, {})
        assert batch.logits is not None
        code, stored = self._logit_code, batch.logits
        return TeacherSignals(sites, {one: code.decode(stored, one) for one in self._temperatures})


def build_decoder(cache: Cache, needs: Needs, device: torch.device) -> TeacherDecoder:
    """Return the decoder of all signals that are needed, with its tables on a device."""
    wanted = _sites(cache, needs)
    codecs = {site: cache.codecs[site].to(device) for site in chain_of(cache.codecs, wanted)}
    code = cache.logit_code if needs.temperatures else None
    site = cache.state_site if needs.temperatures else None
    return TeacherDecoder(
        cache.family,
        codecs,
        wanted,
        code.to(device) if code else None,
        needs.temperatures,
        cache.special_ids,
        (site, cache.state_head.to(device)) if site else None,
        {name: cache.filters[name].to(device) for name in needs.filtered},
    )


def needed_columns(cache: Cache, needs: Needs) -> Columns:
    """Return the columns that the decoder for these needs reads; a predicted layer needs all layers below it."""
    coefficients = {
        column: place.axis
        for site in chain_of(cache.codecs, _sites(cache, needs))
        for column, place in cache.codecs[site].columns.items()
    }
    code = cache.logit_code if needs.temperatures else None
    tempered = bool(needs.temperatures - {1.0})
    return Columns(cache.family, tuple(coefficients.items()), (code.kind, len(code.order), tempered) if code else None)


def _sites(cache: Cache, needs: Needs) -> frozenset[str]:
    """Return the sites that are decoded: those that losses compare, and the one that distributions are made of."""
    site = cache.state_site if needs.temperatures else None
    return needs.sites | ({str(site)} if site else set())
