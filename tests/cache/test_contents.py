"""A document whose seal is right and whose members are not what the kinds or a tokenizer write is damaged, and says where."""

import pytest

from miniend import open_cache
from miniend.errors import CacheDamagedError
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.recipes.repair.verify import verify_cache
from support.damage import copy_of, document_of, reseal
from support.documents import GOLDEN
from support.mutations import put, replaced
from support.tiny_cache import build_tiny_cache

STRANGE = [
    "run.json",
    "adapter_config.json",
    "config.json",
    "model.safetensors",
    "modeling.py",
    ".bashrc",
    "a/tokenizer.json",
]


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


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("objective", "input_length"), 1, "input tokens are more than"),
        (("objective", "corruption_of_segments"), 1, None),
        (("teacher", "start_id"), 2**20, "teacher.start_id is 1048576"),
        (("teacher", "config", "relative_attention_num_buckets"), 10**9, "relative_attention_num_buckets should be"),
        (("teacher", "config", "num_layers"), 3 * 10**7, "num_layers should be"),
        (("teacher", "config", "model_type"), "mt5", "of the family mt5"),
        (("teacher", "facts", "vocab_rows"), 2**23, "rows for the"),
        (("tokenizer", "eos_id"), 10**6, "tokenizer.eos_id is 1000000"),
    ],
)
def test_what_contradicts_the_plan_is_named_by_reader_and_verify(original, tmp_path, path, value, said):
    """Each of these was sound to `verify`, and failed later or took all memory; a member that nobody knows is passed over."""
    cache = copy_of(original, tmp_path / "cache")
    put(cache, "plan", replaced(document_of(cache, "plan"), path, value))
    if said is None:
        assert verify_cache(cache).sound
        return
    with pytest.raises(CacheDamagedError, match=said):
        open_cache(cache)
    assert any(said in line for lines in verify_cache(cache).damaged.values() for line in lines)


@pytest.mark.parametrize("folder", ["calibration", "shards/train-000000"])
def test_a_measurement_of_a_site_that_the_plan_does_not_have_is_named(original, tmp_path, folder):
    """A name of a stranger would pass for a site of this cache."""
    cache = copy_of(original, tmp_path / "cache")
    put(cache, folder, replaced(document_of(cache, folder), ("fidelity", "encoder.self@99"), {}))
    [lines] = verify_cache(cache).damaged.values()
    assert any("its fidelity.encoder.self@99 should not be there" in line for line in lines)


@pytest.mark.parametrize("folder", ["calibration", "shards/train-000000"])
@pytest.mark.parametrize("measure", ["query at 8", "key", "value_squared_error", "query_energy"])
def test_a_measurement_that_is_missing_is_named_in_one_line(original, tmp_path, folder, measure):
    """The worst relation of a cache could hide in what its maker has left out."""
    cache = copy_of(original, tmp_path / "cache")
    document = document_of(cache, folder)
    del document["fidelity"]["encoder.self@1"][measure]
    reseal(cache, folder, document)
    with pytest.raises(CacheDamagedError, match=rf"its fidelity\.encoder\.self@1 should tell of .*{measure}") as caught:
        inspect_cache(cache)
    assert "\n" not in str(caught.value)
