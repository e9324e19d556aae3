"""Check whether a comparison can work before its first step, so that a mistake ends the command now and not after hours."""

from collections.abc import Sequence
from pathlib import Path

from ....errors import ConfigurationError
from ....evaluation.tasks.known import find_task
from ....models.size import parse_size
from ....runtime.durable import is_there
from ....student_train.objective import Objective, build_objective
from ....student_train.terms import trains_head
from .paths import Paths
from .settings import MAIN, Comparison, Student


def check(comparison: Comparison) -> None:
    """Raise ConfigurationError for what cannot work, with its place in the file."""
    for key, entries in (("rows", comparison.students), ("tasks", comparison.tasks)):
        if not entries:
            raise ConfigurationError(f"{key}: expected at least one, found none; name one")
    if comparison.seeds < 1:
        raise ConfigurationError(f"seeds should be at least 1, not {comparison.seeds}")
    _require_folders_of_their_own(comparison.everyone)
    for name in comparison.caches:
        _require_chain_ends(comparison, name)
        if comparison.caches[name].settings.validation_examples < 1:
            raise ConfigurationError(
                "dump: validation_examples should be at least 1, because learning rates are chosen by them"
            )
        _require_states(comparison, name)
    for student in comparison.everyone:
        _check_student(comparison, student)
    _require_use_of(comparison)
    for task in comparison.tasks:
        find_task(task)


def _require_folders_of_their_own(students: Sequence[Student]) -> None:
    paths = Paths(Path())
    seen: dict[Path, Student] = {}
    for student in students:
        folder = paths.student(student, 1e-3, 0)
        if folder in seen:
            raise ConfigurationError(
                f"{seen[folder].label} and {student.label} share the folder name {folder.name}; rename one of them"
            )
        seen[folder] = student


def _require_states(comparison: Comparison, name: str) -> None:
    """Raise ConfigurationError for filters of a cache without hidden states."""
    recipe, where = comparison.caches[name], "dump" if name == MAIN else f"caches, {name}"
    settings = recipe.settings
    sites = [one.partition("@")[0] for signal in settings.sites for one in signal.split(",")]
    states = settings.distributions == "from-hidden" or any(site.endswith(".hidden") for site in sites)
    if recipe.filters is not None and not states:
        named = ", ".join(dict.fromkeys(sites)) or "none"
        raise ConfigurationError(
            f"{where}: filters need hidden states, and its signals are {named}; add encoder.hidden@all and decoder.hidden@all to "
            "signals, or leave them out with `filters: false`"
        )


def _require_use_of(comparison: Comparison) -> None:
    """Raise ConfigurationError for a cache that would be dumped for nothing."""
    used = {MAIN, *(student.cache for student in comparison.everyone)}
    for name in comparison.caches:
        if name not in used:
            raise ConfigurationError(
                f"caches, {name}: no row and no assistant has `cache: {name}`, and it would be dumped for nothing; give it to a "
                f"row, or leave it out with `{name}: false`"
            )


def _check_student(comparison: Comparison, student: Student) -> None:
    if student.cache not in comparison.caches:
        known = ", ".join(comparison.caches)
        raise ConfigurationError(f"{student.name}: unknown cache {student.cache}; expected one of {known}")
    try:
        if student.settings.keep is None and not is_there(Path(student.size)):
            parse_size(student.size)
        objective = _objective(student)
    except ConfigurationError as error:
        raise ConfigurationError(f"{student.name}: {error}") from None
    if comparison.caches[student.cache].settings.encoder_only:
        raise ConfigurationError(
            f"{student.name}: encoder_only in the dump of {student.cache}: a comparison evaluates models with a decoder; use "
            "train-student and evaluate for encoders"
        )
    if comparison.caches[student.cache].filters is None and any(term.kind == "filtered" for term in objective.terms):
        where = "dump" if student.cache == MAIN else f"caches, {student.cache}"
        raise ConfigurationError(
            f"{student.name}: objective {student.settings.objective} needs filters, and the cache {student.cache} gets none; "
            f"add `filters:` below {where}"
        )
    examples, batch = comparison.caches[student.cache].settings.examples, student.settings.batch_size
    if batch > examples:
        raise ConfigurationError(
            f"{student.name}: batch_size {batch} is larger than the {examples:,} examples of the dump; lower it, or dump more"
        )
    teacher = comparison.caches[student.cache].teacher
    if (
        teacher
        and any(term.kind == "logits" for term in objective.terms)
        and not trains_head(_objective(comparison.assistants[teacher]))
    ):
        raise ConfigurationError(
            f"{student.name} learns the logits of {teacher}, but the objective of {teacher} does not train its head; "
            f"give {teacher} an objective that does"
        )


def _objective(student: Student) -> Objective:
    settings = student.settings
    return build_objective(settings.objective, settings.logits, settings.weight, settings.temperature, settings.stacks)


def _require_chain_ends(comparison: Comparison, name: str) -> None:
    """Follow a cache to its assistant, to that assistant's cache and so on; the chain must end at the teacher."""
    seen = [name]
    while (teacher := comparison.caches[seen[-1]].teacher) is not None:
        if teacher not in comparison.assistants:
            known = ", ".join(comparison.assistants) or "none"
            raise ConfigurationError(f"caches, {seen[-1]}: unknown assistant {teacher}; expected one of {known}")
        following = comparison.assistants[teacher].cache
        if following not in comparison.caches:
            known = ", ".join(comparison.caches)
            raise ConfigurationError(f"assistants, {teacher}: unknown cache {following}; expected one of {known}")
        if following in seen:
            raise ConfigurationError(
                f"caches, {name}: its teachers form a circle: {' <- '.join(seen)}; let one of these learn from the teacher"
            )
        seen.append(following)
