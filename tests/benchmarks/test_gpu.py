"""The script that measures everything on a GPU also runs without one, so that nobody spends a lent GPU on its errors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    command = [
        sys.executable,
        SCRIPT,
        "--device",
        "cpu",
        "--tiny",
        "--minutes",
        "20",
        "--work",
        tmp_path_factory.mktemp("gpu"),
    ]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_every_part_ends_well(printed):
    """A part that fails or is left out costs a row of the table."""
    parts = printed.split("\n## ")[1:]
    assert len(parts) == 6
    for part in parts:
        assert re.fullmatch(r"\(\d+ s\)", part.strip().splitlines()[-1]), part


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_a_device_agrees_with_itself_in_every_signal_and_loss(printed):
    """Names without numbers would mean that nothing was compared."""
    [table] = [part for part in printed.split("\n## ") if part.startswith("CPU against GPU")]
    rows = [line.split() for line in table.splitlines() if re.search(r"\d(%|e[+-]\d\d)$", line)]
    assert {"logits", "miniend-e", "hidden", "lwd", "targets.ids"} <= {
        row[-2] if row[-1].endswith("%") else row[0] for row in rows
    }
    assert len(rows) > 40
    assert {
        float(number.rstrip("%")) for row in rows for number in row if re.fullmatch(r"[\d.]+(%|e[+-]\d\d)", number)
    } == {0.0}
