"""Prepare a dump: open its sources, then make plan, segments, extent and calibration. The shards come after that."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from ..errors import CorpusError
from ..models.pretrained import pin_revision, read_raw_config
from ..storage.documents.plan import Plan, PlannedTokenizer
from ..storage.folder import PublishedFolder, folder_exists
from ..storage.layout import ShardRange, calibration_path, extent_path, parents, plan_path, shard_table
from ..storage.positions import positions_in
from ..storage.publishing.publish import remove_abandoned
from ..storage.stores.place import place_of
from .calibration.calibrate import calibrate
from .calibration.sentinel_order import in_order, order_in, require_known_order
from .config import NAMED_ORDER, OF_SPANS, DumpConfig, TeacherSettings
from .corpus.mixture import Mixture, parse_mixture
from .corpus.other_readings import DOCUMENTS, Readings, other_readings
from .corpus.tokenizer import TextTokenizer
from .examples.segments import TextSource
from .examples.source import ExampleSource
from .extents import ensure_extent, planned_totals
from .plan import ensure_plan, plan_of, require_free
from .recorded import keep_record
from .teacher import Teacher, load_teacher, require_head
from .worker import Worker


@dataclass(slots=True)
class Seconds:
    """The times spent before the shards, each 0 for a part that was published already."""

    start: float = 0.0
    """The time spent reading teacher, tokenizer and the corpora for their digests."""
    segments: float = 0.0
    calibration: float = 0.0

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Add the time spent in the block to the field `name`."""
        begun = perf_counter()
        yield
        setattr(self, name, getattr(self, name) + perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that a dump reads from, and the plan that follows from them."""

    teacher: Teacher
    tokenizer: TextTokenizer
    mixture: Mixture
    text: TextSource
    plan: Plan
    """This run's plan, which may not be published yet."""
    lists: Mapping[str, bytes]
    """The lists of files that belong to the plan, by name."""
    seconds: Seconds

    def other_readings(self, teacher: str) -> Readings:
        """Compare the other readings of the teacher's tokenizer on some text of the corpus."""
        return other_readings(teacher, self.teacher.revision, self.tokenizer, self.mixture)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A cache that has everything except shards."""

    plan: Plan
    calibration: PublishedFolder
    source: ExampleSource
    table: list[ShardRange]


def open_sources(config: DumpConfig, worker: Worker) -> Sources:
    """Load and check teacher, tokenizer and corpora. Raises MiniEndError for a user's mistakes before anything is written."""
    seconds = Seconds()
    with seconds.counting("start"):
        begun = _plan_so_far(config)
        if begun is None:
            require_free(config.cache)
        mixture = parse_mixture(config).pinned(begun.corpus if begun else None)
        known = begun.teacher.revision if begun and begun.teacher.name == config.teacher else None
        revision = pin_revision(config.teacher, config.teacher_revision, known)
        require_head(config.teacher, read_raw_config(config.teacher, revision), config.encoder_only)
        tokenizer = TextTokenizer.load(config.teacher, revision)
        described = _describe(config, tokenizer, begun)
        whole = config.made_by != OF_SPANS
        text = TextSource(mixture.documents, tokenizer.encoder(whole), tokenizer.unknown_id)
        prints = mixture.fingerprint()
        teacher = load_teacher(
            config.teacher, config.dtype, worker.device(config.device), revision, config.encoder_only
        )
        tokenizer.check_fits(teacher.facts.vocab_rows)
        plan = plan_of(config, teacher, prints.planned, described)
        if not folder_exists(plan_path(config.cache), "plan"):
            mixture.require_documents()  # refuse a wrong field or an empty corpus before a plan holds it
            if plan.task.corruption and config.sentinel_order is None:
                texts = (text for (text,) in mixture.first_documents(DOCUMENTS))
                require_known_order(teacher, described, plan.task.corruption, texts, text.encode)
    return Sources(teacher, tokenizer, mixture, text, plan, prints.lists, seconds)


def _plan_so_far(config: DumpConfig) -> Plan | None:
    """Return the published plan; None if the cache does not have one yet."""
    path = plan_path(config.cache)
    return PublishedFolder(path, "plan").parsed(Plan) if folder_exists(path, "plan") else None


def _describe(config: DumpConfig, tokenizer: TextTokenizer, begun: Plan | None) -> PlannedTokenizer:
    """Return the tokenizer with its sentinels in the order that was asked for, or else in that of a published plan."""
    described = tokenizer.describe(config.made_by == OF_SPANS)
    if config.sentinel_order is not None or begun is None:
        return in_order(described, config.sentinel_order or NAMED_ORDER)
    return in_order(described, order_in(begun.tokenizer, described))


def prepare(config: DumpConfig, sources: Sources) -> Prepared:
    """Publish plan, segments, extent and calibration if they are not published yet, and return them."""
    plan, source = prepare_examples(config, sources)
    table = _table(plan, ensure_extent(config, plan))
    path = calibration_path(config.cache)
    if not folder_exists(path, "calibration"):
        with sources.seconds.counting("calibration"):
            calibrate(config.cache, plan, sources.teacher, source, config.examples)
    return Prepared(plan, PublishedFolder(path, "calibration"), source, table)


def prepare_examples(config: DumpConfig, sources: Sources) -> tuple[Plan, ExampleSource]:
    """Publish only plan and segments if they are not published yet, and return the plan and the source of examples."""
    plan = ensure_plan(config, sources.plan, sources.tokenizer.files, sources.lists)
    for parent in parents(config.cache):
        remove_abandoned(parent)
    chosen(config, _table(plan, planned_totals(config, plan)))  # refuse wrong --shards before we read the corpus
    keep_record(config)
    source = ExampleSource(config.cache, plan)
    with sources.seconds.counting("segments"):
        try:
            _ensure_segments(config, source, sources)
        except CorpusError as error:
            if place_of(config.cache).bucket is None or folder_exists(extent_path(config.cache, 0), "extent"):
                raise
            stays = f"the plan stays in the store: name another --cache, or remove {config.cache}"
            raise CorpusError(f"{error}. For other settings, {stays}") from error
    return plan, source


def chosen(config: TeacherSettings, table: list[ShardRange]) -> list[ShardRange]:
    """Return the shards that `--shards` names, or all. Raises ConfigurationError if it names one outside the table."""
    return table if config.shards is None else [table[place] for place in positions_in(config.shards, len(table))]


def _table(plan: Plan, totals: list[int]) -> list[ShardRange]:
    return shard_table(plan.validation_examples, totals, plan.shard_examples)


def _ensure_segments(config: DumpConfig, source: ExampleSource, sources: Sources) -> None:
    segments = source.segments
    segments.ensure(config.validation_examples, config.examples, sources.text)
    available = segments.count("train") * config.corpus_epochs
    if available < config.examples:
        raise CorpusError(
            f"the corpus is too short: expected {config.examples:,} training examples of this length, "
            f"found {segments.count('train'):,}"
            + (f" ({available:,} in {config.corpus_epochs} passes)" if config.corpus_epochs > 1 else "")
            + f"; lower --examples or {'raise --corpus-epochs' if config.made_by == OF_SPANS else 'give more text'}"
        )
