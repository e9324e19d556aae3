"""The file of a comparison as its output keeps it."""

from pathlib import Path

import pytest
import yaml

from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.file.recorded import FILE, keep_file, recorded_comparison
from miniend.recipes.compare.file.yaml_file import read_with_preset


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """kept(content): the path of the copy, made in a directory with a teacher, texts and tasks, and left for another one."""
    for name in ("teacher", "texts", "tasks", "elsewhere", "scratch"):
        (tmp_path / "work" / name).mkdir(parents=True)
    (tmp_path / "work" / "plugin.py").write_text("")

    def keep(content):
        monkeypatch.chdir(tmp_path / "work")
        file = Path("comparison.yaml")
        file.write_text(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        keep_file(file, tmp_path / "out")
        before = read_comparison(file)
        monkeypatch.chdir(tmp_path / "work" / "elsewhere")
        return before, tmp_path / "out" / FILE

    return keep


CONTENT = """
preset: small
teacher: teacher
dump: {corpus: [texts/*.txt, "hf:texts"], examples: 4096, validation_examples: 256}
train: {steps: 50, temperature: 1.0}
sizes: [1L64H]
rows: {scratch: {init: "teacher-layers:teacher"}, minilm: false}
evaluate: {data: tasks}
learning_rates: {others: [3e-4]}
"""


def test_the_copy_says_the_same_from_any_directory(kept, tmp_path):
    """Merged with the preset of this version, with paths from the root; names that are also folders stay names."""
    before, copy = kept(CONTENT)
    after, work = read_comparison(copy), tmp_path / "work"
    assert after.teacher == str(work / "teacher")
    assert after.caches["main"].settings.corpus == (str(work / "texts/*.txt"), f"hf:{work / 'texts'}")
    assert {settings.data for settings in after.tasks.values()} == {work / "tasks"}
    assert [student.name for student in after.students] == [student.name for student in before.students]
    assert after.students[0].settings.init == f"teacher-layers:{work / 'teacher'}"
    assert after.learning_rates == before.learning_rates
    assert "preset" not in yaml.safe_load(copy.read_text())
    assert "minilm" not in {student.name for student in after.students}


def test_a_copy_of_a_copy_is_the_same(kept, tmp_path):
    """Going on by the output alone must not change what it keeps."""
    _, copy = kept(CONTENT)
    before = copy.read_bytes()
    keep_file(copy, tmp_path / "out")
    assert copy.read_bytes() == before
    assert read_with_preset(copy) == yaml.safe_load(before)


def test_the_output_knows_its_file(kept, tmp_path):
    """And an output that does not have one yet does not."""
    assert recorded_comparison({"output": tmp_path / "out"}) is None
    assert recorded_comparison({}) is None
    _, copy = kept(CONTENT)
    record = recorded_comparison({"output": tmp_path / "out"})
    assert (record.values, record.source) == ({"file": str(copy)}, str(tmp_path / "out"))
