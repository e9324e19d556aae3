"""Documents of an evaluation: whole or not there, and of one evaluation alone."""

import pytest

from miniend.errors import RunMismatchError
from miniend.evaluation.records import claim, read_record, write_record


def test_a_record_is_read_as_it_was_written(tmp_path):
    """Numbers to the last bit, and no file beside it."""
    path = tmp_path / "task" / "seed-0.json"
    document = {"scores": {"sst2": {"accuracy": 91.1697247706422}}, "predictions": [0.1 + 0.2]}
    assert write_record(path, document) == read_record(path) == document
    assert list(path.parent.iterdir()) == [path]


def test_what_is_not_there_is_none(tmp_path):
    """Then it is made."""
    assert read_record(tmp_path / "seed-0.json") is None


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
    with pytest.raises(RunMismatchError, match=r"epochs: there 3, now 4\. Use another --output"):
        claim(path, {"epochs": 4, "rates": (0.1,)})
