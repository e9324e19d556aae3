"""What the output of a command knows of its options, for the command line and for Python. Each function imports what it needs."""

from ..runtime.given import Record, Values


def of_a_dump(given: Values) -> Record | None:
    """Return what a cache knows of its dump."""
    from ..teacher_dump.recorded import recorded_dump

    return recorded_dump(given)


def of_a_training(given: Values) -> Record | None:
    """Return what an output knows of its training."""
    from ..student_train.recorded import recorded_training

    return recorded_training(given)


def of_an_evaluation(given: Values) -> Record | None:
    """Return what an output knows of its evaluation."""
    from ..evaluation.recorded import recorded_evaluation

    return recorded_evaluation(given)


def of_a_comparison(given: Values) -> Record | None:
    """Return what an output knows of its comparison."""
    from ..recipes.compare.file.recorded import recorded_comparison

    return recorded_comparison(given)


def of_a_pruning(given: Values) -> Record | None:
    """Return what an output knows of its pruning."""
    from ..recipes.prune.recorded import recorded_pruning

    return recorded_pruning(given)


def of_a_schedule(given: Values) -> Record | None:
    """Return what an output knows of its schedule."""
    from ..recipes.schedule.recorded import recorded_schedule

    return recorded_schedule(given)


def of_a_repair(given: Values) -> Record | None:
    """Return where the sources of a cache are."""
    from ..recipes.repair.recorded import recorded_sources

    return recorded_sources(given)
