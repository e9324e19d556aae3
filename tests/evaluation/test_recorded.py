"""What the output of an evaluation knows of its options."""

import pytest

from miniend.errors import RunMismatchError
from miniend.evaluation.config import EvaluateConfig
from miniend.evaluation.evaluate import evaluate
from miniend.evaluation.recorded import FILE, recorded_evaluation
from miniend.runtime.given import settle
from miniend.runtime.yaml_file import read_yaml


def silent(_line):
    pass


def again(config, **given):
    """The configuration of a command that names the output, and these options."""
    return settle(EvaluateConfig, {"output": config().output, **given}, recorded=recorded_evaluation).config


def test_an_evaluation_goes_on_and_gets_seeds_by_its_output_alone(config, fake):
    """Rates that were tried and seeds that are finished are not run again."""
    fake(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config(learning_rates=(1e-3, 2e-3)), silent)
    tuning = fake()
    results = evaluate(again(config), silent)
    assert [(rate, seed) for rate, seed, *_ in tuning.calls] == [(2e-3, 0), (1e-3, 0), (1e-3, 1)]
    assert results.tasks["sst2"].seeds == (0, 1)
    more = fake()
    assert evaluate(again(config, seeds=3), silent).tasks["sst2"].seeds == (0, 1, 2)
    assert [seed for _, seed, *_ in more.calls] == [2]
    assert read_yaml(config().output / FILE, "x")["seeds"] == 3


def test_a_new_task_does_not_take_the_data_of_the_earlier_ones(config, fake):
    """Its data comes from the hub, or is given; model, epochs and device stay."""
    fake()
    evaluate(config(learning_rates=(1e-3,), epochs=2), silent)
    same, new = again(config, tasks=("glue/sst2",)), again(config, tasks=("summarize/xsum",))
    assert (same.data, same.learning_rates, same.epochs) == (config().data, (1e-3,), 2)
    assert (new.data, new.learning_rates, new.epochs, new.model) == (None, (), 2, config().model)


def test_tasks_that_differ_in_nothing_else_are_kept_together(config, fake, summary_folder):
    """A later command on one task must not make the file forget the other."""
    fake()
    evaluate(config(seeds=1, learning_rates=(1e-3,)), silent)
    first = read_yaml(config().output / FILE, "x")
    evaluate(config(seeds=1, learning_rates=(1e-3,)), silent)
    assert read_yaml(config().output / FILE, "x") == first
    evaluate(config(tasks=("summarize/xsum",), data=summary_folder, seeds=1, learning_rates=(1e-3,)), silent)
    assert read_yaml(config().output / FILE, "x")["tasks"] == ["summarize/xsum"]
    assert read_yaml(config().output / FILE, "x")["data"] == str(summary_folder)


def test_options_that_are_refused_are_not_recorded(config, fake):
    """The file says what the results were made with."""
    fake()
    evaluate(config(), silent)
    before = (config().output / FILE).read_bytes()
    with pytest.raises(RunMismatchError, match="--protocol: there head, now text"):
        evaluate(again(config, protocol="text"), silent)
    assert (config().output / FILE).read_bytes() == before
