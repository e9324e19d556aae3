"""The Python blocks of the guide run, on tiny material in the place of what a reader has."""

from pathlib import Path

import pytest

import miniend
from miniend import api
from support.pages import ROOT, code_blocks, name_of, pages
from support.runs import RUN
from support.tiny_cache import build_tiny_cache

ELSEWHERE = {"docs/guide/reading.md", "docs/extending.md"}
"""Pages that have tests of their own, `test_reading.py` and `test_extending.py`."""
SMALLER = {
    "examples=20_000": "examples=24, calibration_examples=20, noise_density=0.3, shard_examples=10, threads=1",
    "validation_examples=500": "validation_examples=8",
    "input_length=512": "input_length=32",
    "steps=5_000": "steps=2, batch_size=4, relation_heads=4, eval_every=2",
    "seeds=3": "seeds=1, epochs=1, learning_rates=1e-3",
    '"2L64H"': '"2L32H"',
    '"2L128H"': '"2L64H"',
    '"4L128H"': '"3L32H"',
    "encoder.hidden@6": "encoder.hidden@1",
    "filter_steps=200": "filter_steps=2, batch_size=2",
}
"""What a page says -> what the tests have time for."""


def blocks(page):
    """All blocks of a page as one program, with tiny numbers."""
    program = "\n".join(code_blocks(page.read_text(encoding="utf-8"), "python"))
    for large, small in SMALLER.items():
        program = program.replace(large, small)
    return program


OF_PAGES = {name_of(page): blocks(page) for page in pages() if "/reference/" not in f"/{name_of(page)}"}
PROGRAMS = {name: program for name, program in OF_PAGES.items() if program and name not in ELSEWHERE}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What the pages name: teacher, texts, pairs, a cache and a student."""
    folder = tmp_path_factory.mktemp("pages")
    signals = "encoder.self,decoder.self,decoder.cross,encoder.hidden@1"
    build_tiny_cache(folder, cache=folder / "c4-t5-base", logits="hybrid", signals=signals)
    (folder / "teacher").rename(folder / "my-t5")
    (folder / "texts").mkdir()
    (folder / "corpus.jsonl").rename(folder / "texts" / "corpus.jsonl")
    rows = ["document,summary", *(f"ba de fi {n},go lu {n}" for n in range(24))]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    student = {**RUN, "steps": 1, "warmup_steps": 0, "log": str}
    miniend.train_student(cache=folder / "c4-t5-base", output=folder / "student-6L384H", **student)
    return folder


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_python_of_a_page_runs(page, home, monkeypatch, capsys):
    """What a reader pastes must not end with a traceback."""
    monkeypatch.chdir(home)
    exec(compile(PROGRAMS[page], page, "exec"), {"__name__": "__page__"})
    if page == "docs/guide/python.md":
        assert "train_student does not have the keyword step; did you mean steps?" in capsys.readouterr().out
        assert "miniend.dump_teacher(\n    teacher=model" in PROGRAMS[page]


def test_each_function_has_an_example():
    """In its own documentation and on the page."""
    page = Path(ROOT / "docs" / "guide" / "python.md").read_text(encoding="utf-8")
    for name in api.__all__:
        assert f"miniend.{name}(" in page
        assert f"miniend.{name}(" in getattr(miniend, name).__doc__


def test_the_pages_that_run_elsewhere_exist_and_the_search_finds_blocks():
    """A page that was renamed would run nowhere."""
    assert all(OF_PAGES[name] for name in ELSEWHERE)
    assert {"docs/guide/python.md", "docs/guide/dump.md", "docs/guide/train.md"} <= set(PROGRAMS)
