"""The facts of a run: enough to repeat it, and nothing that is not known."""

import sys

import pytest

from miniend import __version__
from miniend.runtime.report.facts import bytes_below, command, run_facts


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["/usr/bin/miniend", "compare", "my file.yaml"], "miniend compare 'my file.yaml'"),
        (["/x/miniend/__main__.py", "demo"], "miniend demo"),
        (["/x/notebook.py"], "called from Python (notebook.py)"),
        ([""], "called from Python (interactive)"),
    ],
)
def test_the_command_is_what_a_shell_takes(monkeypatch, arguments, line):
    monkeypatch.setattr(sys, "argv", arguments)
    assert command() == line


def test_the_facts_name_version_machine_time_and_bytes(tmp_path):
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "cache" / "deep" / "shard").write_bytes(bytes(2_500_000))
    facts = dict(run_facts({"dump": 30.0, "training": 70.0}, {"cache": tmp_path / "cache", "none": tmp_path / "none"}))
    assert facts["versions"].startswith(f"miniend {__version__}, Python 3.")
    assert "cores" in facts["machine"]
    assert facts["time"] == "1.7 min: dump 30.0 s, training 70.0 s"
    assert facts["on disk"] == "cache 2.5 MB"
    assert bytes_below(tmp_path) == 2_500_000


def test_without_stages_and_files_there_is_nothing_to_say_of_them(tmp_path):
    assert {"time", "on disk"}.isdisjoint(dict(run_facts({}, {"none": tmp_path / "none"})))
