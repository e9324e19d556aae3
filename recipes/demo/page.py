"""The demo's report: what its losses are, pictures, the facts of the run, tables, and what the models write."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import shortened
from ...runtime.progress import duration
from ...runtime.report.blocks import Block, Heading, Lead, Listing, Paragraph, Picture, Table, with_best_in_bold
from ...runtime.report.facts import run_facts
from ..samples import Shown
from .report import ONE_SEED, DemoResult, sentence

LONGEST = 700
"""The most characters of a text."""


def page(
    result: DemoResult, pictures: Mapping[str, Path], examples: Sequence[Shown], written: Mapping[str, Sequence[str]]
) -> Iterator[Block]:
    """Yield the whole report; `written` holds each model's texts for the examples."""
    yield Heading("The demo: one cache of a teacher, and its students", 1)
    yield Lead(f"One seed decides nothing. {sentence(result)}", [ONE_SEED])
    for caption, path in pictures.items():
        yield Picture(path, caption)
    yield Heading("The run")
    yield Listing(run_facts(_seconds(result), {name: result.output / name for name in ("teacher", "cache")}))
    yield Heading("Losses")
    yield _losses(result)
    yield Paragraph(
        "Hard-label cross-entropy of the validation examples in nats per target token, lower is better. Bold: the best student."
    )
    yield Heading("Sizes")
    yield _sizes(result)
    yield Paragraph("Raw is Q, K, V and the full next-token distribution in bfloat16. @N is a layer, counted from 0.")
    yield Heading("What they write")
    for number, (text, target) in enumerate(examples):
        yield Heading(f"Validation example {number + 1}", 3)
        entries = [("input", text), ("target", target)]
        entries += [(name, texts[number]) for name, texts in written.items() if number < len(texts)]
        yield Listing([(name, shortened(one, LONGEST) or "(empty)") for name, one in entries], literal=True)


def _seconds(result: DemoResult) -> dict[str, float]:
    trained = {f"training {student.name}": student.seconds for student in result.students}
    return {"teacher": result.teacher_seconds, "dump": result.dump.seconds, **trained}


def _losses(result: DemoResult) -> Table:
    rows = [[one.name, f"{one.cross_entropy:.3f}", duration(one.seconds)] for one in result.students]
    numbers = [[None, one.cross_entropy, None] for one in result.students]
    bounds = [["unigram frequencies", f"{result.unigram:.3f}", "-"], ["teacher", f"{result.teacher_loss:.3f}", "-"]]
    return Table(["model", "validation", "training"], [*bounds, *with_best_in_bold(rows, numbers, [True] * 3)])


def _sizes(result: DemoResult) -> Table:
    rows = [[name, f"{raw:,}", f"{cached:,}", f"{raw / cached:.1f}x"] for name, (raw, cached) in result.sizes().items()]
    return Table(["signal", "raw bytes", "cached bytes", "smaller"], rows)
