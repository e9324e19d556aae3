"""The metrics log: each step once, whatever was interrupted."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from miniend.errors import TrainingError
from miniend.student_train.run.metrics import MetricsLog, curve


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write(folder, resume_step, steps):
    with MetricsLog(folder, resume_step) as log:
        for step in steps:
            log.log(step, {"loss": step / 4, "phase": "train"})


def test_lines_hold_what_was_logged(tmp_path):
    """Tools read this file by key."""
    write(tmp_path / "out", 0, [0, 10])
    assert lines(tmp_path / "out") == [{"step": step, "loss": step / 4, "phase": "train"} for step in (0, 10)]


def test_a_line_is_on_disk_as_soon_as_it_is_logged(tmp_path):
    """What a killed run leaves is what explains why it was killed."""
    log = MetricsLog(tmp_path, 0)
    log.log(1, {"loss": 2.0})
    assert lines(tmp_path) == [{"step": 1, "loss": 2.0}]
    log.close()


@pytest.mark.parametrize(("resume", "kept"), [(20, [0, 10, 20]), (25, [0, 10, 20]), (30, [0, 10, 20, 30]), (0, [])])
def test_a_resumed_run_cuts_off_what_it_will_repeat(tmp_path, resume, kept):
    """Steps that appear twice bend every curve and every average."""
    write(tmp_path, 0, [0, 10, 20, 30])
    write(tmp_path, resume, [99])
    assert [line["step"] for line in lines(tmp_path)] == [*kept, 99]


def test_a_torn_last_line_is_dropped(tmp_path):
    """Appending behind it would make two lines unreadable."""
    write(tmp_path, 0, [10, 20])
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2')
    write(tmp_path, 20, [30])
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30]


@given(st.lists(st.integers(1, 30), unique=True, max_size=8).map(sorted), st.integers(1, 30), st.integers(0, 400))
def test_resuming_keeps_a_prefix_wherever_the_file_was_torn(tmp_path_factory, steps, resume, torn):
    """The cut and the resume step come from two different moments of a killed run."""
    folder = tmp_path_factory.mktemp("metrics")
    path = folder / "metrics.jsonl"
    whole = [json.dumps({"step": step, "loss": 0.5}) + "\n" for step in steps]
    path.write_text("".join(whole)[:torn])
    MetricsLog(folder, resume).close()
    content = path.read_text()
    complete = [line for place, line in enumerate(whole) if len("".join(whole[: place + 1])) <= torn]
    assert content == "".join(line for line in complete if json.loads(line)["step"] <= resume)


def test_a_file_of_something_else_is_refused(tmp_path):
    """It is not ours to cut."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nhello\n')
    with pytest.raises(TrainingError, match="line 2"):
        MetricsLog(tmp_path, 5)
    assert path.read_text() == '{"step": 1}\nhello\n'


def test_numbers_that_json_lacks_become_null(tmp_path):
    """NaN in a line is not JSON, and jq stops there."""
    with MetricsLog(tmp_path, 0) as log:
        log.log(1, {"loss": math.nan, "other": math.inf, "fine": 1})
    assert lines(tmp_path) == [{"step": 1, "loss": None, "other": None, "fine": 1}]


def test_nested_values_are_refused(tmp_path):
    """TensorBoard would leave them out without a word."""
    with MetricsLog(tmp_path, 0) as log, pytest.raises(TypeError, match="terms"):
        log.log(1, {"terms": {"logit": 1.0}})


def test_tensorboard_shows_each_step_once(tmp_path):
    """Events cannot be cut off, only declared void by the next run's purge step."""
    write(tmp_path, 0, [10, 20, 30])
    write(tmp_path, 20, [30, 40])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(s, s / 4) for s in (10, 20, 30, 40)]
    assert events.Tags()["scalars"] == ["loss"]


def test_a_curve_leaves_out_lines_without_the_number():
    lines = [{"step": 1, "loss": 3.0}, {"step": 2}, {"step": 3, "loss": None}, {"step": 4, "loss": 1.0}]
    assert curve(lines, "loss") == ([1, 4], [3.0, 1.0])
