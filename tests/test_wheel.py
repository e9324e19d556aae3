"""The wheel: everything is inside, and it works from a clean environment, away from the checkout."""

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import miniend
from support.tiny_cache import DUMP, build_tiny_t5, build_tiny_tokenizer, tiny_texts, write_texts

pytestmark = pytest.mark.slow
ROOT = Path(miniend.__file__).parent
NOT_IN_IT = {"tests", "benchmarks", "docs", "build", "dist", "site"}
DATA = ("*.md", "*.yaml", "*.typed", "*.json", "*.pyi")


def run(*command, **options):
    """What a command prints; its environment does not lead to the checkout."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, env=ours, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this source, built aside: setuptools leaves its own folders where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    at_the_root, anywhere = (
        shutil.ignore_patterns(*NOT_IN_IT),
        shutil.ignore_patterns(".*", "__pycache__", "*.egg-info"),
    )
    shutil.copytree(
        ROOT,
        folder / "MiniEnD-main",
        ignore=lambda path, names: anywhere(path, names) | (at_the_root(path, names) if Path(path) == ROOT else set()),
    )
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, folder / "MiniEnD-main")
    [built] = folder.glob("miniend-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that has the wheel, and of this environment's only the libraries."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--no-index", wheel)
    libraries = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    Path(libraries, "libraries.pth").write_text("".join(f"{one}\n" for one in site.getsitepackages()))
    return folder / "bin"


def test_every_module_and_data_file_is_in_the_wheel_and_nothing_else(wheel):
    """A file that only a checkout has is missed first by a user."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("miniend/")}
    packages = [ROOT, *(path for path in ROOT.iterdir() if (path / "__init__.py").exists())]
    expected = {
        path for folder in packages for path in (folder.glob("*.py") if folder == ROOT else folder.rglob("*.py"))
    }
    expected |= {path for folder in packages[1:] for one in DATA for path in folder.rglob(one)}
    expected = {path for path in expected if not {*path.relative_to(ROOT).parts} & NOT_IN_IT} | {ROOT / "py.typed"}
    assert inside == {f"miniend/{path.relative_to(ROOT).as_posix()}" for path in expected}
    assert {"miniend/py.typed", "miniend/storage/SPEC.md"} <= inside


def test_the_installed_command_and_module_work_away_from_the_checkout(installed, tmp_path):
    """Otherwise every user would be the first to try it."""
    where = run(installed / "python", "-c", "import miniend; print(miniend.__file__, miniend.open_cache)", cwd=tmp_path)
    assert str(installed.parent) in where
    assert "dump-teacher" in run(installed / "miniend", "--help", cwd=tmp_path)


def test_both_stages_run_from_the_wheel(installed, tmp_path):
    """With the files that a user has: a checkpoint and a text."""
    texts = tiny_texts(150)
    teacher = build_tiny_t5(tmp_path / "teacher", build_tiny_tokenizer(texts, 120, sentinels=10), sharpen=0.8)
    corpus = write_texts(tmp_path / "corpus.jsonl", texts)
    options = [text for name, value in DUMP.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    dump = ("dump-teacher", "--teacher", teacher, "--corpus", corpus, "--cache", "cache", *options)
    assert "dumped 32 of 32 examples" in run(installed / "miniend", *dump, cwd=tmp_path)
    train = ("train-student", "--cache", "cache", "--output", "student", "--size", "1L32H", "--steps", "2")
    run(installed / "miniend", *train, "--batch-size", "4", "--device", "cpu", cwd=tmp_path)
    assert (tmp_path / "student" / "model.safetensors").is_file()
    assert "is sound" in run(installed / "miniend", "verify", "cache", cwd=tmp_path)
