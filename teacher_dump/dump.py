"""`miniend dump-teacher`: plan, segments, extent, calibration, shards, each published once and skipped when it is there.

The writer works in a thread of its own, one shard behind the teacher.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from ..cache import open_cache
from ..devices import choose_device
from ..errors import CacheMismatchError, CorpusError
from ..pretrained import pin_revision, read_raw_config
from ..progress import progress_bar
from ..signals.fidelity import SpreadOf
from ..signals.relations import carries_no_information
from ..signals.sites import KINDS
from ..storage.folder import PublishedFolder, folder_exists, publish_folder
from ..storage.layout import (
    ShardRange,
    calibration_path,
    extent_path,
    plan_path,
    read_extents,
    shard_path,
    shard_table,
)
from .calibrate import calibrate
from .config import DumpConfig
from .examples import ExampleSource
from .mixture import parse_mixture
from .plan import ensure_plan, plan_body
from .shard import EncodedShard, ShardEncoder, Timings
from .teacher import Teacher, load_teacher
from .tokenizer import TextTokenizer

CLEARLY_BETTER = 0.5
"""Nats by which a teacher should beat the unigram entropy; less suggests a wrong tokenizer, head scale or checkpoint."""

LARGE_TAIL = 0.1
"""Mean mass outside the top k above which the dump says so."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What a run of the dump did."""

    cache: Path
    new_examples: int
    seconds: float
    """Of the shard loop alone."""
    timings: Timings


def dump_teacher(config: DumpConfig, say: Say = print) -> DumpReport:
    """Stage one, from a corpus and a teacher to a finished cache; continues whatever is already published."""
    mixture = parse_mixture(config).pinned()
    revision = pin_revision(config.teacher, config.teacher_revision)
    read_raw_config(config.teacher, revision)
    tokenizer = TextTokenizer.load(config.teacher, revision)
    sentinels = config.objective == "span-corruption"
    described = tokenizer.describe(sentinels)
    prints = mixture.fingerprint()
    teacher = load_teacher(config.teacher, config.dtype, choose_device(config.device), revision)
    tokenizer.check_fits(teacher.facts.vocab_rows)
    body = plan_body(config, teacher, prints, described)
    if not folder_exists(plan_path(config.cache), "plan"):
        mixture.require_documents()  # a wrong field or an empty corpus is refused before a plan holds it
    plan = ensure_plan(config.cache, body, tokenizer.files(), config.mixed_environment).document
    source = ExampleSource(config.cache, plan)
    _ensure_segments(config, source, mixture.documents, tokenizer)
    extents = _ensure_extent(config, plan)
    if not folder_exists(calibration_path(config.cache), "calibration"):
        calibrate(config.cache, plan, teacher, source, config.examples)
    calibration = PublishedFolder(calibration_path(config.cache), "calibration")
    _say_calibration(calibration.document, plan, say)
    return _dump_shards(config, plan, extents, calibration, teacher, source, say)


def _ensure_segments(config: DumpConfig, source: ExampleSource, corpus: Any, tokenizer: TextTokenizer) -> None:
    segments = source.segments
    segments.ensure(config.validation_examples, config.examples, corpus, tokenizer.encode_batch)
    available = segments.count("train") * config.passes
    if available < config.examples:
        raise CorpusError(
            f"the corpus is too short: it holds {segments.count('train')} training examples of this length"
            + (f" ({available} in {config.passes} passes)" if config.passes > 1 else "")
            + f", {config.examples} were asked for; lower --examples or raise --passes"
        )


def _ensure_extent(config: DumpConfig, plan: dict[str, Any]) -> list[int]:
    """The totals planned so far, with this run's appended when it is larger. Shrinking is refused."""
    extents = read_extents(config.cache, plan["sha256"])
    planned = int(extents[-1]["examples"]) if extents else 0
    if config.examples < planned:
        raise CacheMismatchError(
            f"{config.cache} already plans {planned} examples; --examples {config.examples} would shrink it, it can only grow"
        )
    if config.examples > planned:
        parent = extents[-1]["sha256"] if extents else plan["sha256"]
        body = {"parent": parent, "examples": config.examples, "shard_examples": config.shard_examples}
        publish_folder(extent_path(config.cache, len(extents)), "extent", body)
    return [int(extent["examples"]) for extent in read_extents(config.cache, plan["sha256"])]


def _dump_shards(
    config: DumpConfig,
    plan: dict[str, Any],
    extents: list[int],
    calibration: PublishedFolder,
    teacher: Teacher,
    source: ExampleSource,
    say: Say,
) -> DumpReport:
    table = shard_table(plan["validation_examples"], extents, plan["shard_examples"])
    pending = [
        shard for shard in table if not folder_exists(shard_path(config.cache, shard.split, shard.number), "marker")
    ]
    total, missing = sum(s.stop - s.start for s in table), sum(s.stop - s.start for s in pending)
    encoder = ShardEncoder(plan, calibration, teacher, source)
    publish = partial(_publish, config.cache, plan["codec"])
    begun = perf_counter()
    with progress_bar("dump", total, "example", initial=total - missing) as bar:
        for shard in _written_behind(pending, encoder, publish):
            bar.update(shard.stop - shard.start)
    report = DumpReport(config.cache, missing, perf_counter() - begun, encoder.timings)
    say(_summary(report, total))
    _say_tail(open_cache(config.cache, allow_unfinished=True).fidelity(), plan, say)
    return report


def _written_behind(
    pending: list[ShardRange], encoder: ShardEncoder, publish: Callable[[ShardRange, EncodedShard], None]
) -> Iterator[ShardRange]:
    """Encode shard after shard while the one before is written; yields a shard once it has been encoded.

    At most one shard waits in memory; a failed write surfaces at the next shard or at the end.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as writer:
        writing: Future[None] | None = None
        for shard in pending:
            encoded = encoder.encode(shard)
            waiting = perf_counter()
            if writing is not None:
                writing.result()
            encoder.timings.wait += perf_counter() - waiting
            writing = writer.submit(publish, shard, encoded)
            yield shard
        if writing is not None:
            writing.result()


def _publish(root: Path, codec: str, shard: ShardRange, encoded: EncodedShard) -> None:
    publish_folder(shard_path(root, shard.split, shard.number), "marker", encoded.body, encoded.columns, codec=codec)


def _summary(report: DumpReport, total: int) -> str:
    if not report.new_examples:
        return f"{report.cache} is complete: all {total} examples (validation included) were already there"
    t = report.timings
    return (
        f"dumped {report.new_examples} of {total} examples (validation included) in {report.seconds:.1f} s: "
        f"teacher forward {t.forward:.1f} s, encoding {t.encode:.1f} s, waiting for the disk {t.wait:.1f} s"
    )


def _say_tail(fidelity: dict[str, dict[str, SpreadOf]], plan: dict[str, Any], say: Say) -> None:
    """A tail is one outcome, within which a student is taught nothing: say so when much of the teacher lies there."""
    described = plan["signals"]["logits"]
    mass = fidelity["logits"]["tail_mass"].mean if described and described["kind"] == "top-k" else 0.0
    if mass > LARGE_TAIL:
        k = described["k"]
        say(
            f"hint: {mass:.0%} of the teacher's probability lies outside the top {k}, where a student learns the total alone; "
            "--logits hybrid, in a new cache, teaches it all"
        )


def _say_calibration(calibration: dict[str, Any], plan: dict[str, Any], say: Say) -> None:
    loss, entropy = calibration["teacher"]["cross_entropy"], calibration["teacher"]["unigram_entropy"]
    cross_entropy = loss["total"] / loss["count"]
    say(f"teacher: hard-label cross-entropy {cross_entropy:.3f} nats per target token; unigram entropy {entropy:.3f}")
    if cross_entropy > entropy - CLEARLY_BETTER:
        say(
            "warning: the teacher is not clearly better than the unigram frequencies: check that checkpoint, tokenizer and "
            "corpus belong together before you distil from it"
        )
    temperature = plan["signals"]["relation_temperature"]
    for site in calibration["sites"]:
        say(_entropy_line(site))
    empty = any(carries_no_information(e) for site in calibration["sites"] for e in site["relative_entropy"].values())
    if empty and temperature == "published":
        say("relations that carry no information teach nothing; --relation-temperature calibrated would sharpen them")


def _entropy_line(site: dict[str, Any]) -> str:
    parts = []
    for kind in (kind for kind in (*KINDS, "query_key") if kind in site["alpha"]):
        published, used, alpha = site["published_entropy"][kind], site["relative_entropy"][kind], site["alpha"][kind]
        part = f"{kind} {published:.3f}"
        part += f" sharpened by {alpha:.3g} to {used:.3f}" if alpha != 1.0 else ""
        parts.append(part + (" (carries no information)" if carries_no_information(used) else ""))
    return f"{site['site']}: relative entropy of the teacher's relations (1 is uniform): {', '.join(parts)}"
