"""README.md: a screen and a half, and no number that the results do not state."""

import re

from support.pages import ROOT

NUMBER = r"\d[\d,]*(?:\.\d+)?"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_a_screen_and_a_half():
    """Everything else has a page in docs/."""
    assert len(README.splitlines()) <= 130


def test_the_numbers_of_its_table_are_stated_with_their_commands():
    """A number without a benchmark behind it is an advertisement."""
    pages = (ROOT / "docs" / "results" / "measurements.md", ROOT / "docs" / "results" / "comparison.md")
    stated = set(re.findall(NUMBER, " ".join(page.read_text(encoding="utf-8") for page in pages)))
    table = README.partition("| from a MiniEnD cache |")[2].partition("\n\n")[0]
    rows = [row.split("|", 2)[2] for row in table.splitlines() if row.count("|") == 4 and "---" not in row]
    found = re.findall(NUMBER, re.sub(r"\(.*?times the bytes\)|0°", "", " ".join(rows)))
    assert len(found) > 10
    assert [number for number in found if number not in stated] == []
