"""`miniend dump-teacher`: plan, segments, extent, calibration, shards, each published once and skipped when it is there.

Any number of processes may do this to one cache: whoever comes first prepares it while the others wait, then all share the
shards (storage/claims.py).
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ..cache import open_cache
from ..runtime.claims import Claims
from ..runtime.progress import Say, progress_bar, silent
from ..storage.documents.calibration import Calibration
from ..storage.layout import shards_path
from ..storage.markers import published
from ..storage.positions import positions_text
from ..storage.stores.place import place_of
from .calibration.hints import calibration_lines, tail_lines
from .config import DumpConfig
from .prepare import Prepared, Seconds, chosen, open_sources, prepare
from .shards.encoder import ShardEncoder, Timings
from .shards.loop import examples_in, make_shards
from .shards.space import require_space
from .worker import Worker

PREPARATION = "preparation"
"""Name of the claim on everything before the shards."""


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What a run of the dump did."""

    cache: str | Path
    new_examples: int
    """Published since it began, by itself or another worker."""
    own_examples: int
    """Those that it encoded itself."""
    seconds: float
    """Of the shard loop alone."""
    timings: Timings
    before: Seconds
    """What came before the shard loop."""


def dump_teacher(config: DumpConfig, say: Say = print) -> DumpReport:
    """Stage one, from a corpus and a teacher to a finished cache; continues whatever is already published.

    Under torchrun, one of several ranks, of which only the first says anything. Returns when all shards that were asked for
    are there, whoever made them. Raises MiniEndError before the first shard where the disk is too small for them all.
    """
    worker = Worker.from_environment()
    say = say if worker.leads else silent
    sources = open_sources(config, worker)
    with Claims(place_of(config.cache).local) as claims:
        claims.wait(PREPARATION, lambda: say(f"waiting for another worker to prepare {config.cache}"))
        prepared = prepare(config, sources)
        claims.release(PREPARATION)
        for line in calibration_lines(prepared.calibration.parsed(Calibration), prepared.plan):
            say(line)
        encoder = ShardEncoder(prepared.plan, prepared.calibration, sources.teacher, prepared.source)
        report = _dump_shards(config, prepared, encoder, claims, worker, sources.seconds)
    if worker.leads:
        say(_summary(report, config, prepared))
        for line in tail_lines(open_cache(config.cache, allow_unfinished=True).fidelity(), prepared.plan):
            say(line)
    return report


def _dump_shards(
    config: DumpConfig, prepared: Prepared, encoder: ShardEncoder, claims: Claims, worker: Worker, before: Seconds
) -> DumpReport:
    root, wanted = config.cache, chosen(config, prepared.table)
    total, there = examples_in(wanted), published(shards_path(root), wanted)
    pending = worker.in_order([shard for shard in wanted if shard not in there])
    missing = examples_in(pending)
    if not config.force:
        require_space(root, prepared, pending, encoder)
    begun = perf_counter()
    with progress_bar("dump", total, "example", initial=total - missing, shown=worker.leads) as bar:

        def progress() -> None:
            if not bar.disable:
                bar.update(total - missing + examples_in(list(published(shards_path(root), pending))) - bar.n)

        own = make_shards(root, prepared.plan.codec, pending, encoder, claims, progress)
        progress()
    return DumpReport(root, missing, own, perf_counter() - begun, encoder.timings, before)


def _summary(report: DumpReport, config: DumpConfig, prepared: Prepared) -> str:
    """What was done, what for, and what the cache still misses."""
    table = prepared.table
    there = published(shards_path(report.cache), table)
    left = [place for place, shard in enumerate(table) if shard not in there]
    total = examples_in(chosen(config, table))
    asked = f"shards {config.shards} of {report.cache} are" if config.shards else f"{report.cache} is"
    misses = (
        f"; the cache still misses {len(left)} of {len(table)} shards: --shards {positions_text(left)}" if left else ""
    )
    if config.shards and not left:
        misses = "; the cache is complete"
    if not report.new_examples:
        return f"{asked} complete: all {total} examples (validation included) were already there{misses}"
    t = report.timings
    own = f", {report.own_examples} of them by this worker" if report.own_examples < report.new_examples else ""
    return (
        f"dumped {report.new_examples} of {total} examples (validation included){own} in {report.seconds:.1f} s: "
        f"teacher forward {t.forward:.1f} s, encoding {t.encode:.1f} s, waiting for the disk {t.wait:.1f} s{misses}"
    )
