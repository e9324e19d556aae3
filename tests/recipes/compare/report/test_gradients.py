"""The pilot study: which runs are compared, and by what numbers."""

import json
import math
import random
from types import SimpleNamespace

import pytest

from miniend.recipes.compare.report.gradients import (
    PARTS,
    common_rate,
    gradient_rows,
    mean_norm,
    pilot_outcomes,
    unsteadiness,
)


def run(norms):
    return [{"step": step, "gradient_norm.encoder": norm} for step, norm in enumerate(norms, start=1)]


@pytest.fixture
def outcome(tmp_path):
    """outcome(name, rate, **tried): one whose row takes `rate`; learning rate -> norms of all parts."""

    def build(name, rate, tried):
        folders = {}
        for number, (one, norms) in enumerate(tried.items()):
            folders[one] = tmp_path / f"{name}-{number}"
            folders[one].mkdir()
            lines = [
                {"step": step} | {f"gradient_norm.{part}": norm for part in PARTS} for step, norm in enumerate(norms)
            ]
            (folders[one] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        student = SimpleNamespace(name=name, label=f"1L32H {name}")
        return SimpleNamespace(student=student, rate=rate, tried=folders)

    return build


def test_unsteadiness_is_the_spread_of_log_norms_about_a_slow_trend():
    generator = random.Random(0)
    noisy = run([math.exp(-0.002 * step + generator.gauss(0, 0.3)) for step in range(4000)])
    assert unsteadiness(noisy, "encoder") == pytest.approx(0.3, rel=0.05)
    assert unsteadiness(run([math.exp(-0.01 * step) for step in range(100)]), "encoder") == pytest.approx(0, abs=1e-9)


def test_the_first_tenth_does_not_count():
    assert unsteadiness(run([8.0, 1.0, 5.0, *[1.0] * 30]), "encoder") == pytest.approx(0, abs=1e-9)
    assert unsteadiness(run([1.0] * 30 + [8.0, 1.0, 5.0]), "encoder") > 0.1
    assert mean_norm(run([80.0, *[1.0] * 9, 2.0]), "encoder") == pytest.approx(1.1)


def test_too_few_lines_give_no_number():
    assert math.isnan(unsteadiness(run([1.0, 2.0]), "encoder"))
    assert math.isnan(mean_norm(run([]), "encoder"))


def test_objectives_are_compared_at_the_rate_that_the_implicit_one_takes(outcome):
    rates = dict.fromkeys((0.02, 0.04, 0.08), [1.0] * 9)
    outcomes = [outcome("implicit", 0.04, rates), outcome("miniend-e", 0.08, rates)]
    assert common_rate(outcomes) == 0.04
    outcomes[1].tried.pop(0.04)  # its loss was not finite
    assert common_rate(outcomes) == 0.02
    assert common_rate([]) is None


def test_the_table_has_every_rate_that_all_have_tried(outcome):
    both = [
        outcome("implicit", 0.04, {0.04: [1.0] * 20, 0.02: [1.0, 2.0] * 10}),
        outcome("miniend-e", 0.04, {0.02: [3.0] * 20, 0.08: [1.0] * 20, 0.04: [4.0] * 20}),
    ]
    rows = list(gradient_rows(both))
    assert [row[0] for row in rows] == [
        f"1L32H {name}, {rate}" for rate in (0.02, 0.04) for name in ("implicit", "miniend-e")
    ]
    assert rows[1][1:] == ["3; 0.00"] * len(PARTS)
    assert rows[0][1] == "1.5; 0.50"  # log 2 up and down, about a trend of none


def test_one_objective_alone_is_no_comparison(outcome):
    one, other = outcome("implicit", 0.04, {0.04: [1.0]}), outcome("miniend-d", 0.04, {0.04: [1.0]})
    scratch = outcome("scratch", 0.04, {0.04: [1.0]})
    assert pilot_outcomes(SimpleNamespace(students=[one, scratch])) == []
    assert pilot_outcomes(SimpleNamespace(students=[scratch, one, other])) == [one, other]
