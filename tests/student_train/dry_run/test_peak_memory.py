"""The growth of memory: what was held at once inside the block, whatever was before it or is larger beside it."""

import subprocess
import sys

import numpy as np
import torch

from miniend.student_train.dry_run.peak_memory import peak_growth

GROWING = """
import torch
from miniend.student_train.dry_run.peak_memory import peak_growth

with peak_growth(torch.device("cpu")) as growth:
    torch.ones(200_000_000 // 4).sum()
print(growth.bytes)
"""


def test_the_peak_is_what_was_held_at_once():
    """Freed or not, it counts; what was held before does not."""
    before = torch.ones(80_000_000 // 4)
    with peak_growth(torch.device("cpu")) as growth:
        torch.ones(200_000_000 // 4).sum()
        torch.ones(100_000_000 // 4).sum()
    assert 190e6 < growth.bytes < 290e6
    assert growth.measure == "resident memory"
    assert len(before)


def test_a_process_that_a_large_one_started_measures_its_own_growth():
    """`ru_maxrss` begins at the peak of the parent, and a growth below it looks like none."""
    held = np.ones(1_200_000_000 // 8)
    ended = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert 190e6 < int(ended.stdout) < 290e6
    assert len(held)
