"""What the pictures are drawn from."""

import math
import random

import pytest

from miniend.recipes.compare.figures import curve, unsteadiness


def run(norms):
    return [{"step": step, "gradient_norm.encoder": norm} for step, norm in enumerate(norms, start=1)]


def test_unsteadiness_is_the_spread_of_log_norms_about_a_slow_trend():
    generator = random.Random(0)
    noisy = run([math.exp(-0.002 * step + generator.gauss(0, 0.3)) for step in range(4000)])
    assert unsteadiness([noisy], "encoder") == pytest.approx(0.3, rel=0.05)
    assert unsteadiness([run([math.exp(-0.01 * step) for step in range(100)])], "encoder") == pytest.approx(0, abs=1e-9)


def test_unsteadiness_is_the_mean_over_runs():
    shaky, steady = run([1.0, 2.0] * 50), run([1.0] * 100)
    assert unsteadiness([shaky, steady], "encoder") == pytest.approx(unsteadiness([shaky], "encoder") / 2)


def test_too_few_lines_give_no_number():
    assert math.isnan(unsteadiness([run([1.0, 2.0])], "encoder"))


def test_a_curve_leaves_out_lines_without_the_number():
    lines = [{"step": 1, "loss": 3.0}, {"step": 2}, {"step": 3, "loss": None}, {"step": 4, "loss": 1.0}]
    assert curve(lines, "loss") == ([1, 4], [3.0, 1.0])
