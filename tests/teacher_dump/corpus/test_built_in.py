"""The corpora that every Python environment has."""

import sysconfig

import pytest

from miniend.errors import CorpusError
from miniend.runtime.local_names import BUILT_IN_CORPORA
from miniend.teacher_dump.corpus import built_in
from miniend.teacher_dump.corpus.built_in import BUILT_IN, python_source, source_files
from miniend.teacher_dump.corpus.corpus import documents, fingerprint, parse_corpus


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A library and packages of a few files, in place of the environment's."""
    library, packages = tmp_path / "lib", tmp_path / "lib" / "site-packages"
    files = {
        library / "one.py": b"one = 1\n",
        library / "latin.py": "# -*- coding: latin-1 -*-\nname = 'Größe'\n".encode("latin-1"),
        library / "broken.py": b"name = '\xff'\n",
        library / "odd.py": b"# coding: nothing\n",
        library / "data.txt": b"not source",
        packages / "a" / "__init__.py": b"",
        packages / "a" / "copy.py": b"one = 1\n",
        packages / "b" / "two.py": b"two = 2\r\n",
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    paths = {"stdlib": str(library), "purelib": str(packages), "platlib": str(packages)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    return tmp_path


def test_every_built_in_corpus_is_known_to_the_command_line():
    """A name that only one of the two knows is taken for a path."""
    assert tuple(BUILT_IN) == BUILT_IN_CORPORA


def test_source_files_are_documents_without_copies_and_what_is_not_text(environment):
    """A copy could be both held out and trained on; what is left out is counted."""
    notes = []
    found = sorted(python_source(notes.append))
    assert found == ["", "# -*- coding: latin-1 -*-\nname = 'Größe'\n", "one = 1\n", "two = 2\r\n"]
    assert notes == ["python-source: 7 files; left out: 1 with the content of another, 2 that are not text"]


def test_the_order_mixes_packages_and_depends_on_names_only(environment, monkeypatch):
    """Sorted by path, the first examples of a dump would all be of one package."""
    names = [path.name for path in source_files()]
    assert names != sorted(names)
    renamed = environment.parent / "elsewhere"
    environment.rename(renamed)
    folder = str(renamed / "lib")
    paths = {"stdlib": folder, "purelib": f"{folder}/site-packages", "platlib": f"{folder}/site-packages"}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    assert [path.name for path in source_files()] == names


def test_the_packages_of_another_environment_are_left_out(environment, monkeypatch):
    """A virtual environment uses the library of the Python below it, and not what is installed there."""
    own = environment / "venv"
    (own / "c").mkdir(parents=True)
    (own / "c" / "three.py").write_text("three = 3\n")
    paths = {"stdlib": str(environment / "lib"), "purelib": str(own), "platlib": str(own)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    assert {path.name for path in source_files()} == {"one.py", "latin.py", "broken.py", "odd.py", "three.py"}


def test_a_changed_file_is_another_corpus(environment):
    """The plan of a cache keeps the digest, so that an upgraded package is not spliced onto it."""
    corpus = parse_corpus("python-source", ("text",))
    before = fingerprint(corpus, 1.0)
    assert before == fingerprint(parse_corpus("python-source", ("text",)), 1.0)
    (environment / "lib" / "one.py").write_text("one = 11\n")
    assert fingerprint(corpus, 1.0) != before
    assert len(list(documents(corpus))) == 5  # the copy is not one any more


def test_a_folder_that_cannot_be_read_is_named(environment, monkeypatch):
    """Otherwise a part of the corpus would be missing without a word."""

    def refused(_folder):
        raise PermissionError(13, "Permission denied", "/some/folder")

    monkeypatch.setattr(built_in, "everything_below", refused)
    with pytest.raises(CorpusError, match=r"python-source cannot be listed \(Permission denied: /some/folder\)"):
        list(documents(parse_corpus("python-source", ("text",))))


def test_it_does_not_have_fields():
    """Pairs need two texts."""
    with pytest.raises(CorpusError, match="python-source is plain text without input and target fields"):
        parse_corpus("python-source", ("input", "target"))
