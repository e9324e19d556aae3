"""`miniend dump-teacher`: publish plan, segments, extent, calibration and shards, each once, and skip what is published.

Any number of processes may dump to one cache. The first one prepares it while the others wait; then all share the shards
(runtime/claims.py).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

from ..cache import open_cache
from ..runtime.claims import Claims
from ..runtime.cores import SharedCores
from ..runtime.printing import Detail, Verdict, tell
from ..runtime.progress import Log, duration, progress_bar, silent, waiting
from ..runtime.sparingly import Sparingly
from ..storage.documents.calibration import Calibration
from ..storage.documents.plan import Plan
from ..storage.folder import folder_exists
from ..storage.layout import ShardRange, plan_path, shards_path
from ..storage.markers import published
from ..storage.positions import positions_text
from ..storage.stores.place import place_of
from .calibration.hints import calibration_lines
from .closing import closing_lines
from .config import DumpConfig
from .examples.counts import count_lines, total_counts
from .prepare import Prepared, Seconds, chosen, open_sources, prepare
from .shards.encoder import ShardEncoder, Timings
from .shards.loop import examples_in, make_shards
from .shards.space import require_space
from .worker import Worker

PREPARATION = "preparation"
"""The name of the claim on everything before the shards."""


@dataclass(frozen=True, slots=True)
class DumpReport:
    """A report of what one run of the dump did."""

    cache: str | Path
    new_examples: int
    """The number of examples published since it began, by itself or another worker."""
    own_examples: int
    """The number of examples that it encoded itself."""
    seconds: float
    """The time spent in the shard loop."""
    timings: Timings
    before: Seconds
    """The times spent before the shard loop."""


def dump_teacher(config: DumpConfig, log: Log = tell) -> DumpReport:
    """Run stage one: make a cache from a corpus and a teacher, or continue one, and return a report.

    Under torchrun each rank calls this, and only the first prints lines. Returns when all requested shards are published,
    whoever made them. Raises MiniEndError before the first shard if the disk is too small for all of them.
    """
    worker = Worker.from_environment()
    log = log if worker.leads else silent
    place = place_of(config.cache)
    place.require_writable()
    sources = open_sources(config, worker)
    with Claims(place.local) as claims:
        claims.wait(PREPARATION, lambda: log(f"waiting for another worker to prepare {config.cache}"))
        if not folder_exists(plan_path(config.cache), "plan"):
            readings = sources.other_readings(config.teacher)
            for line in readings.lines:
                log(line)
            if not readings.by_class:
                sources = replace(sources, tokenizer=sources.tokenizer.run_by_its_file())
        prepared = prepare(config, sources)
        claims.release(PREPARATION)
        counts = total_counts(prepared.source.segments.counts())
        for line in _plan_lines(prepared.plan):
            log(Detail(line))
        for line in (*sources.mixture.note_lines(), *count_lines(counts, prepared.plan.task.pairs)):
            log(line)
        for line in calibration_lines(prepared.calibration.parsed(Calibration), prepared.plan):
            log(line)
        encoder = ShardEncoder(prepared.plan, prepared.calibration, sources.teacher, prepared.source)
        cores = SharedCores(log, sources.teacher.device)
        report = _dump_shards(config, prepared, encoder, claims, worker, cores, sources.seconds)
    if worker.leads:
        log(Verdict(_summary(report, config, prepared)))
        log(Detail(_phases(report)))
        for line in closing_lines(open_cache(config.cache, allow_unfinished=True), config.cache):
            log(line)
    return report


def _dump_shards(
    config: DumpConfig,
    prepared: Prepared,
    encoder: ShardEncoder,
    claims: Claims,
    worker: Worker,
    cores: SharedCores,
    before: Seconds,
) -> DumpReport:
    root, wanted = config.cache, chosen(config, prepared.table)
    total, there = examples_in(wanted), published(shards_path(root), wanted)
    pending = worker.in_order([shard for shard in wanted if shard not in there])
    missing = examples_in(pending)
    if not config.force:
        with waiting("estimating the bytes to write"):
            require_space(root, prepared, pending, encoder)
    begun = perf_counter()
    with progress_bar("dump", total, "example", initial=total - missing, shown=worker.leads) as bar:
        ours: Counter[ShardRange] = Counter()

        def encoded(shard: ShardRange, count: int) -> None:
            ours[shard] += count
            bar.update(count)

        def count_others() -> None:
            others = [shard for shard in published(shards_path(root), pending) if shard not in ours]
            bar.update(total - missing + ours.total() + examples_in(others) - bar.n)

        sparingly = Sparingly()

        def progress() -> None:
            cores.look()
            if bar.shown:
                sparingly(count_others)

        own = make_shards(root, prepared.plan.codec, pending, encoder, claims, progress, encoded)
        if bar.shown:
            count_others()
    return DumpReport(root, missing, own, perf_counter() - begun, encoder.timings, before)


def _plan_lines(plan: Plan) -> Iterator[str]:
    """Yield what decides the cache: who looks for the cause of something reads this first."""
    teacher, signals = plan.teacher, plan.signals
    yield f"plan {plan.digest}"
    yield f"teacher {teacher.name} at {teacher.revision or 'no revision'}, {teacher.dtype}, digest {teacher.tensor_digest}"
    sites = [*signals.relations, *signals.hidden]
    logits = signals.logits.kind if signals.logits else "none"
    yield f"signals: {', '.join(sites) or 'no sites'}; logits {logits}; calibration on {signals.calibration_examples:,} examples"
    yield f"batches of {plan.batch_size}, shards of {plan.shard_examples} examples, codec {plan.codec}, seed {plan.seed}"
    yield f"environment: {', '.join(f'{name} {value}' for name, value in asdict(plan.environment).items())}"


def _phases(report: DumpReport) -> str:
    """Return the times by phase."""
    seconds = {**asdict(report.before), "shards": report.seconds}
    return "times: " + ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())


def _summary(report: DumpReport, config: DumpConfig, prepared: Prepared) -> str:
    """Return a line for people: the examples that were dumped, the times, and the shards that are still missing."""
    table = prepared.table
    there = published(shards_path(report.cache), table)
    left = [place for place, shard in enumerate(table) if shard not in there]
    total = examples_in(chosen(config, table))
    asked = f"shards {config.shards} of {report.cache} are" if config.shards else f"{report.cache} is"
    misses = (
        f"; {len(left):,} of {len(table):,} shards are still missing: --shards {positions_text(left)}" if left else ""
    )
    if config.shards and not left:
        misses = "; the cache is complete"
    if not report.new_examples:
        return f"{asked} complete: all {total:,} examples (validation included) were already there{misses}"
    t, before = report.timings, sum(asdict(report.before).values())
    prepared_in = f", after {duration(before)} of preparation" if before >= 1 else ""
    own = f", {report.own_examples:,} of them by this worker" if report.own_examples < report.new_examples else ""
    return (
        f"dumped {report.new_examples:,} of {total:,} examples (validation included){own} in {report.seconds:.1f} s: "
        f"teacher forward {t.forward:.1f} s, encoding {t.encode:.1f} s, waiting for the disk {t.wait:.1f} s{prepared_in}{misses}"
    )
