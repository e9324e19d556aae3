"""What the pictures are drawn from."""

from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.report.figures import look
from miniend.recipes.compare.report.results import gather
from miniend.recipes.compare.run.training import Training
from miniend.runtime.claims import Claims


def test_every_row_has_a_look_of_its_own_however_many_there_are(written, tmp_path):
    rows = {f"row-{number}": {"objective": "scratch"} for number in range(14)}
    comparison, paths = read_comparison(written(rows=rows)), Paths(tmp_path)
    results = gather(comparison, paths, Training(comparison, paths, Claims(paths.root), print))
    looks = [look(results, outcome) for outcome in results.students]
    assert len({tuple(one.values()) for one in looks}) == 14
    assert looks[0]["color"] != looks[1]["color"]
