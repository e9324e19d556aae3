"""The plan: everything that decides the bytes of a cache. The first run publishes it; later runs compare theirs with it."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import torch

from ..cache import TOKENIZER_FOLDER
from ..cache.contents import require_configuration
from ..errors import CacheMismatchError
from ..models.lent import config_meaning
from ..runtime.claims import excludes_others
from ..runtime.identity import different_members, require_same
from ..runtime.there import cache_around, listed, look
from ..signals.choices import FROM_HIDDEN, NOTHING
from ..signals.kinds import kind_of, parse_sites
from ..signals.logits.code import ENTROPY_STEP
from ..signals.logits.states import state_site
from ..signals.sites import Site
from ..storage.documents.plan import (
    PAIRS,
    TEXT,
    Derived,
    Environment,
    FinalNorm,
    Plan,
    PlannedCorpus,
    PlannedLogits,
    PlannedSignals,
    PlannedTeacher,
    PlannedTokenizer,
    SpanCorruption,
    Task,
    TeacherFacts,
)
from ..storage.folder import PublishedFolder, folder_exists, publish_or_accept
from ..storage.layout import extent_path, plan_path
from ..storage.publishing.discard import discard
from ..storage.stores.place import Where, place_of
from ..storage.survey import OPTIONS_FILE
from .config import DumpConfig
from .corpus.file_lists import first_difference
from .examples.packing import EOS_BETWEEN_DOCUMENTS
from .examples.segments import SegmentStore
from .examples.span_corruption import lengths, require_sentinels, shortest_segment
from .teacher import Teacher

NOT_COMPARED = ("environment", "derived")
NAMES_OF_THE_TEACHER = ("name", "revision")
"""The members of a teacher that we do not compare, because the digest of its tensors decides."""
TYPED = {
    "teacher": "--teacher",
    "teacher.dtype": "--dtype",
    "tokenizer": "--teacher",
    "corpus.parts": "--corpus",
    "corpus.parts.weight": "--corpus-weight",
    "corpus.fields": "--field",
    "corpus.shuffle_buffer": "--shuffle-buffer",
    "corpus.distinct": "--drop-duplicates",
    "objective.kind": "--task",
    "objective.input_length": "--input-length",
    "objective.target_length": "--target-length",
    "objective.shortest_input_length": "--shortest-input-length",
    "objective.noise_density": "--noise-density",
    "objective.mean_span": "--mean-noise-span-length",
    **{f"objective.{name}": f"--{name}" for name in ("prefix", "residues", "pipeline")},
    **{
        name: f"--{name.replace('_', '-')}"
        for name in ("seed", "validation_examples", "batch_size", "shard_examples", "codec")
    },
    "signals.relations": "--signal",
    "signals.hidden": "--signal",
    **{f"signals.{name}": f"--{name.replace('_', '-')}" for name in ("relation_kl", "relation_step", "relation_rank")},
    **{f"signals.{name}": f"--{name.replace('_', '-')}" for name in ("relation_temperature", "calibration_examples")},
    **{f"signals.{name}": f"--{name.replace('_', '-')}" for name in ("hidden_error", "hidden_code")},
    "signals.logits": "--logits",
    "signals.logits.kind": "--logits",
    "signals.logits.k": "--top-k",
    "signals.logits.top_p": "--top-p",
    "signals.logits.draws": "--draws",
    "signals.logits.step": "--logit-step",
    "signals.logits.temperatures": "--temperature",
}
"""What decides the members of a plan, as the user types it."""
DERIVED = (*(f"objective.{name}" for name in ("target_length", "segment_length", "noise", "spans")), "signals.logits.k")
"""The members of a plan that follow from lengths, densities and draws, except for pairs and for top-k."""
MOST_THREADS = 8
"""The largest default number of a dump's threads, because several workers may share a machine."""


def plan_of(config: DumpConfig, teacher: Teacher, corpus: PlannedCorpus, tokenizer: PlannedTokenizer) -> Plan:
    """Return the plan of a dump: the values that two runs must agree on to write one cache."""
    return Plan(
        teacher=planned_teacher(teacher, config.dtype),
        tokenizer=tokenizer,
        corpus=corpus,
        task=planned_task(config, len(tokenizer.sentinel_ids)),
        seed=config.seed,
        validation_examples=config.validation_examples,
        batch_size=config.batch_size,
        shard_examples=config.shard_examples,
        codec=config.codec,
        signals=_planned_signals(config, teacher, tokenizer.size),
        environment=numeric_environment(teacher.device, config.threads or default_threads()),
        derived=Derived(
            validation_share=validation_share(config.validation_examples, config.examples, config.corpus_epochs)
        ),
    )


def planned_teacher(teacher: Teacher, dtype: str) -> PlannedTeacher:
    """Return the identity of the teacher, and what a reader of the cache must know of it."""
    return PlannedTeacher(
        name=teacher.name,
        revision=teacher.revision,
        tensor_digest=teacher.digest,
        config={key: value for key, value in teacher.raw_config.items() if not key.startswith("_")},
        facts=TeacherFacts(**asdict(teacher.facts)),
        start_id=teacher.start_id,
        pad_id=teacher.pad_id,
        dtype=dtype,
    )


def planned_task(config: DumpConfig, sentinels: int) -> Task:
    """Return how examples are made: by span corruption with its lengths, or of ready-made pairs or texts."""
    if config.made_by == TEXT:
        return Task(
            kind=config.made_by,
            input_length=config.input_length,
            prefix=config.prefix,
            residues=config.residues,
            pipeline=config.pipeline,
        )
    if config.made_by == PAIRS:
        asked = (config.input_length, config.target_length)
        return Task(kind=config.made_by, input_length=asked[0], target_length=asked[1], prefix=config.prefix)
    spans = lengths(config.input_length, config.noise_density, config.mean_noise_span_length)
    require_sentinels(spans, sentinels, config.noise_density, config.mean_noise_span_length)
    if config.shortest_input_length is not None:
        shortest_segment(config.shortest_input_length, spans, config.noise_density, config.mean_noise_span_length)
    corruption = SpanCorruption(
        segment_length=spans.segment,
        noise=spans.noise,
        spans=spans.spans,
        noise_density=config.noise_density,
        mean_span=config.mean_noise_span_length,
        eos_between_documents=EOS_BETWEEN_DOCUMENTS,
        shortest_input_length=config.shortest_input_length,
    )
    return Task(kind=config.made_by, input_length=spans.inputs, target_length=spans.targets, corruption=corruption)


def _planned_signals(config: DumpConfig, teacher: Teacher, tokenizer_size: int) -> PlannedSignals:
    logits = None if config.distributions == NOTHING else _planned_logits(config, teacher, tokenizer_size)
    asked = config.sites
    if logits and logits.from_states:
        asked = (*asked, str(state_site(teacher.family, teacher.facts)))
    sites = parse_sites(asked, teacher.family.depths(teacher.facts))
    return PlannedSignals(
        relations=_listed(sites, "relations"),
        relation_kl=config.relation_kl,
        relation_step=config.relation_step,
        relation_rank=config.relation_rank,
        relation_temperature=config.relation_temperature,
        hidden=_listed(sites, "hidden"),
        hidden_error=config.hidden_target,
        hidden_code=config.hidden_code,
        calibration_examples=config.calibration_examples,
        logits=logits,
    )


def _listed(sites: Sequence[Site], member: str) -> tuple[str, ...]:
    """Return the full names of the sites whose kinds a plan lists under this member."""
    return tuple(str(site) for site in sites if kind_of(site).member == member)


def _planned_logits(config: DumpConfig, teacher: Teacher, tokenizer_size: int) -> PlannedLogits:
    """Return the description of the logit code, with neutral values for settings that its kind does not use."""
    if config.distributions == FROM_HIDDEN:
        norm = FinalNorm(norm_epsilon=teacher.family.head_norm(teacher.model)[1])
        return PlannedLogits(
            kind=config.distributions, k=0, top_p=1.0, draws=0, step=1.0, entropy_step=1.0, temperatures=(), norm=norm
        )
    longest = {"top-k": config.top_k, "sampled": 0, "hybrid": config.draws}[config.distributions]
    return PlannedLogits(
        kind=config.distributions,
        k=min(longest, tokenizer_size),
        top_p=config.top_p if config.distributions == "top-k" else 1.0,
        draws=0 if config.distributions == "top-k" else config.draws,
        step=config.logit_step,
        entropy_step=ENTROPY_STEP,
        temperatures=config.temperatures,
    )


def validation_share(validation_examples: int, examples: int, passes: int) -> float:
    """Return the share of documents to hold out until the validation set is full: 1.5 times its part of all segments."""
    return round(min(0.5, 1.5 * validation_examples / (validation_examples + examples / passes)), 6)


def default_threads() -> int:
    """Return the number of threads for a new plan.

    It depends on the machine and not on how the process was started (torchrun exports OMP_NUM_THREADS=1). Sums over another
    number of threads may differ in their last bits.
    """
    return min(MOST_THREADS, os.cpu_count() or 1)


def numeric_environment(device: torch.device, threads: int) -> Environment:
    """Return device, processor, threads and library versions, which may change a shard's bytes like the rest of the plan."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    packages = ("torch", "transformers", "tokenizers", "numpy", "zarr", "numcodecs", "pcodec")
    return Environment(
        device=f"{device.type}: {name}",
        cpu=torch.backends.cpu.get_cpu_capability(),
        threads=threads,
        versions={package: version(package) for package in packages},
    )


def ensure_plan(
    config: DumpConfig, ours: Plan, tokenizer_files: Mapping[str, bytes], lists: Mapping[str, bytes]
) -> Plan:
    """Publish the plan, or check that the published one is the same; set its number of threads, and return it.

    If the corpus of the published plan was too short, nothing depends on that plan, and one that differs replaces it. But
    that is left to the user where nobody knows whether another worker is at it: in an object store, and without file locks.
    Raises CacheMismatchError, which names the settings that differ, and CacheDamagedError for a config.json of the teacher that
    transformers refuses. `examples` is not part of the plan and may grow.
    """
    root, path = config.cache, plan_path(config.cache)
    files = {TOKENIZER_FOLDER + name: data for name, data in tokenizer_files.items()} | dict(lists)
    there = folder_exists(path, "plan")
    if there and not folder_exists(extent_path(root, 0), "extent") and _is_only_ours(root):
        _discard_other_plan(root, ours, config.threads)
        there = folder_exists(path, "plan")
    folder = PublishedFolder(path, "plan") if there else publish_or_accept(path, "plan", ours.body(), files=files)
    plan = folder.parsed(Plan)
    threads = config.threads or plan.environment.threads
    compare_plans(root, folder, _with_threads(ours, threads), lists, config.mixed_environment)
    require_configuration(folder, plan.teacher.config)  # members without a meaning were not compared
    torch.set_num_threads(threads)
    return plan


def _is_only_ours(root: Where) -> bool:
    """Return whether the claim on the preparation keeps all other workers away."""
    place = place_of(root)
    return place.bucket is None and excludes_others(place.local)


def _discard_other_plan(root: Where, ours: Plan, threads: int | None) -> None:
    """Remove a plan that differs from this run's, with its segments, if it has none yet or its corpus is too short."""
    folder = PublishedFolder(plan_path(root), "plan")
    plan = folder.parsed(Plan)
    segments = SegmentStore(root, plan)
    validation_short = segments.exhausted("validation") and segments.count("validation") < plan.validation_examples
    nothing = not segments.count("validation") and not segments.count("train")
    body = _with_threads(ours, threads or plan.environment.threads).body()
    if (nothing or validation_short or segments.exhausted("train")) and different_members(
        {key: folder.document.get(key) for key in body}, body
    ):
        discard(root, "segments", "plan")


def _with_threads(plan: Plan, threads: int) -> Plan:
    return replace(plan, environment=replace(plan.environment, threads=threads))


def compare_plans(root: Where, folder: PublishedFolder, ours: Plan, lists: Mapping[str, bytes], mixed: bool) -> None:
    """Raise CacheMismatchError unless the plan in `folder` agrees with this run's, including the environment unless `mixed`.

    We compare the document itself, so that a member that this version does not know counts as a difference.
    """
    body = ours.body()
    theirs = folder.document
    for name in lists:
        if name in theirs["files"] and (there := folder.file(name)) != lists[name]:
            raise CacheMismatchError(
                f"{place_of(root)} holds another dump: of a corpus of many files, {first_difference(there, lists[name])} "
                "(--corpus). Use the same files, or another --cache"
            )
    compared = _compared({key: theirs.get(key) for key in body})
    remedy = "Use the same settings, or another --cache"
    subject = f"{place_of(root)} holds another dump"
    require_same(subject, compared, _compared(body), remedy, CacheMismatchError, typed=TYPED, derived=DERIVED)
    if not mixed:
        remedy = "Continue there, or accept with --mixed-environment that the shards will not be byte-identical"
        before, now = ({"environment": one["environment"]} for one in (theirs, body))  # each member of it counts
        require_same(f"{root} was started in another environment", before, now, remedy, CacheMismatchError)


def _compared(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a plan that must agree.

    The digest of the teacher's tensors is one of them, its names are not. Of its config.json we compare what it means.
    """
    members = {key: value for key, value in body.items() if key not in NOT_COMPARED}
    teacher = {key: value for key, value in body["teacher"].items() if key not in NAMES_OF_THE_TEACHER}
    teacher["config"] = config_meaning(teacher["config"])
    return members | {"teacher": teacher}


def require_free(root: Where) -> None:
    """Raise CacheMismatchError for a directory that holds something else than a cache, because we do not write into it."""
    place = place_of(root)
    if place.bucket is None and (around := cache_around(place.local)) is not None:
        raise CacheMismatchError(f"{root} is inside the cache {around}; name a directory outside of it")
    if place.bucket is None and not place.local.is_dir():
        found = look(place.local)
        if not found.free or any(one.exists() and not one.is_dir() for one in place.local.parents):
            raise CacheMismatchError(f"{root} is {found.words}; expected a directory for the cache")
    begun = (
        {OPTIONS_FILE} if place.bucket is None else {OPTIONS_FILE, "plan"}
    )  # a writer may have died before it put the document
    strangers = [name for name in place.names() if not name.startswith(".") and name not in begun]
    if strangers and not folder_exists(plan_path(root), "plan"):  # another worker may just have published the plan
        there = look(place.local).words if place.bucket is None else f"a prefix that holds {listed(sorted(strangers))}"
        raise CacheMismatchError(
            f"{root} does not hold a cache but other files: it is {there}; name an empty directory"
        )
