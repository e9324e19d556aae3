"""The lines that the demo prints: a newcomer must understand them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from miniend.recipes.demo.page import page
from miniend.recipes.demo.report import DemoResult, StudentResult, report_lines
from miniend.runtime.report.as_markdown import as_markdown


def result(monkeypatch, losses):
    """A result with these losses of the three students."""
    monkeypatch.setattr("miniend.recipes.demo.report.raw_bytes", lambda facts: {"encoder.self@2": 8000, "logits": 9000})
    facts = SimpleNamespace(
        bytes=SimpleNamespace(relations={"encoder.self@2": 800}, logits=90),
        fidelity=SimpleNamespace(relation_kl={"encoder.self@2": {"query": 1e-3}}, logits=SimpleNamespace(kl=1e-6)),
        teacher=SimpleNamespace(unigram_entropy=5.1, validation_cross_entropy=3.9),
    )
    names = (("2L96H", "miniend-e"), ("2L64H", "miniend-e"), ("2L96H", "scratch"))
    students = [StudentResult(*name, loss, 3.0, Path("x")) for name, loss in zip(names, losses, strict=True)]
    dump = SimpleNamespace(timings=SimpleNamespace(forward=1.0), seconds=2.0)
    return DemoResult(facts=facts, teacher_seconds=9.0, dump=dump, students=students, seconds=20.0, output=Path("out"))


@pytest.mark.parametrize(
    ("losses", "words"), [((4.2, 4.4, 4.6), "0.400 nats below"), ((4.6, 4.7, 4.2), "0.400 nats ABOVE")]
)
def test_the_report_says_what_the_losses_show_good_or_bad(monkeypatch, losses, words):
    """A demo that praises itself whatever happens shows nothing."""
    lines = list(report_lines(result(monkeypatch, losses)))
    assert [line for line in lines if words in line]
    assert [line for line in lines if line.startswith("  2L96H scratch")] == [
        f"  {'2L96H scratch':<28}{losses[2]:>7.3f}   without the teacher"
    ]
    assert f"{'encoder.self@2':<18}{'8,000':>14}{'800':>14}{10.0:>8.1f}x   query 1.0e-03" in lines


@pytest.mark.parametrize("losses", [(4.2, 4.4, 4.6), (4.6, 4.7, 4.2)])
def test_the_page_says_that_one_seed_decides_nothing_and_marks_the_best(monkeypatch, losses, tmp_path):
    found = result(monkeypatch, losses)
    written = {"teacher": ["the <extra_id_0> cat"], "2L96H scratch": [""]}
    text = as_markdown(list(page(found, {}, [("in", "out")], written)))
    assert "**One seed decides nothing. At equal steps the distilled 2L96H ends 0.400 nats " in text
    assert f"**{min(losses):.3f}**" in text
    assert text.count("**") == 4
    assert "- teacher: `the <extra_id_0> cat`\n- 2L96H scratch: `(empty)`" in text
    assert "teacher 9.0 s, dump 2.0 s, training 2L96H miniend-e 3.0 s" in text
