"""Every member of every record, changed in every way: an evaluation is summed up from it, or one line names the file."""

import json
from collections import Counter

import pytest

from miniend.errors import RunMismatchError
from miniend.evaluation.evaluate import evaluate
from miniend.evaluation.records import RESULTS, EvaluationResults, RateRecord, read_as, read_record
from miniend.evaluation.report import describe, write_results
from miniend.recipes.compare.run.hard_labels import HardLabelRecord
from miniend.recipes.compare.run.timing import Timings
from support.mutations import changes


@pytest.fixture
def output(config, fake):
    """The directory of a finished evaluation of two seeds and two learning rates, without fine-tuning."""
    fake()
    settings = config(learning_rates=(1e-3, 1e-4))
    evaluate(settings, lambda _line: None)
    return settings.output


def summed_up(output):
    """Everything that reads records: what they hold together, and the lines for people."""
    for path in sorted(output.rglob("*.json")):
        if path.name.startswith("learning-rate"):
            read_as(path, RateRecord)
    for _ in (read_record(path) for path in output.rglob("*.json")):
        pass
    read_as(output / RESULTS, EvaluationResults)
    results = write_results(output)
    return describe(results) if results.facts else []


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_every_member_of_every_record_is_read_or_named(output, every):
    """A member of another type was a traceback after the whole fine-tuning. The ordinary test takes every eleventh case."""
    ended, lines = Counter(), set()
    for path in sorted(output.rglob("*.json")):
        kept = {file: file.read_bytes() for file in output.rglob("*.json")}
        for words, changed in list(changes(json.loads(kept[path])))[::every]:
            path.write_text(json.dumps(changed))
            try:
                summed_up(output)
                ended["read"] += 1
            except RunMismatchError as error:
                lines.add(len(str(error).splitlines()))
                ended["named"] += 1
            except Exception as error:
                raise AssertionError(f"{path.name}: {words}") from error
            for file, data in kept.items():
                file.write_bytes(data)
    print(f"{sum(ended.values()):,} cases: {dict(ended)}")
    assert min(ended["read"], ended["named"]) > 20
    assert lines == {1}


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (HardLabelRecord, {"cross_entropy": 2.5, "cache": "0" * 64}),
        (Timings, {"dump": {"a": 1.0, "b": None}, "train": {"a": 2.0}, "evaluate": {"a": 1}, "settings": {"a": "{}"}}),
    ],
)
def test_every_member_of_a_comparisons_records_is_read_or_named(kind, record, tmp_path):
    """They were used as they were found."""
    lines = set()
    for _words, changed in changes(record):
        (tmp_path / "record.json").write_text(json.dumps(changed))
        try:
            assert isinstance(read_as(tmp_path / "record.json", kind), kind)
        except RunMismatchError as error:
            lines.add(len(str(error).splitlines()))
    assert lines == {1}
