"""Students in transformers 4, which most environments out there still have. `make test-compat` makes the one that runs this."""

import subprocess
from pathlib import Path

import pytest
import torch

import miniend
from miniend.models.save import right_in_transformers_4, save_student
from miniend.models.tokenizer_files import saved_by_version_5, tokenizer_files
from support import transformers_4
from support.students import FAMILY_NAMES, fresh, perturb
from support.tiny_t5 import tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

pytestmark = pytest.mark.compat
ROOT = Path(miniend.__file__).parent
PYTHON = ROOT / ".venv-transformers4" / "bin" / "python"
KINDS = [(family, tied) for family in FAMILY_NAMES for tied in (True, False)]
WRONG = {("mt5", True), ("umt5", False)}
"""Students of which version 4 computes other logits: it ties the scale of the head to the tie of the embeddings."""


def version_4(*arguments):
    subprocess.run([PYTHON, transformers_4.__file__, *map(str, arguments)], check=True, timeout=300)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """The tokenizer of a teacher from the hub, and that of a teacher which version 5 saved."""
    root = tmp_path_factory.mktemp("tokenizers")
    version_4("tokenizer", root / "4", *tiny_texts(50))
    build_tiny_tokenizer(tiny_texts(50), 200, sentinels=10, folder=root / "5")
    return {version: tokenizer_files(root / version) for version in "45"}


@pytest.fixture(scope="module")
def students(tmp_path_factory, tokenizers):
    """Students of every kind with the tokenizer of version 4, one with that of 5, and what both versions make of them."""
    root = tmp_path_factory.mktemp("students")
    folders = {}
    for family, tied in KINDS:
        folders[family, tied] = root / f"{family}-{tied}"
        save_student(perturb(fresh(family, tied)), folders[family, tied], tokenizers["4"], "")
    folders["tokenizer of version 5"] = root / "of-5"
    save_student(perturb(fresh("t5", True)), root / "of-5", tokenizers["5"], "")
    version_4("open", root / "found.pt", *folders.values())
    found = torch.load(root / "found.pt")
    return {
        key: (
            transformers_4.opened(folder),
            found[str(folder), "as it is"],
            found[str(folder), "without special tokens"],
        )
        for key, folder in folders.items()
    }


def test_the_teachers_files_are_those_of_a_release(tokenizers):
    """A test with a tokenizer that no release has would prove nothing."""
    assert {"spiece.model", "tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"} == set(
        tokenizers["4"]
    )
    assert not saved_by_version_5(tokenizers["4"])
    assert saved_by_version_5(tokenizers["5"])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_both_versions_give_a_text_the_same_ids(students, kind):
    """Every student's tokenizer failed in version 4, because version 5 had saved it anew."""
    new, old, _ = students[kind]
    assert not isinstance(old, str), old
    assert torch.equal(new["ids"], old["ids"])
    assert new["decoded"] == old["decoded"]
    assert 69 in new["ids"][0].tolist()  # <extra_id_0>, the last of 70 ids


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_both_versions_compute_the_same_unless_the_card_says_otherwise(students, kind):
    """umT5's logits are sqrt(d_model) too large in version 4, without a word; so are a tied mT5's too small."""
    new, old, _ = students[kind]
    for found in (new, old):
        torch.testing.assert_close(found["reloaded"], found["logits"], rtol=0, atol=1e-12)
    torch.testing.assert_close(old["encoded"], new["encoded"], rtol=0, atol=1e-6)
    assert right_in_transformers_4(fresh(*kind)) == (kind not in WRONG)
    if kind in WRONG:
        assert float((old["logits"] - new["logits"]).abs().max()) > 0.1
    else:
        torch.testing.assert_close(old["logits"], new["logits"], rtol=0, atol=1e-6)
        assert torch.equal(old["generated"], new["generated"])


def test_a_tokenizer_that_version_5_saved_opens_with_the_option_that_the_card_names(students):
    """Such a teacher's own folder does not open in version 4 either, and its files are carried over as they are."""
    new, as_it_is, with_option = students["tokenizer of version 5"]
    assert isinstance(as_it_is, str)
    assert torch.equal(new["ids"], with_option["ids"])
    torch.testing.assert_close(with_option["logits"], new["logits"], rtol=0, atol=1e-6)
