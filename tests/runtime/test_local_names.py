"""Which part of an option's text is a path, as it is from the root, and whether anything is there."""

import pytest

from miniend.runtime.local_names import (
    corpus,
    from_root,
    is_lost,
    path,
    path_or_module,
    path_or_name,
    path_or_size,
    path_or_url,
    start,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with a teacher, texts and a size file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t5").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a [1].txt").write_text("x")
    (tmp_path / "size.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (path, "a", "{}/a"),
        (path, "../a/./b", "{}/../a/b"),
        (path_or_url, "s3://b/c", "s3://b/c"),
        (path_or_url, "c", "{}/c"),
        (path_or_name, "t5", "{}/t5"),
        (path_or_name, "google-t5/t5-small", "google-t5/t5-small"),
        (path_or_size, "6L384H", "6L384H"),
        (path_or_size, "6E3D384H", "6E3D384H"),
        (path_or_size, "size.json", "{}/size.json"),
        (path_or_module, "my_terms", "my_terms"),
        (path_or_module, "my_terms.py", "{}/my_terms.py"),
        (start, "teacher-layers:t5", "teacher-layers:{}/t5"),
        (start, "teacher-layers:google/t5", "teacher-layers:google/t5"),
        (start, "t5", "{}/t5"),
        (corpus, "python-docs", "python-docs"),
        (corpus, "texts/*.txt", "{}/texts/*.txt"),
        (corpus, "hf:allenai/c4:en@main", "hf:allenai/c4:en@main"),
        (corpus, "hf:texts:en", "hf:{}/texts:en"),
    ],
)
def test_a_text_as_it_is_from_the_root(home, form, text, expected):
    """A run that is repeated from another directory must find the same things, and the hub's names stay as they are."""
    import os

    wanted = expected.format(home)
    wanted = os.path.normpath(wanted) if ".." in wanted else wanted
    assert from_root(form, text) == wanted
    assert from_root(form, from_root(form, text)) == wanted


@pytest.mark.parametrize(
    ("form", "text", "lost"),
    [
        (path_or_name, "{}/t5", False),
        (path_or_name, "{}/t6", True),
        (path_or_name, "google-t5/t5-small", False),
        (corpus, "{}/texts/*.txt", False),
        (corpus, "{}/texts/*.csv", True),
        (corpus, "{}/texts/a [1].txt", False),
        (corpus, "hf:{}/texts", False),
        (corpus, "hf:{}/gone", True),
        (start, "teacher-layers:{}/t6", True),
        (path_or_url, "s3://b/c", False),
    ],
)
def test_whether_anything_is_there(home, form, text, lost):
    """A hub's name cannot be lost, and a file with brackets in its name is not a glob."""
    assert is_lost(form, text.format(home)) is lost
