"""What a cache holds beside its signals goes into students: it is refused unless it belongs there."""

import pytest

from miniend import open_cache
from miniend.errors import CacheDamagedError
from miniend.recipes.repair.verify import verify_cache
from support.damage import copy_of, document_of, reseal
from support.documents import GOLDEN

STRANGE = [
    "run.json",
    "adapter_config.json",
    "config.json",
    "model.safetensors",
    "modeling.py",
    ".bashrc",
    "a/tokenizer.json",
]


@pytest.mark.parametrize("name", STRANGE)
def test_a_file_that_a_tokenizer_does_not_have_is_refused_by_reader_and_verify(tmp_path, name):
    """The plan of a stranger's cache lists it and its seal is right; a student would get the file under this name."""
    cache = copy_of(GOLDEN, tmp_path / "cache")
    path = cache / "plan" / "tokenizer" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    document = document_of(cache, "plan")
    document["files"][f"tokenizer/{name}"] = {}
    reseal(cache, "plan", document, relist=True)
    with pytest.raises(CacheDamagedError, match="the files of its tokenizer can be") as caught:
        open_cache(cache)
    assert repr(name) in str(caught.value)
    assert str(caught.value) in verify_cache(cache).damaged["plan"]


def test_the_tokenizer_of_a_cache_reads_its_examples():
    """`cache.tokenizer.decode(example.input_ids)` is what one does first."""
    cache = open_cache(GOLDEN)
    example = cache[0]
    assert cache.tokenizer is cache.tokenizer
    words = cache.tokenizer.decode(example.input_ids, skip_special_tokens=True)
    assert words
    assert len(cache.tokenizer) == cache.plan.tokenizer.size
