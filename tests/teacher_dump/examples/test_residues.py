"""Sequences as ProtT5 and ProstT5 read them, in however many parts a long one comes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.teacher_dump.examples.residues import spaced

LETTERS = st.text(alphabet="ACDEFGHIKLMNPQRSTVWYUZOBXacdef \n\t*-", max_size=12)


@given(st.lists(LETTERS, max_size=6))
def test_any_parts_are_spelled_as_the_whole_is_by_the_line_of_the_model_card(parts):
    """That line: " ".join(list(re.sub(r"[UZOB]", "X", sequence)))."""
    sequence = re.sub(r"\s", "", "".join(parts))
    assert "".join(spaced(parts)) == " ".join(list(re.sub(r"[UZOB]", "X", sequence)))


@pytest.mark.parametrize(
    ("sequence", "spelled"), [("MKU", "M K X"), ("", ""), ("  ", ""), ("dpv", "d p v"), ("A C", "A C")]
)
def test_structures_keep_their_small_letters(sequence, spelled):
    assert "".join(spaced([sequence])) == spelled
