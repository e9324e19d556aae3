"""report.md and report.html of a schedule."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ...errors import ConfigurationError
from ...runtime.progress import Log
from ...runtime.report.blocks import Block, Bold, Heading, Lead, Listing, Paragraph, Picture, Table
from ...runtime.report.writing import write_report
from .record import ScheduleRecord
from .scheduled import ASSISTANT, HEADER, TARGET, Schedule, cells, choice_text


def report(schedule: Schedule, log: Log) -> Path:
    """Write both forms of the report with its picture, and return the path of the HTML file."""
    try:
        from .picture import draw
    except ConfigurationError as error:
        log(f"no picture: {error}")
        return write_report(schedule.path, _blocks(schedule, None))
    return write_report(schedule.path, _blocks(schedule, draw(schedule.record, schedule.path)))


def _blocks(schedule: Schedule, picture: Path | None) -> Iterator[Block]:
    record = schedule.record
    yield Heading(f"An assistant of {record.teacher}", 1)
    yield Lead(f"The assistant keeps {record.assistant:g} of the teacher's heads and neurons.", [choice_text(record)])
    yield Heading("Candidates")
    yield Table(HEADER, [_row(record, number) for number in range(len(record.candidates))])
    if picture is not None:
        yield Picture(picture, "Score over size of all candidates, and the chosen one")
    weights = "weights of their own" if record.independent else "shared weights"
    yield Paragraph(
        f"The candidates learned from one cache with {weights}, {record.steps:,} steps. Their scores are of the last evaluation. "
        f"Sizes are parameters without embeddings over the teacher's."
    )
    yield Heading("The next hop")
    yield Listing(next_hop(schedule), literal=True)


def next_hop(schedule: Schedule) -> list[tuple[str, str]]:
    """Return the two commands of the second hop: the assistant's cache, and the student that learns from it."""
    assistant, target = (quote(str(schedule.path / name)) for name in (ASSISTANT, TARGET))
    return [
        ("dump", f"miniend dump-teacher --teacher {assistant} --corpus CORPUS --cache of-assistant"),
        ("train", f"miniend train-student --cache of-assistant --init {target} --output student"),
    ]


def _row(record: ScheduleRecord, number: int) -> list[Bold | str]:
    one = record.candidates[number]
    return [Bold(cell) if one.keep == record.assistant else cell for cell in cells(one)]
