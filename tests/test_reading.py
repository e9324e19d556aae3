"""docs/guide/reading.md, run as a reader would paste it: a data set, an objective and a training loop of one's own."""

import re
from pathlib import Path

from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from support.tiny_cache import build_tiny_cache

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "reading.md"


def test_the_page_trains_a_student_that_learns_and_can_be_loaded(tmp_path, monkeypatch, capsys):
    """A page that does not run costs everyone who pastes it an evening."""
    build_tiny_cache(tmp_path, logits="hybrid", draws=20)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)), {"__name__": "__page__"})
    losses = [float(loss) for loss in re.findall(r"epoch \d: (.*)", capsys.readouterr().out)]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    AutoModelForSeq2SeqLM.from_pretrained("my-student")
    assert AutoTokenizer.from_pretrained("my-student")("ba de").input_ids
