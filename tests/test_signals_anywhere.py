"""A signal at any named place of any command: one line, its status, nothing left, and the next run ends as an unbroken one.

support/signal_at.py raises the signal when one of our functions is called first, so that imports, option parsing, plugins,
calibration, claims, checkpoints and exports are all among the places. It cannot be raised inside of libraries.
"""

import random
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_errnos import DUMP, EVALUATE, TRAIN
from test_signals import ENDS

from support.results import result
from support.tiny_cache import build_tiny_cache

CODE = "from support.signal_at import run; run()"
READERS = ("inspect", "plot", "verify", "estimate", "plan")
"""Commands that leave nothing which another run could go on with."""
START_OVER = ("inspect", "plot", "verify", "estimate", "demo")
"""Commands whose last line says that they do not go on."""
PLACES = 40
"""The number of places of each command that the slow test draws."""
CLOCKS_AND_PATHS = ("comparison.json", "model.json", "pace.json", "report.html", "report.md")
DEMO = 100
"""The number of places of a demo that are tried: training its teacher takes too long."""


def flags(settings):
    """The options of a command line for the fields of a configuration."""
    named = {"tasks": "task", "learning_rates": "learning_rate", "signals": "signal"}
    pairs = [(named.get(name, name).replace("_", "-"), value) for name, value in settings.items()]
    return [f"--{name}={one}" for name, value in pairs for one in (value if isinstance(value, tuple) else (value,))]


def commands_of(home):
    """By name, a command line without the output, and the option that names the output."""
    dump = {**DUMP, "teacher": home / "teacher", "corpus": home / "corpus.jsonl"}
    estimate = {name: value for name, value in dump.items() if name != "force"}
    plugin = f"--plugin={home / 'plugin.py'}"
    return {
        "dump": (["dump-teacher", plugin, *flags(dump)], "--cache"),
        "train": (["train-student", plugin, f"--cache={home / 'cache'}", *flags(TRAIN)], "--output"),
        "evaluate": (
            ["evaluate", f"--model={home / 'teacher'}", f"--data={home / 'sst2'}", *flags(EVALUATE)],
            "--output",
        ),
        "compare": (["compare", str(home / "comparison.yaml")], "--output"),
        "plan": (["compare", str(home / "comparison.yaml"), "--plan"], "--output"),
        "inspect": (["inspect", str(home / "cache"), "--json"], None),
        "plot": (["inspect", str(home / "cache")], "--plot"),
        "verify": (["verify", str(home / "cache")], None),
        "repair": (["verify", "--repair"], ""),
        "estimate": (["estimate", "--sample-examples=2", *flags(estimate)], None),
        "demo": (["demo"], "--output"),
    }


NAMES = ("dump", "train", "evaluate", "compare", "repair", *READERS, "demo")


@pytest.fixture(scope="module")
def world(tmp_path_factory, commands):
    """What the commands need, and `run`, `unbroken` for them."""
    home = tmp_path_factory.mktemp("anywhere")
    build_tiny_cache(home)
    (home / "plugin.py").write_text('"""Nothing but a name."""\nNAME = 1\n')
    (home / "sst2").mkdir()
    rows = "".join(f"{word} of it\t{k % 2}\n" for k, word in enumerate(["good", "bad"] * 4))
    for name in ("train", "dev"):
        (home / "sst2" / f"{name}.tsv").write_text("sentence\tlabel\n" + rows)
    comparison = {
        "teacher": str(home / "teacher"),
        "device": "cpu",
        "dump": {
            **{k: v for k, v in DUMP.items() if k not in ("device", "signals")},
            "corpus": str(home / "corpus.jsonl"),
        },
        "train": {"steps": 2, "batch_size": 4, "eval_every": 2, "save_every": 1},
        "sizes": ["1L32H"],
        "rows": {"logits": None},
        "seeds": 1,
        "learning_rates": [1e-3],
        "evaluate": {"data": str(home / "sst2"), "seeds": 1, "epochs": 1, "batch_size": 4, "learning_rates": 1e-3},
        "tasks": {"glue/sst2": None},
    }
    (home / "comparison.yaml").write_text(yaml.safe_dump(comparison))
    return SimpleNamespace(home=home, commands=commands, lines=commands_of(home), unbroken={})


def start(world, name, folder, at=-1, number=0):
    """One command under the profile, with a temporary directory of its own."""
    line, output = world.lines[name]
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    if output == "":  # repairs a damaged copy
        cache = folder / "output"
        if not cache.exists():
            shutil.copytree(world.home / "cache", cache)
            for marker in cache.glob("shards/train-000001/*.json"):
                marker.unlink()
        line = [*line, str(cache), f"--teacher={world.home / 'teacher'}", f"--corpus={world.home / 'corpus.jsonl'}"]
    elif output is not None:
        line = [*line, output, str(folder / ("output.png" if name == "plot" else "output"))]
    job = {"env": {"TMPDIR": str(folder / "tmp")}, "cwd": str(folder)}
    return world.commands.python(CODE, folder / "names", at, number, *line, **job)


def unbroken(world, name):
    """The places of an unbroken run, and what it leaves."""
    if name not in world.unbroken:
        folder = world.home / "unbroken" / name
        process = start(world, name, folder)
        if name == "demo":
            time.sleep(20)
            process.terminate()
            process.wait()
        else:
            assert process.wait() == 0, process.written()
        world.unbroken[name] = (
            (folder / "names").read_text().splitlines()[: DEMO if name == "demo" else None],
            left(folder),
        )
    return world.unbroken[name]


def left(folder):
    """What a run leaves, wherever it was; reports and the records of speeds and paths are left out."""
    found = result(folder / "output") if (folder / "output").is_dir() else {}
    kept = {path: content for path, content in found.items() if Path(path).name not in CLOCKS_AND_PATHS}
    here = str(folder).encode()
    return {
        path: content.replace(here, b"") if isinstance(content, bytes) else content for path, content in kept.items()
    }


def stopped_in_order(world, name, folder, at, number):
    """Complaints about one stopped run and the one after it."""
    places, expected = unbroken(world, name)
    status, line = ENDS[number]
    if name in START_OVER:
        line = line.replace("to go on", "to start over")
    process = start(world, name, folder, at, number)
    _, said = process.communicate()
    complaints = []
    if process.returncode != status or not said.endswith(line) or said.count("miniend: ") != 1:
        complaints.append(f"status {process.returncode}, {said}")
    if "Traceback" in said or "Exception ignored" in said:
        complaints.append(f"not one line: {said}")
    if remains := [path.name for path in (folder / "tmp").iterdir()]:
        complaints.append(f"left in the temporary directory: {remains}")
    if hidden := [str(path) for path in folder.rglob(".staging*")]:
        complaints.append(f"hidden: {hidden}")
    if not complaints and name not in (*READERS, "demo"):
        again = start(world, name, folder)
        _, said = again.communicate()
        found = left(folder)
        differ = [path for path in {**found, **expected} if found.get(path) != expected.get(path)]
        if again.returncode or differ:
            complaints.append(f"the next run: status {again.returncode}, {said}, other: {differ}")
    return [f"{name} at {at} ({places[at]}), {number.name}: {complaint}" for complaint in complaints]


def stop_often(world, folder, name, cases, capfd):
    """Stop at each of these shares of all places, with one signal after the other."""
    places, _ = unbroken(world, name)
    numbers, complaints = list(ENDS), []
    for count, share in enumerate(cases):
        at = int(share * len(places))
        here = folder / f"{name}-{count}"
        complaints += stopped_in_order(world, name, here, at, numbers[(count + at) % len(numbers)])
        shutil.rmtree(here)
    with capfd.disabled():
        print(f"{name}: stopped at {len(cases)} of {len(places)} places, {len(complaints)} complaints")
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", ["dump", "train"])
def test_a_signal_at_some_places_stops_in_order(world, tmp_path, capfd, name):
    """What these two leave is what days of work would be."""
    stop_often(world, tmp_path, name, [0.45], capfd)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_at_any_place_stops_in_order(world, tmp_path, capfd, name):
    """Places drawn over the whole run, the first ones while modules are imported and options read."""
    chance = random.Random(name)
    stop_often(world, tmp_path, name, sorted(chance.random() for _ in range(PLACES)), capfd)
