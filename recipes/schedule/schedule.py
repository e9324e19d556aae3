"""`miniend schedule`: train the candidates of a sorted teacher from its cache, choose the assistant, and write it.

The training is train-student's: a sandwich (`student_train/sandwich.py`), or with `--independent` several students in one pass.
An interrupted one is continued; what follows it takes seconds and is made again.
"""

from pathlib import Path
from typing import Any

from ...cache import Cache, open_cache
from ...errors import RunMismatchError
from ...evaluation.facts import gflops
from ...models.families import parameter_counts
from ...models.pruning.prefix import cut_model, skeleton_of
from ...models.pruning.widths import Widths
from ...models.save import save_student
from ...models.start.checkpoint import load_student
from ...runtime.claims import holds_files, sole_writer
from ...runtime.durable import is_there
from ...runtime.launcher import leads
from ...runtime.links import require_no_links
from ...runtime.options import completed
from ...runtime.printing import Result
from ...runtime.progress import Log
from ...runtime.there import look
from ...student_train.config import SandwichConfig
from ...student_train.run.metrics import last_validation
from ...student_train.run.setup import start_request
from ...student_train.sandwich import name_of, widths_by_name
from ...student_train.train import train_students
from .card import candidate_card
from .choice import Scored, choose, reigns
from .config import ScheduleConfig
from .record import CandidateRecord, ReignRecord, ScheduleRecord, write_schedule
from .recorded import RECORD, keep_record
from .report import next_hop, report
from .scheduled import ASSISTANT, CANDIDATES, TARGET, Schedule
from .scores import require_score, score_of

MASTER = "master"
"""The folder of the run whose weights all candidates share."""


def schedule(config: ScheduleConfig, log: Log) -> Schedule | None:
    """Train and choose; return what was chosen. Of several processes only the first writes it, and the others return None.

    Raises CacheMismatchError for a cache that cannot give the score, ConfigurationError for candidates that cannot learn
    together, RunMismatchError for an output that holds something else, and what training raises.
    """
    cache = open_cache(config.cache, config.allow_unfinished)
    require_score(config.score, cache)
    if not leads():
        train_students(runs_of(config), log)
        return None
    with sole_writer(config.output):
        _require_own(config.output)
        keep_record(config)
        train_students(runs_of(config), log)
        made = _write(config, cache, log)
    for line in made.lines():
        log(Result(line))
    for _, command in next_hop(made):
        log(f"next: {command}")
    return made


def runs_of(config: ScheduleConfig) -> list[SandwichConfig]:
    """Return the runs that train the candidates: one whose weights they share, or one for each."""

    def run(keeps: tuple[float, ...], output: Path) -> SandwichConfig:
        return completed(SandwichConfig, config, keeps=keeps, keep=keeps[0], output=output)

    if config.independent:
        return [run((keep,), config.output / CANDIDATES / name_of(keep)) for keep in config.keeps]
    return [run(config.keeps, config.output / MASTER)]


def _require_own(output: Path) -> None:
    """Raise RunMismatchError for a directory that holds something else than a schedule."""
    require_no_links(output)
    if holds_files(output) and not is_there(output / RECORD):
        raise RunMismatchError(
            f"{output} exists and does not hold a schedule: it is {look(output).words}; name an empty or new directory"
        )


def _write(config: ScheduleConfig, cache: Cache, log: Log) -> Schedule:
    models: dict[float, tuple[Any, Path]] = {}
    for run in runs_of(config):
        trained = load_student(run.output, start_request(cache, None, 0)["teacher_config"])
        models |= dict.fromkeys(run.keeps, (trained, run.output))
    whole = models[config.keeps[0]][0]
    widths = widths_by_name(config.keeps, cache, whole.config)
    full = parameter_counts(skeleton_of(whole, widths_by_name((1.0,), cache, whole.config)[name_of(1.0)]))[1]
    candidates = [_candidate(config, cache, keep, widths[name_of(keep)], models[keep], full) for keep in config.keeps]
    scored = [Scored(one.keep, one.size, one.score) for one in candidates]
    record = ScheduleRecord(
        teacher=cache.plan.teacher.name,
        teacher_digest=cache.plan.teacher.tensor_digest,
        cache_digest=cache.digest,
        score=config.score,
        tradeoff=config.tradeoff,
        independent=config.independent,
        steps=config.steps,
        assistant=choose(scored, config.target, config.tradeoff).keep,
        target=config.target,
        candidates=tuple(candidates),
        reigns=tuple(ReignRecord(start=one.start, keep=one.keep) for one in reigns(scored, config.target)),
    )
    made = Schedule(config.output, record)
    folders = {config.output / ASSISTANT: record.assistant, config.output / TARGET: record.target}
    if config.save_all and not config.independent:
        folders |= {config.output / CANDIDATES / name_of(keep): keep for keep in config.keeps}
    for folder, keep in folders.items():
        one = next(one for one in candidates if one.keep == keep)
        model = cut_model(models[keep][0], widths[name_of(keep)])
        card = candidate_card(record, one, config.objective, cache.plan.teacher.revision is not None)
        save_student(model, folder, cache.tokenizer_files(), card)
    write_schedule(config.output, record)
    report(made, log)
    return made


def _candidate(
    config: ScheduleConfig, cache: Cache, keep: float, widths: Widths, trained: tuple[Any, Path], full: int
) -> CandidateRecord:
    """Return a candidate's record, from the trained model that it is cut from and that model's run."""
    model, run = trained
    means = {
        name.removeprefix(f"{name_of(keep)}."): value
        for name, value in last_validation(run).items()
        if name.startswith(f"{name_of(keep)}.")
    }
    skeleton = skeleton_of(model, widths)
    parameters, without_embeddings = parameter_counts(skeleton)
    score, size = score_of(config.score, means, cache), without_embeddings / full
    return CandidateRecord(
        keep=keep,
        heads=widths.heads,
        d_ff=widths.d_ff,
        parameters=parameters,
        parameters_without_embeddings=without_embeddings,
        size=size,
        gflops=gflops(skeleton),
        cross_entropy=means["cross_entropy"],
        score=score,
        tradeoff=Scored(keep, size, score).tradeoff(config.tradeoff),
    )
