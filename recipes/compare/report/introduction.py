"""Write the first paragraph of a report: what is compared, and what the rows have in common."""

from collections.abc import Sequence

from ....runtime.options import changed_from_defaults, marked
from ....student_train.config import VARIED
from ..file.settings import MAIN, Comparison, Options, Student

ROW = ("objective", "logits")
"""The options that a row's name implies."""


def what_is_compared(comparison: Comparison) -> str:
    """Return the paragraph: teacher, rows, common options, each row's own options, and tasks."""
    rows = {student.name: student for student in comparison.students}
    common = _common([_options(student) for student in rows.values()])
    own = {name: _own(student, common) for name, student in rows.items()}
    differing = "".join(f"; {name} with {_listed(options)}" for name, options in own.items() if options)
    unequal = any(name in options for options in own.values() for name in ("steps", "batch_size"))
    return (
        f"Teacher {comparison.teacher}. Rows {', '.join(rows)}; sizes {', '.join(comparison.sizes)}; {comparison.seeds} seeds of "
        f"distillation; trained with {_listed(common)}{differing}. Evaluated on {', '.join(comparison.tasks)}. Every row has the "
        f"same {'seeds' if unequal else 'steps, examples and seeds'}; its learning rate is {_rate(comparison)}."
    )


def _rate(comparison: Comparison) -> str:
    tried = {student.learning_rates for student in comparison.students}
    if any(len(rates) > 1 for rates in tried):
        own = "" if len(tried) == 1 else " of its own rates, which are listed below,"
        return f"the best{own} by the validation loss of its own objective with the first seed"
    return f"{comparison.students[0].learning_rates[0]:g}" if len(tried) == 1 else "listed below"


def _own(student: Student, common: Options) -> Options:
    """Return the options that only this row has, and its cache if it is not the main one."""
    cache = {} if student.cache == MAIN else {"cache": student.cache}
    return {name: value for name, value in _options(student).items() if name not in (*common, *ROW)} | cache


def _options(student: Student) -> Options:
    """Return the options of a student that are not the defaults, without its size, which is in its label."""
    changed = changed_from_defaults(student.settings)
    return {name: value for name, value in changed.items() if name not in marked(student.settings, VARIED)}


def _common(options: Sequence[Options]) -> Options:
    """Return the options in which all rows agree."""
    first, *others = options
    alike = {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}
    return {name: value for name, value in alike.items() if name not in ROW}


def _listed(options: Options) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in options.items())


def _words(value: object) -> str:
    """Return a value for people; of several with an "and" between them."""
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)
