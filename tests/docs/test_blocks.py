"""Python and YAML in the documentation: it compiles, and a comparison file has keys and options that exist."""

import ast

import pytest
import yaml

from miniend.evaluation.config import EvaluateSettings
from miniend.recipes.compare.file.reading import FILTERS, KEYS, OF_A_ROW, OWN_OF_A_CACHE
from miniend.runtime.given import read_options_file, settle
from miniend.runtime.options import names_of
from miniend.student_train.config import StepSettings, TrainRequest
from miniend.teacher_dump.config import DumpSettings
from support.pages import code_blocks, name_of, pages

INSIDE = {
    "dump": (*names_of(DumpSettings), FILTERS),
    "train": OF_A_ROW,
    "continuation": names_of(StepSettings),
    "evaluate": names_of(EvaluateSettings),
}
"""Key -> the options directly below it."""
OF_OPTIONS = "docs/guide/options.md"
"""The page whose YAML is a file of options and not of a comparison."""
BELOW = {
    "rows": (*OF_A_ROW, "cache"),
    "assistants": (*OF_A_ROW, "cache", "size"),
    "caches": (*OWN_OF_A_CACHE, "teacher", FILTERS),
    "tasks": INSIDE["evaluate"],
}
"""Key -> the options below each of its names."""


def blocks(language):
    """The blocks of a language in all pages, with the page's name."""
    return [(name_of(page), one) for page in pages() for one in code_blocks(page.read_text(encoding="utf-8"), language)]


def strangers(content):
    """The keys and options of a comparison file that do not exist."""
    yield from (key for key in content if key not in ("preset", *KEYS))
    for key, known in INSIDE.items():
        yield from (name for name in content.get(key, {}) if name not in known)
    for key, known in BELOW.items():
        yield from (name for own in content.get(key, {}).values() for name in own or () if name not in known)


@pytest.mark.parametrize(("page", "block"), [one for one in blocks("python") if "reference/" not in one[0]])
def test_python_of_a_page_compiles(page, block):
    """The pages on reading and extending are run by tests of their own; a shorter block is at least Python."""
    ast.parse(block)


@pytest.mark.parametrize(("page", "block"), [one for one in blocks("yaml") if one[0] != OF_OPTIONS])
def test_a_comparison_file_of_a_page_has_keys_and_options_that_exist(page, block):
    """Each of these is pasted, with another teacher."""
    assert list(strangers(yaml.safe_load(block))) == []


def test_the_file_of_options_of_the_page_is_one(tmp_path):
    """It is pasted, with another cache."""
    [block] = [block for page, block in blocks("yaml") if page == OF_OPTIONS]
    (tmp_path / "options.yaml").write_text(block)
    found = settle(TrainRequest, {"output": "student"}, read_options_file(tmp_path / "options.yaml"))
    assert (found.config.learning_rate, found.several["size"]) == (3e-4, ("6L384H", "4L256H"))


def test_a_wrong_key_and_a_wrong_option_are_found():
    """On every level."""
    content = "{nonsense: 1, dump: {stepz: 1}, rows: {a: {stepz: 1}, b: false, c: }, caches: {d: {corpus: x}}}"
    assert list(strangers(yaml.safe_load(content))) == ["nonsense", "stepz", "stepz", "corpus"]
