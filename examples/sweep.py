"""A sweep over sizes and objectives: all students train in one pass over the cache, which is read and decoded once.

    python examples/sweep.py CACHE OUTPUT [STEPS]

Stop it at any moment and start it again: it goes on.
"""

import csv
import sys
from pathlib import Path

import miniend

SIZES = ("2L96H", "2L64H")
OBJECTIVES = ("miniend-e", "minilm", "logits")


def main(cache, output, steps="300"):
    """Train every pair of size and objective, and print and write a table, the best student first."""
    students = miniend.train_students(
        cache=cache, output=output, size=SIZES, objective=OBJECTIVES, steps=int(steps), batch_size=8
    )
    rows = []
    for student in students:
        parameters = sum(one.numel() for one in student.model().parameters())
        rows.append((student.path.name, parameters, student.losses.get("cross_entropy")))
    rows.sort(key=lambda row: (row[2] is None, row[2]))  # minilm does not train the head, so it has no such number
    print(f"{'student':<20} {'parameters':>10} {'validation':>10}")
    for name, parameters, loss in rows:
        print(f"{name:<20} {parameters:>10,} {'-' if loss is None else f'{loss:.3f}':>10}")
    with (Path(output) / "sweep.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("student", "parameters", "validation cross-entropy"), *rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
