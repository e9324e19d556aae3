"""Check that a build writes what another one wrote, bit for bit: caches, the values read from them, metrics and students.

    PYTHONPATH=FOLDER_OF_ONE_BUILD python benchmarks/unchanged.py record RECORDING
    PYTHONPATH=FOLDER_OF_ANOTHER python benchmarks/unchanged.py compare RECORDING [--only 'train/*'] [--work DIR]

The build is whatever is imported as `miniend`: a folder on PYTHONPATH holds a checkout, or a link to one, of that name.
`record` runs every scenario and keeps its outputs. `compare` runs them again in a temporary folder, or in `--work`, which is
kept. It prints a line for each scenario and exits with 1 if anything differs. Both must run on the same machine with the same
libraries; they use one thread. Students read the recorded caches, so a line is about one scenario only. We do not compare
hidden files of a cache, timing fields of metrics, and a student's README.md and run.json.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from time import perf_counter

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

from unchanged_commands import import_libraries, in_child, last_line
from unchanged_inputs import write_inputs
from unchanged_outputs import differences
from unchanged_scenarios import Scenario, all_scenarios

import miniend


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("folder", type=Path, help="the recording")
    parser.add_argument("--only", default="*", help="scenarios by a pattern of their names")
    parser.add_argument("--work", type=Path, help="for compare: an empty folder to run in, which is kept")
    return parser.parse_args()


def main() -> None:
    asked, begun = parse(), perf_counter()
    print(f"the build in {Path(miniend.__file__).parent}", flush=True)
    import_libraries()
    chosen = [scenario for scenario in all_scenarios() if fnmatch(scenario.name, asked.only)]
    if asked.action == "record":
        failed = record(asked.folder.resolve(), chosen, asked.only)
    else:
        failed = compare(asked.folder.resolve(), chosen, asked.work)
    word = "failed" if asked.action == "record" else "differ"
    print(f"{len(chosen)} scenarios, {failed} of them {word}; {perf_counter() - begun:.0f} s")
    sys.exit(1 if failed or not chosen else 0)


def record(folder: Path, scenarios: Sequence[Scenario], only: str) -> int:
    """Run scenarios in the recording itself; return how many failed."""
    if folder.exists() and any(folder.iterdir()) and only == "*":
        sys.exit(f"{folder} is not empty; remove it, or record some scenarios anew with --only")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "recorded").exists():
        (folder / "recorded").symlink_to(".")
    log = folder / "logs" / "inputs.txt"
    if not (folder / "inputs").exists() and not in_child(partial(write_inputs, Path("inputs")), folder, log):
        sys.exit(f"the inputs could not be written: {last_line(log)}")
    return sum(say(scenario, run(scenario, folder), "recorded") for scenario in scenarios)


def compare(folder: Path, scenarios: Sequence[Scenario], work: Path | None) -> int:
    """Run scenarios beside the recording; return how many differ from it."""
    with tempfile.TemporaryDirectory() as temporary:
        here = (work or Path(temporary)).resolve()
        here.mkdir(parents=True, exist_ok=True)
        if any(here.iterdir()):
            sys.exit(f"{here} is not empty")
        (here / "recorded").symlink_to(folder)
        return sum(
            say(scenario, run(scenario, here) or compared(scenario, folder, here), "same") for scenario in scenarios
        )


def run(scenario: Scenario, work: Path) -> list[str]:
    """Do the jobs of a scenario; return why it failed, if it did."""
    log = work / "logs" / f"{scenario.name}.txt"
    log.unlink(missing_ok=True)
    for output in scenario.outputs:
        shutil.rmtree(work / output) if (work / output).is_dir() else (work / output).unlink(missing_ok=True)
    for job in scenario.jobs:
        if not in_child(job, work, log):
            return [f"failed: {last_line(log)}"]
    return []


def compared(scenario: Scenario, old: Path, new: Path) -> list[str]:
    """Return a line for each difference in the outputs of a scenario."""
    if missing := [output for output in scenario.outputs if not (old / output).exists()]:
        return [f"{missing[0]} was not recorded"]
    return [line for output in scenario.outputs for line in differences(old / output, new / output)]


def say(scenario: Scenario, found: Sequence[str], well: str) -> bool:
    """Print the line of a scenario; return whether there was a difference or a failure."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    print(f"{scenario.name:<36} {found[0] + more if found else well}", flush=True)
    return bool(found)


if __name__ == "__main__":
    main()
