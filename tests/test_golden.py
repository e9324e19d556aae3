"""Caches of the format version must stay readable: a golden cache that is never made again by a test."""

from pathlib import Path

import numpy as np
import pytest

import miniend

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("version-2",)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_cache_decodes_to_what_it_decoded_to_when_it_was_made(version):
    """A change of the decoder or of the layout would otherwise be noticed by whoever has a cache of last year."""
    expected = np.load(GOLDEN / version / "expected.npz", allow_pickle=False)
    cache = miniend.open_cache(GOLDEN / version / "cache")
    assert cache.digest == (GOLDEN / version / "digest.txt").read_text().strip()
    assert (len(cache), len(cache.validation)) == (8, 2)
    checked = 0
    for name in expected.files:
        index, _, rest = name.partition(".")
        example = cache[int(index)]
        if rest in ("input_ids", "labels"):
            np.testing.assert_array_equal(getattr(example, rest), expected[name])
        elif rest.startswith("logits."):
            found = getattr(example.logits, rest.removeprefix("logits."))
            np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-5)
        else:
            site, _, kind = rest.rpartition(".")
            found = example.hidden[site] if kind == "hidden" else getattr(example.relations[site], kind)
            np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-5)
        checked += 1
    assert checked == 2 * (2 + 7 + 3 * 3 + 3)


def test_no_golden_cache_is_missing():
    """A deleted golden folder must fail, not pass as an empty loop."""
    assert sorted(path.name for path in GOLDEN.glob("version-*")) == sorted(VERSIONS)
