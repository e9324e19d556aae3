"""Whole commands under any environment of launchers and users: as the options say, or one line and status 2, no traceback."""

import os
import random
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from miniend.runtime.options import flag_of
from miniend.teacher_dump.config import DumpConfig
from support.fork_server import contents
from support.runs import weights
from support.tiny_cache import DUMP, build_tiny_cache

RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
MPI = ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_JOB_ID")
THREADS = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "TOKENIZERS_PARALLELISM",
    "GOMP_SPINCOUNT",
)
TERMINAL = ("LANG", "LC_ALL", "COLUMNS", "LINES", "NO_COLOR", "TERM", "TQDM_DISABLE", "TQDM_MININTERVAL", "TQDM_NCOLS")
PLACES = ("HOME", "TMPDIR", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR")
OTHERS = ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "PYTHONIOENCODING")
NAMES = (*RANKS, *MPI, *SLURM, *THREADS, *TERMINAL, *PLACES, *OTHERS)
VALUES = (
    "",
    "0",
    "1",
    "-1",
    "2",
    "x",
    " ",
    "1.5",
    "true",
    "99999999999999999999",
    "\u0662",
    "C",
    "/proc/nowhere",
    "/dev/null",
)
PYTHONS_OWN = {"PYTHONHASHSEED": ("0", "random"), "PYTHONIOENCODING": ("ascii", "latin-1:strict", "utf-8")}
"""Where another value keeps Python itself from starting."""
COMMANDS = ("inspect", "verify", "train", "dump", "help")
SECONDS = 120
"""After so long a command hangs."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache beside its teacher and corpus, and what each command says and leaves in a plain environment."""
    folder = tmp_path_factory.mktemp("environments")
    build_tiny_cache(folder)
    options = {**DUMP, "teacher": folder / "teacher", "corpus": folder / "corpus.jsonl", "cache": folder / "cache"}
    train = f"--cache={folder / 'cache'} --size=1L32H --objective=logits --steps=2 --batch-size=4 --device=cpu"
    lines = {
        "inspect": ["inspect", folder / "cache", "--json"],
        "verify": ["verify", folder / "cache"],
        "train": ["train-student", *train.split()],
        "dump": ["dump-teacher", *(f"{flag_of(DumpConfig, name)}={value}" for name, value in options.items())],
        "help": ["evaluate", "--help"],
    }
    return SimpleNamespace(folder=folder, lines=lines, cache=contents(folder / "cache"), plain={})


def drawn(chance):
    """Up to five variables with any value; a launcher sets several at once."""
    names = chance.sample(NAMES, chance.randint(1, 3)) + chance.sample(chance.choice((RANKS, MPI, THREADS)), 2)
    return {name: chance.choice(PYTHONS_OWN.get(name, VALUES)) for name in names}


def waits_for_others(environment):
    """Whether a training rightly waits for other processes, or asks for a machine that the test does not have."""
    return any(environment.get(name, "1") not in ("", "0", "1") for name in ("WORLD_SIZE", "PMI_SIZE", MPI[3]))


def forked(commands, line, environment, cwd):
    """Status, output and errors of a process of support/commands.py."""
    process = commands.start(*line, env=environment, cwd=str(cwd))
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def started(_commands, line, environment, cwd):
    """The same of a process that imports everything itself, so that libraries read the environment then."""
    run = subprocess.run(
        [sys.executable, "-m", "miniend", *map(str, line)],
        env={**os.environ, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    return run.returncode, run.stdout, run.stderr


def complaints_of(run, commands, home, name, environment, folder):
    """What is wrong with one command in one environment."""
    output = folder / "student"
    line = [*home.lines[name], f"--output={output}"] if name == "train" else home.lines[name]
    status, out, err = run(commands, line, environment, folder)
    said = [line for line in err.splitlines() if line.startswith("miniend: ")]
    wrong = []
    if status not in (0, 2) or len(said) != (status == 2):
        wrong.append(f"status {status}")
    if "Traceback" in err or "Exception ignored" in err or status == -signal.SIGKILL:
        wrong.append("a traceback")
    if status == 0 and name == "train" and not same(weights(output), home.plain["weights"]):
        wrong.append("other weights")
    words = out.split()  # help fills the columns that there are
    if status == 0 and name != "train" and words != home.plain[name].split() and "PYTHONIOENCODING" not in environment:
        wrong.append(f"it says {out}")
    if contents(home.folder / "cache") != home.cache:
        wrong.append("another cache")
    shutil.rmtree(output, ignore_errors=True)
    return [f"{name} {environment}: {one}: {err[-600:]}" for one in wrong]


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def make_plain(commands, home, names, folder):
    """What the commands say and leave without any of these variables."""
    for name in names:
        output = home.folder / "plain"
        line = [*home.lines[name], f"--output={output}"] if name == "train" else home.lines[name]
        status, home.plain[name], err = forked(commands, line, {}, folder)
        assert status == 0, err
        if name == "train":
            home.plain["weights"] = weights(output)
    before, home.cache = home.cache, contents(home.folder / "cache")
    changed = {file for file in before.keys() | home.cache.keys() if before.get(file) != home.cache.get(file)}
    assert changed <= {"dump.yaml"}, changed  # the command records its options in their own spelling


def try_all(run, commands, home, names, count, folder, capfd):
    """So many environments for each command."""
    make_plain(commands, home, names, folder)
    chance, complaints, cases = random.Random(f"{names} {count}"), [], 0
    for name in names:
        for _ in range(count):
            environment = drawn(chance)
            if name != "train" or not waits_for_others(environment):
                complaints += complaints_of(run, commands, home, name, environment, folder)
                cases += 1
    with capfd.disabled():
        print(f"{cases} commands in environments, {len(complaints)} complaints")
    assert not complaints, "\n".join(complaints)


def test_commands_work_or_refuse_in_a_few_environments(commands, home, tmp_path, capfd):
    """A job script leaves LOCAL_RANK empty, a container LANG unknown, a laptop COLUMNS at 0."""
    try_all(forked, commands, home, ("inspect", "help"), 3, tmp_path, capfd)


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({"LOCAL_RANK": "0", "MASTER_ADDR": "nowhere.invalid"}, 0),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "nowhere.invalid"}, 2),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999"}, 2),
    ],
)
def test_what_a_launcher_has_left_behind_does_not_stop_a_lone_training(commands, home, tmp_path, environment, status):
    """A shell inside of a job has such variables: torch stopped with a traceback, or looked for a machine for minutes."""
    process = commands.start(*home.lines["train"], f"--output={tmp_path / 'student'}", env=environment)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("miniend: ")]) == (status == 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_works_or_refuses_in_any_environment(commands, home, tmp_path, capfd, name):
    """Forked, so that many can be tried."""
    try_all(forked, commands, home, (name,), 30, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_imports_works_or_refuses_in_any_environment(commands, home, tmp_path, capfd, name):
    """OpenMP, the hub's library and Python itself read their variables when they are loaded."""
    try_all(started, commands, home, (name,), 8, tmp_path, capfd)
