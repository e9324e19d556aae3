"""The English of the package is plain: the twelve idioms that `support/idioms.py` finds stay out of it.

`python tests/support/idioms.py [FOLDER]` lists what a change brought in.
"""

import pytest

from support.idioms import IDIOMS, ROOT, main, matches, offences, offences_of_file

SENTENCES = {
    "there is no": (
        "there is no preset 'large'",
        "There are no rows",
        "there must be no codec",
        "there was\n    no run",
    ),
    "is no": ("the file is no JSON", "Ids are no numbers", "it must be no link", "that was no\naccident"),
    "has no": ("the cache has no plan", "objectives have no variant", "A run having no end"),
    "alone": ("a function of its arguments alone", "The loader alone delivers that", "one that weights alone decide"),
    "mend": ("mend it and run the same command again", "Mends a cache", "what can be mended"),
    "begin with": (
        "Names that begin with a dot",
        "the settings it began with",
        "It was begun with others",
        "begins with a",
    ),
    "nothing is said of": ("Nothing is said of the rest", "nothing was said of it"),
    "lies": (
        "Where things lie",
        "the file lies beside the folder",
        "--top-p must lie between 0 and 1",
        "a lock lying there",
    ),
    "stands": ("Heavy imports stand inside", "where the run stands", "what stood there before"),
    "those of": ("bytes that are not those of the plan", "Those of one run"),
    "what of": ("What of a cache was opened", "what of the plan is compared"),
    "Of ...": ("Of the shard loop.", "of the valid target positions"),
}
"""Idiom -> texts that hold it once and no other one."""
PLAIN = (
    "The plan is no longer compared, and the array is no longer than a chunk.",
    "It takes no more than a minute and is no larger than 8 GB.",
    "There are no more than ten of them. It has no fewer than two.",
    "The rest is left alone; students train together or alone.",
    "module 'miniend' has no attribute 'x'",
    "The weight that a draw stands for; zeros stand in for the rest.",
    "We understand standing orders, recommend amendments and believe; this is a notable outlier.",
    "The beginning, with a dot. Those that begin without one are of little use.",
    "The time of the shard loop. What often happens is not a mistake.",
)


def test_the_package_its_pages_and_its_benchmarks_are_plain():
    """A sentence that must be read twice costs every reader of the code, and idioms come back with the next hand."""
    scripts = [*sorted((ROOT / "benchmarks").glob("*.py")), ROOT / "benchmarks" / "README.md"]
    beside = (offence for path in scripts for offence in offences_of_file(path, path.relative_to(ROOT).as_posix()))
    found = [str(offence) for offence in (*offences(), *beside)]
    assert not found, "\n".join(found)


def test_the_list_has_twelve_idioms_with_something_to_write_instead():
    """A writer needs the ordinary words, not only a verdict."""
    assert len(IDIOMS) == len(SENTENCES) == 12
    assert [idiom.name for idiom in IDIOMS] == list(SENTENCES)
    assert all(idiom.instead for idiom in IDIOMS)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SENTENCES.items() for text in texts])
def test_every_idiom_is_found_and_counted_once(name, text):
    """Inflected, capitalized, or wrapped over two lines, it is one idiom; two names would count it twice."""
    assert [idiom.name for idiom, _ in matches(text, docstring=True)] == [name]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_sentences_pass(text):
    """A check that finds fault with ordinary English would be switched off."""
    assert matches(text, docstring=True) == []


def test_docstrings_comments_messages_and_help_are_read_and_code_is_not(tmp_path):
    """Names and keys may be called anything; everything that a person reads is looked at, with the line it is on."""
    source = '''"""Where things are,
and where they lie."""

stands = {"lies": 1}["lies"]  # mend this
"""Of all stands."""
# The first line is fine, but there is
# no reason for the second.


def alone(mend, help="Begins with a dot."):
    raise ValueError(
        f"{mend} is "
        f"no number, {mend:,} has no name: {'what of a text'} "
    )
'''
    (tmp_path / "some.py").write_text(source)
    found = [(offence.line, offence.idiom.name) for offence in offences_of_file(tmp_path / "some.py", "some.py")]
    assert found == [
        (2, "lies"),
        (4, "mend"),
        (5, "Of ..."),
        (5, "stands"),
        (6, "there is no"),
        (10, "begin with"),
        (12, "is no"),
        (13, "has no"),
        (13, "what of"),
    ]


def test_code_blocks_of_a_document_are_passed_over_and_only_docstrings_can_be_fragments(tmp_path):
    """What a program prints is linted in the program; a paragraph may well start with `Of`."""
    text = "# Title\n\n```\na file lies here\n```\n\nOf these, one\nfile is\nno file.\n"
    (tmp_path / "some.md").write_text(text)
    found = list(offences_of_file(tmp_path / "some.md", "some.md"))
    assert [(offence.line, offence.idiom.name) for offence in found] == [(8, "is no")]


@pytest.fixture
def checkout(tmp_path):
    """A small one: a package, a module at the root, documents, and what is not looked at."""
    for name in ("storage/place.py", "storage/__init__.py", "cli.py", "tests/__init__.py", "tests/test_it.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('"""It lies here."""\n')
    (tmp_path / "docs").mkdir()
    for name in ("docs/notes.md", "storage/SPEC.md", "README.md"):
        (tmp_path / name).write_text("The loader alone.\n")
    return tmp_path


def test_a_folder_or_a_file_can_be_listed_and_the_exit_status_tells(checkout, capsys):
    """Whoever rewrites a folder wants its lines, and a script wants to know whether it is done."""
    assert main(["storage"], checkout) == 1
    assert capsys.readouterr().out.splitlines() == [
        'storage/__init__.py:1: "lies" (write: is): It lies here.',
        'storage/place.py:1: "lies" (write: is): It lies here.',
        'storage/SPEC.md:1: "alone" (write: only): The loader alone.',
        "3 offences",
    ]
    (checkout / "cli.py").write_text('"""It is here."""\n')
    assert main(["cli.py"], checkout) == 0


def test_the_table_counts_by_folder_without_tests(checkout, capsys):
    """The sums show how far the rewriting has come."""
    assert main([], checkout) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    lies, alone = rows[0].index("lies"), rows[0].index("alone")
    assert [(row[0], row[lies], row[alone], row[-1]) for row in rows[2:]] == [
        (".", "1", "1", "2"),
        ("docs", "0", "1", "1"),
        ("storage", "2", "1", "3"),
        ("all", "3", "3", "6"),
    ]


def test_a_folder_that_is_gone_is_said_so(checkout):
    """A name in CLEAN that is renamed would otherwise be guarded no more."""
    with pytest.raises(FileNotFoundError, match="signals: expected a file or folder"):
        list(offences(checkout, ["signals"]))
