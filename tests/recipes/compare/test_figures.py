"""What the pictures are drawn from."""

import math
import random

import pytest

from miniend.recipes.compare.figures import look, unsteadiness
from miniend.recipes.compare.places import Places
from miniend.recipes.compare.reading import read_comparison
from miniend.recipes.compare.results import gather
from miniend.recipes.compare.training import Training
from miniend.storage.claims import Claims


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


def test_the_first_tenth_does_not_count():
    assert unsteadiness([run([8.0, 1.0, 5.0, *[1.0] * 30])], "encoder") == pytest.approx(0, abs=1e-9)
    assert unsteadiness([run([1.0] * 30 + [8.0, 1.0, 5.0])], "encoder") > 0.1


def test_too_few_lines_give_no_number():
    assert math.isnan(unsteadiness([run([1.0, 2.0])], "encoder"))


def test_every_row_has_a_look_of_its_own_however_many_there_are(written, tmp_path):
    rows = {f"row-{number}": {"objective": "scratch"} for number in range(14)}
    comparison, places = read_comparison(written(rows=rows)), Places(tmp_path)
    results = gather(comparison, places, Training(comparison, places, Claims(places.root), print))
    looks = [look(results, outcome) for outcome in results.students]
    assert len({tuple(one.values()) for one in looks}) == 14
    assert looks[0]["color"] != looks[1]["color"]
