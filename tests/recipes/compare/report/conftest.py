"""Results of a comparison, as its directories hold them."""

import json

import pytest

from miniend.recipes.compare.file.paths import Paths, failure
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.report.results import gather
from miniend.recipes.compare.run.training import Training
from miniend.runtime.claims import Claims

FACTS = {
    "parameters": 2_000_000,
    "parameters_without_embeddings": 1_000_000,
    "gflops": 0.5,
    "latency_ms": 3.0,
    "examples_per_second": 9.0,
    "device": "CPU",
}


@pytest.fixture
def world(written, tmp_path):
    """world(scores, **changed): what is gathered where row and seed have these accuracies; only rate 1e-3 is tried.

    A row's name may have a size before it, such as `2L32H scratch`; without one the scores are of all sizes.
    """
    paths = Paths(tmp_path / "out")

    def write_evaluation(folder, scores, size="1L32H"):
        folder.mkdir(parents=True, exist_ok=True)
        spreads = {result: {"mean": score, "std": 0.5, "values": []} for result, score in scores.items()}
        results = {result: dict.fromkeys(("accuracy", "f1", "spearman"), spread) for result, spread in spreads.items()}
        tasks = {result: {"learning_rate": 1e-3, "seeds": [0], "unreadable": 0} for result in scores}
        document = {
            "tasks": tasks,
            "results": results,
            "facts": FACTS | {"gflops": 0.5 * int(size[0])},
            "glue_score": None,
        }
        document |= {"model": "m", "protocol": "head", "digest": "d"}
        (folder / "results.json").write_text(json.dumps(document))

    def build(scores, entropies=None, teacher=None, evaluated=None, failed=(), untrained=None, **changed):
        comparison = read_comparison(written(**{"learning_rates": 1e-3, **changed}))
        for student in comparison.students:
            for seed, accuracy in enumerate(scores.get(student.label, scores.get(student.name, []))):
                output = paths.student(student, 1e-3, seed)
                output.mkdir(parents=True)
                line = {"step": 1, "validation.loss": 5.0 + seed}
                if entropies and (student.label in entropies or student.name in entropies):
                    line["validation.cross_entropy"] = entropies.get(student.label, entropies.get(student.name))[seed]
                (output / "metrics.jsonl").write_text(json.dumps(line) + "\n")
                (output / "model.safetensors").touch()
                if accuracy is not None:
                    write_evaluation(paths.evaluation(output), evaluated or {"sst2": accuracy}, student.size)
            for seed in [seed for name, seed in failed if name == student.name]:
                failure(paths.student(student, 1e-3, seed)).write_text("not finite\n")
        if teacher is not None:
            write_evaluation(paths.teacher_evaluation, {"sst2": teacher})
        for size, accuracy in (untrained or {}).items():
            write_evaluation(paths.evaluation(paths.untrained(size)), {"sst2": accuracy})
        return comparison, gather(comparison, paths, Training(comparison, paths, Claims(paths.root), print))

    return build
