"""Make folders of a cache again: segments, then the calibration, then shards.

A damaged folder is set aside by a rename, made again and compared with what is left of the old one. If anything fails, the old
folder is put back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...errors import CacheDamagedError, CacheMismatchError, ConfigurationError
from ...models.pretrained import pin_revision
from ...runtime.devices import choose_device
from ...runtime.progress import progress_bar
from ...storage.documents.marker import Marker
from ...storage.documents.plan import Plan
from ...storage.folder import PublishedFolder, publish_folder
from ...storage.layout import calibration_path, plan_path, read_extents, shard_path, shard_table
from ...storage.survey import SINGLE, survey
from ...teacher_dump.calibration.calibrate import calibrate
from ...teacher_dump.calibration.sentinel_order import in_order, order_in
from ...teacher_dump.corpus.corpus import parse_corpus
from ...teacher_dump.corpus.mixture import Mixture
from ...teacher_dump.corpus.tokenizer import TextTokenizer
from ...teacher_dump.examples.segments import SEGMENTS_PER_FOLDER, SegmentStore, TextSource
from ...teacher_dump.examples.source import ExampleSource
from ...teacher_dump.plan import compare_plans, numeric_environment, planned_teacher
from ...teacher_dump.shards.encoder import ShardEncoder
from ...teacher_dump.teacher import Teacher, load_teacher
from .aside import compared, discard, put_back, set_aside
from .config import RepairConfig


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that the folders were made from, each checked against the plan."""

    teacher: Teacher
    tokenizer: TextTokenizer
    corpus: Mixture


def open_sources(cache: Path, plan: Plan, config: RepairConfig) -> Sources:
    """Open teacher, tokenizer and corpora. Raises CacheMismatchError if they do not match the plan."""
    teacher_name = config.teacher or plan.teacher.name
    mixture = _mixture(config.corpus, config.split, plan)
    revision = pin_revision(teacher_name, plan.teacher.revision)
    tokenizer = TextTokenizer.load(teacher_name, revision)
    described = tokenizer.describe(sentinels=plan.task.corruption is not None)
    teacher = load_teacher(teacher_name, plan.teacher.dtype, choose_device(config.device), revision, plan.task.text)
    prints = mixture.fingerprint()
    ours = replace(
        plan,
        teacher=planned_teacher(teacher, plan.teacher.dtype),
        tokenizer=in_order(described, order_in(plan.tokenizer, described)),
        corpus=prints.planned,
        environment=numeric_environment(teacher.device, plan.environment.threads),
    )
    torch.set_num_threads(plan.environment.threads)
    compare_plans(cache, PublishedFolder(plan_path(cache), "plan"), ours, prints.lists, config.mixed_environment)
    return Sources(teacher, tokenizer, mixture)


def _mixture(names: Sequence[str], split: str, plan: Plan) -> Mixture:
    """Return the plan's mixture of these corpora. A hub dataset has the commit of the dump, unless its name gives another."""
    planned, corpora = plan.corpus, []
    if len(names) != len(planned.parts):
        raise ConfigurationError(
            f"expected {len(planned.parts)} --corpus in the order of the dump, found {len(names)}; give the same ones again"
        )
    for name, part in zip(names, planned.parts, strict=True):
        corpora.append(parse_corpus(name, part.fields or planned.fields, part.hub.split if part.hub else split))
    mixture = Mixture(
        corpora=tuple(corpora),
        weights=tuple(part.weight for part in planned.parts),
        shuffle_buffer=planned.shuffle_buffer,
        seed=plan.seed,
        distinct=bool(planned.distinct),
    )
    return mixture.pinned(planned)


class Redo:
    """Make folders again; `done` says how each compares with what was published."""

    def __init__(self, cache: Path, plan: Plan, sources: Sources, mixed_environment: bool) -> None:
        self.done: dict[str, str] = {}
        self._root, self._plan, self._sources, self._mixed = cache, plan, sources, mixed_environment
        self._totals = [extent.examples for extent in read_extents(cache, plan.digest)]

    def run(self, targets: list[str]) -> None:
        """Make these folders again."""
        segments = [name for name in targets if name.startswith("segments/")]
        with self._aside(segments):
            if segments:
                self._segments()
        if "calibration" in targets:
            with self._aside(["calibration"]):
                self._calibrate()
        shards = [name for name in targets if name.startswith("shards/")]
        with self._aside(shards):
            self._dump(shards)

    @contextmanager
    def _aside(self, names: list[str]) -> Iterator[None]:
        """Set these folders aside. At the end compare each new folder with the old one; after an error put the old ones back."""
        asides = {name: set_aside(self._root / name) for name in names}
        try:
            yield
            for name, aside in asides.items():
                self._settle(name, aside)
        except BaseException:
            for name, aside in asides.items():
                put_back(aside, self._root / name)
            raise

    def _settle(self, name: str, aside: Path) -> None:
        """Compare the new folder with what is left of the old one, and remove the old one."""
        verdict = compared(aside, PublishedFolder(self._root / name, SINGLE.get(name, "marker")))
        if not verdict and not self._mixed:
            raise CacheMismatchError(
                f"{self._root / name}: the new values differ from the published ones, so the old folder was put back. Repair it "
                "in the environment of the dump, or accept the new values with --mixed-environment"
            )
        discard(aside)
        self.done[name] = verdict or "made again in another environment, with other values"

    def _segments(self) -> None:
        """Make the missing segments, in the same folders as the runs that planned the extents. Each store fills the first gap."""
        validation, corpus = self._plan.validation_examples, self._sources.corpus
        wanted = [(stop, 0) for stop in _stops([validation])] + [(validation, stop) for stop in _stops(self._totals)]
        tokenizer, before = self._sources.tokenizer, set(survey(self._root).folders)
        text = TextSource(corpus.documents, tokenizer.encoder(self._plan.task.corruption is None), tokenizer.unknown_id)
        for counts in wanted:
            SegmentStore(self._root, self._plan).ensure(*counts, text)
        made = [name for name in survey(self._root).folders if name not in before]
        self.done |= dict.fromkeys(made, "made again; nothing is left to compare it with")

    def _calibrate(self) -> None:
        """Make the calibration of the first extent, or of a later extent if the shards name that one."""
        source, teacher = ExampleSource(self._root, self._plan), self._sources.teacher
        pinned_by = _parents(self._root)
        for total in self._totals:
            calibrate(self._root, self._plan, teacher, source, total)
            if not pinned_by or PublishedFolder(calibration_path(self._root), "calibration").digest in pinned_by:
                return
            discard(calibration_path(self._root).local)
        raise CacheMismatchError(
            f"{calibration_path(self._root)}: the shards name another digest ({', '.join(sorted(pinned_by))}), "
            "so the old folder was put back. Restore it from a copy, or repair it in the environment of the dump"
        )

    def _dump(self, names: list[str]) -> None:
        if not names:
            return
        plan, calibration = self._plan, PublishedFolder(calibration_path(self._root), "calibration")
        encoder = ShardEncoder(plan, calibration, self._sources.teacher, ExampleSource(self._root, plan))
        table = shard_table(plan.validation_examples, self._totals, plan.shard_examples)
        shards = [shard for shard in table if f"shards/{shard.name}" in names]
        with progress_bar("repair", len(shards), "shard") as bar:
            for shard in shards:
                encoded, path = encoder.encode(shard), shard_path(self._root, shard.split, shard.number)
                publish_folder(path, "marker", encoded.marker.body(), encoded.columns, codec=plan.codec)
                bar.update()


def _stops(totals: list[int]) -> list[int]:
    """Return the number after the last segment of each folder, if dumps to these totals ran one after another."""
    stops, count = [], 0
    for total in totals:
        while count < total:
            count += min(SEGMENTS_PER_FOLDER, total - count)
            stops.append(count)
    return stops


def _parents(root: Path) -> set[str]:
    """Return the calibrations that sound shards name as their parent."""
    markers = [name for name in survey(root).folders if name.startswith("shards/")]
    return {parent for name in markers for parent in _parent_of(root / name)}


def _parent_of(path: Path) -> Iterator[str]:
    try:
        yield PublishedFolder(path, "marker").parsed(Marker).parent
    except (CacheDamagedError, CacheMismatchError):
        return
