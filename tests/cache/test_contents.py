"""A calibration whose seal is right and whose entries are not what their kinds write is damaged, and says where."""

import pytest

from miniend import open_cache
from miniend.errors import CacheDamagedError
from support.damage import copy_of, document_of, reseal
from support.tiny_cache import build_tiny_cache


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contents")
    return build_tiny_cache(folder, signals="encoder.self,decoder.cross,decoder.hidden", logits="none", examples=8)


@pytest.mark.parametrize("member", ["inner", "heads", "alpha", "relative_entropy", "published_entropy"])
@pytest.mark.parametrize("wrong", [None, "x", [], {}, -1, 0, 2.5, {"query": "x"}, {"query": 1.0}], ids=repr)
def test_a_member_that_its_kind_does_not_write_is_refused_by_name(original, tmp_path, member, wrong):
    """Whoever reads it next would meet a KeyError, or divide by zero heads."""
    cache = copy_of(original, tmp_path / "cache")
    document = document_of(cache, "calibration")
    document["sites"][0][member] = wrong
    reseal(cache, "calibration", document)
    with pytest.raises(CacheDamagedError, match=rf"calibration.*encoder\.self@1.*({member}|columns in|tell of)"):
        open_cache(cache)


@pytest.mark.parametrize("member", ["inner", "heads", "alpha", "relative_entropy", "published_entropy"])
def test_a_member_that_is_missing_is_named(original, tmp_path, member):
    cache = copy_of(original, tmp_path / "cache")
    document = document_of(cache, "calibration")
    del document["sites"][1][member]
    reseal(cache, "calibration", document)
    with pytest.raises(CacheDamagedError, match=rf"in the entry of decoder\.cross@1, .*{member} .*found nothing"):
        open_cache(cache)
