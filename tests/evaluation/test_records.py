"""Documents of an evaluation: whole or not there, and of one evaluation alone."""

import os

import pytest

from miniend.errors import RunMismatchError
from miniend.evaluation.records import claim, read_record, write_record


def test_a_record_is_read_as_it_was_written(tmp_path):
    """Numbers to the last bit, and no file beside it."""
    path = tmp_path / "out" / "task" / "seed-0.json"
    document = {"scores": {"sst2": {"accuracy": 91.1697247706422}}, "predictions": [0.1 + 0.2]}
    assert write_record(path, document) == read_record(path) == document
    assert list(path.parent.iterdir()) == [path]


def test_what_is_not_there_is_none(tmp_path):
    """Then it is made."""
    assert read_record(tmp_path / "seed-0.json") is None


def test_what_cannot_be_looked_at_is_not_taken_for_missing(tmp_path):
    """A disk that fails for a moment must not cost hours of work."""
    (tmp_path / "seed-0.json").mkdir()
    with pytest.raises(IsADirectoryError):
        read_record(tmp_path / "seed-0.json")


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    """Stopped in the middle: what is there is whole."""
    path = tmp_path / "results.json"
    write_record(path, {"seeds": 1})

    def stopped(*_paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_record(path, {"seeds": 2})
    assert read_record(path) == {"seeds": 1}


@pytest.mark.parametrize("content", ["", '{"seed": 0', "[]", "\x00"])
def test_a_damaged_record_is_refused(tmp_path, content):
    """It is not silently made again, nor read in part."""
    path = tmp_path / "seed-0.json"
    path.write_text(content)
    with pytest.raises(RunMismatchError, match=r"seed-0\.json .*remove it"):
        read_record(path)


def test_a_number_that_is_none_is_not_written(tmp_path):
    """NaN is no JSON."""
    with pytest.raises(ValueError):
        write_record(tmp_path / "seed-0.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_belongs_to_one_evaluation(tmp_path):
    """What differs is named; what merely stands beside may differ."""
    path = tmp_path / "settings.json"
    claim(path, {"epochs": 3, "rates": (0.1,)}, beside={"model": "here"})
    claim(path, {"epochs": 3, "rates": (0.1,)}, beside={"model": "there"})
    assert read_record(path)["model"] == "here"
    with pytest.raises(RunMismatchError, match=r"epochs: there 3, now 4\. Use the same settings, or another --output"):
        claim(path, {"epochs": 4, "rates": (0.1,)})


def test_a_setting_that_is_not_there_is_one_that_was_left_out(tmp_path):
    """As a part of the examples that nobody asked for; asked for now, it differs."""
    path = tmp_path / "settings.json"
    claim(path, {"epochs": 3})
    claim(path, {"epochs": 3, "eval_examples": None})
    with pytest.raises(RunMismatchError, match="--eval-examples: there None, now 5"):
        claim(path, {"epochs": 3, "eval_examples": 5})
