"""What the models of a comparison write: for validation examples of the cache, and as answers on the tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....cache import open_cache
from ....errors import shortened
from ....evaluation.samples import task_samples
from ....evaluation.tasks.known import find_task
from ....runtime.report.blocks import Block, Heading, Listing, Paragraph
from ...samples import shown_examples, written_samples
from ..file.paths import Paths
from ..file.settings import MAIN, Comparison
from .results import VALIDATION, Results

LONGEST = 700
"""The most characters of a text."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One example: what was read, what is right, and the text of each model by name."""

    title: str
    text: str
    target: str
    written: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Samples:
    """Everything that the report shows of it."""

    samples: Sequence[Sample]
    without_head: Sequence[str]
    """The students that write nothing, because their objective does not train the head."""


def gather_samples(comparison: Comparison, results: Results, paths: Paths) -> Samples | None:
    """Return what is on disk so far, by the students of the first seed; None before anything is there."""
    folders = {"teacher": paths.teacher_evaluation}
    folders |= {one.student.label: paths.evaluation(one.outputs[0]) for one in results.students if 0 in one.outputs}
    written = {name: texts for name, folder in folders.items() if (texts := written_samples(folder))}
    samples = []
    if written:
        for number, (text, target) in enumerate(shown_examples(open_cache(paths.cache(MAIN)))):
            there = {name: texts[number] for name, texts in written.items() if number < len(texts)}
            samples.append(Sample(f"Validation example {number + 1}", text, target, there))
    for task in comparison.tasks:
        samples += _of_task(task, folders)
    without = [one.student.label for one in results.students if one.outputs and not one.column(VALIDATION)]
    return Samples(samples, without) if samples else None


def _of_task(name: str, folders: Mapping[str, Path]) -> Iterator[Sample]:
    """Yield the shown examples of a task with the answers of all that are evaluated on it."""
    answered = {model: some for model, folder in folders.items() if (some := task_samples(folder, find_task(name)))}
    for number, rows in enumerate(zip(*answered.values(), strict=False)):
        answers = {model: row.answer for model, row in zip(answered, rows, strict=True)}
        yield Sample(f"{name}, example {number + 1}", rows[0].text, rows[0].target, answers)


def sample_blocks(samples: Samples) -> Iterator[Block]:
    """Yield the examples, one after the other."""
    yield Heading("What they write")
    yield Paragraph(
        "Validation examples of the cache, written greedily by the teacher and by the students of the first seed, and the first "
        "examples of each task with the answers after fine-tuning. These are examples, not a measurement."
    )
    if samples.without_head:
        yield Paragraph(
            f"The objective of {', '.join(samples.without_head)} does not train the head, so only the answers after fine-tuning "
            "are shown."
        )
    for one in samples.samples:
        yield Heading(one.title, 3)
        entries = [("input", one.text), ("target", one.target), *one.written.items()]
        yield Listing([(name, shortened(text, LONGEST) or "(empty)") for name, text in entries], literal=True)
