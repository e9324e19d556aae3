"""`miniend dump-teacher`: plan, segments, extent, calibration, shards, each published once and skipped when it is there.

Any number of processes may do this to one cache: whoever comes first prepares it while the others wait, then all share the
shards (storage/claims.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ..cache import open_cache
from ..errors import CorpusError
from ..pretrained import pin_revision, read_raw_config
from ..progress import progress_bar
from ..signals.fidelity import SpreadOf
from ..signals.relations import carries_no_information
from ..signals.sites import KINDS
from ..storage.claims import Claims
from ..storage.folder import PublishedFolder, folder_exists
from ..storage.layout import ShardRange, calibration_path, parents, plan_path, shard_table, shards_path
from ..storage.markers import published
from ..storage.positions import positions_in, positions_text
from ..storage.publish import remove_abandoned
from .calibrate import calibrate
from .config import DumpConfig
from .examples import ExampleSource
from .extents import ensure_extent, planned_totals
from .mixture import parse_mixture
from .plan import ensure_plan, plan_body, require_free
from .segments import Documents
from .shard import ShardEncoder, Timings
from .shard_loop import examples_in, make_shards
from .teacher import Teacher, load_teacher
from .tokenizer import TextTokenizer
from .worker import Worker

CLEARLY_BETTER = 0.5
"""Nats by which a teacher should beat the unigram entropy; less suggests a wrong tokenizer, head scale or checkpoint."""

LARGE_TAIL = 0.1
"""Mean mass outside the top k above which the dump says so."""

PREPARATION = "preparation"
"""Name of the claim on everything before the shards."""

Say = Callable[[str], None]


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


def dump_teacher(config: DumpConfig, say: Say = print) -> DumpReport:
    """Stage one, from a corpus and a teacher to a finished cache; continues whatever is already published.

    Under torchrun, one of several ranks, of which only the first says anything. Returns when all shards that were asked for
    are there, whoever made them.
    """
    worker = Worker.from_environment()
    say = say if worker.leads else _silent
    mixture = parse_mixture(config).pinned()
    revision = pin_revision(config.teacher, config.teacher_revision)
    read_raw_config(config.teacher, revision)
    tokenizer = TextTokenizer.load(config.teacher, revision)
    sentinels = config.objective == "span-corruption"
    described = tokenizer.describe(sentinels)
    prints = mixture.fingerprint()
    teacher = load_teacher(config.teacher, config.dtype, worker.device(config.device), revision)
    tokenizer.check_fits(teacher.facts.vocab_rows)
    body = plan_body(config, teacher, prints, described)
    if not folder_exists(plan_path(config.cache), "plan"):
        require_free(config.cache)
        mixture.require_documents()  # a wrong field or an empty corpus is refused before a plan holds it
    with Claims(config.cache) as claims:
        claims.wait(PREPARATION, lambda: say(f"waiting for another worker to prepare {config.cache}"))
        plan, source, table = _prepare(config, body, teacher, tokenizer, mixture.documents)
        claims.release(PREPARATION)
        calibration = PublishedFolder(calibration_path(config.cache), "calibration")
        _say_calibration(calibration.document, plan, say)
        encoder = ShardEncoder(plan, calibration, teacher, source)
        report = _dump_shards(config, table, plan["codec"], encoder, claims, worker)
    if worker.leads:
        say(_summary(report, config, table))
        _say_tail(open_cache(config.cache, allow_unfinished=True).fidelity(), plan, say)
    return report


def _prepare(
    config: DumpConfig, body: dict[str, Any], teacher: Teacher, tokenizer: TextTokenizer, corpus: Documents
) -> tuple[dict[str, Any], ExampleSource, list[ShardRange]]:
    """Everything before the shards, where it is not published yet: the plan, the source of examples, the shard table."""
    plan = ensure_plan(config, body, tokenizer.files()).document
    for parent in parents(config.cache):
        remove_abandoned(parent)
    _chosen(config, _table(plan, planned_totals(config, plan)))  # refused before the corpus is read
    source = ExampleSource(config.cache, plan)
    _ensure_segments(config, source, corpus, tokenizer)
    table = _table(plan, ensure_extent(config, plan))
    if not folder_exists(calibration_path(config.cache), "calibration"):
        calibrate(config.cache, plan, teacher, source, config.examples)
    return plan, source, table


def _table(plan: dict[str, Any], totals: list[int]) -> list[ShardRange]:
    return shard_table(plan["validation_examples"], totals, plan["shard_examples"])


def _silent(_line: str) -> None:
    """What a rank other than the first says."""


def _ensure_segments(config: DumpConfig, source: ExampleSource, corpus: Documents, tokenizer: TextTokenizer) -> None:
    segments = source.segments
    segments.ensure(config.validation_examples, config.examples, corpus, tokenizer.encode_batch)
    available = segments.count("train") * config.passes
    if available < config.examples:
        raise CorpusError(
            f"the corpus is too short: it holds {segments.count('train')} training examples of this length"
            + (f" ({available} in {config.passes} passes)" if config.passes > 1 else "")
            + f", {config.examples} were asked for; lower --examples or raise --passes"
        )


def _chosen(config: DumpConfig, table: list[ShardRange]) -> list[ShardRange]:
    """The shards that `--shards` names, or all. Raises ConfigurationError where it names none of the table."""
    return table if config.shards is None else [table[place] for place in positions_in(config.shards, len(table))]


def _dump_shards(
    config: DumpConfig, table: list[ShardRange], codec: str, encoder: ShardEncoder, claims: Claims, worker: Worker
) -> DumpReport:
    root, chosen = config.cache, _chosen(config, table)
    total, there = examples_in(chosen), published(shards_path(root), chosen)
    pending = worker.in_order([shard for shard in chosen if shard not in there])
    missing = examples_in(pending)
    begun = perf_counter()
    with progress_bar("dump", total, "example", initial=total - missing, shown=worker.leads) as bar:

        def progress() -> None:
            if not bar.disable:
                bar.update(total - missing + examples_in(list(published(shards_path(root), pending))) - bar.n)

        own = make_shards(root, codec, pending, encoder, claims, progress)
        progress()
    return DumpReport(root, missing, own, perf_counter() - begun, encoder.timings)


def _summary(report: DumpReport, config: DumpConfig, table: list[ShardRange]) -> str:
    """What was done, what for, and what the cache still misses."""
    there = published(shards_path(report.cache), table)
    left = [place for place, shard in enumerate(table) if shard not in there]
    total = examples_in(_chosen(config, table))
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
