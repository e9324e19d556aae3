"""Wrong bytes and wrong metadata, sealed rightly too, end in one of our errors: no traceback, no hang, no huge array.

Each case changes one thing of a cache: bytes of a file, or a value inside a zarr.json. The listing and the seal are then made
right, so that the checks behind the seal are reached. What opens must then decode. `test_documents.py` changes documents.
"""

import copy
import json

import numpy as np
import pytest

from miniend.errors import MiniEndError
from miniend.recipes.repair.verify import verify_cache
from support.damage import copy_of, document_of, files_of, folder_of, kind_of, read_everything, reseal
from support.limits import bounded
from support.tiny_cache import build_tiny_cache

SMALL = {"examples": 4, "validation_examples": 2, "shard_examples": 4, "calibration_examples": 3, "logits": "hybrid"}
VALUES = [
    *(None, True, False, 0, -1, 1, 2, 3, 0.0, -0.5, 1.5, 1e308, 2**31, 2**53, 10**9, 10**12, 2**63, 10**30, -(10**18)),
    *("", "x", "0", "../../etc/passwd", "/etc/passwd", "a\\b", "nul\0", "é" * 300, "float16", "int8", "complex128"),
    *([], {}, [[]], [0], [-1], [10**12], [1, 1, 1], {"x": {}}, {"name": "numcodecs.pickle", "configuration": {}}),
    *(
        "<f4",
        "string",
        "numcodecs.zlib",
        "gzip",
        "bytes",
        "transpose",
        "NaN",
        "encoder.self@99",
        "decoder.cross@0",
        "end",
    ),
]


@pytest.fixture(scope="module", params=["pcodec", "zstd"])
def original(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    signals = "encoder.self,decoder.self,decoder.cross,decoder.hidden"
    return build_tiny_cache(root / "a", codec=request.param, layers=(1, 1), signals=signals, **SMALL)


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def places(value, path=()):
    """The path of every value inside a JSON value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutated(document, rng):
    """A copy with one value replaced, removed, renamed, moved or scaled."""
    document = copy.deepcopy(document)
    found = list(places(document))
    path = found[int(rng.integers(len(found)))]
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    key, how = path[-1], int(rng.integers(8))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[str(VALUES[int(rng.integers(len(VALUES)))])] = holder.pop(key)
    elif how == 2 and isinstance(holder[key], int):
        holder[key] = int(holder[key]) * int(rng.choice([2, 16, 10**6, 10**12])) + int(rng.integers(-1, 2))
    elif how == 3:
        other = document
        for step in found[int(rng.integers(len(found)))]:
            other = other[step] if isinstance(other, (dict, list)) else other
        holder[key] = copy.deepcopy(other)
    elif how == 4 and rng.integers(4) == 0:
        holder[key] = nested(int(rng.choice([30, 62, 63, 64, 200])))
    else:
        holder[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
    return document


def change_bytes(cache, name, rng):
    """Some bytes of a file, or its end; a data file is listed anew, so that decoders meet it."""
    data = bytearray((cache / name).read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        where = int(rng.choice([rng.integers(len(data)), rng.integers(min(40, len(data))), len(data) - 1]))
        data[where] = int(rng.choice([0, 255, rng.integers(256)]))
    (cache / name).write_bytes(data[: int(rng.integers(1, len(data)))] if rng.integers(6) == 0 else data)
    folder = folder_of(name)
    if name != f"{folder}/{kind_of(folder)}.json":
        reseal(cache, folder, document_of(cache, folder), relist=True)


def change_metadata(cache, name, rng):
    """A value inside a zarr.json, listed anew; sometimes the document says the same."""
    changed, folder = mutated(json.loads((cache / name).read_bytes()), rng), folder_of(name)
    (cache / name).write_text(json.dumps(changed))
    document = document_of(cache, folder)
    if isinstance(changed, dict) and rng.integers(2):
        column = document["columns"][name.split("/")[-2]]
        column |= {"shape": changed.get("shape"), "dtype": changed.get("data_type")}
    try:
        reseal(cache, folder, document, relist=True)
    except (ValueError, TypeError, UnicodeError):
        return


def attempt(cache, rng, files):
    """One case; the file that was changed."""
    how = int(rng.integers(2))
    names = [name for name in files if name.endswith("zarr.json") or (how and files[name])]
    name = str(rng.choice(names))
    (change_bytes if how else change_metadata)(cache, name, rng)
    return name


def fuzz(cache, cases, seed):
    """All cases one after another, each undone; how they ended."""
    rng, files, ended = np.random.default_rng(seed), files_of(cache), {"refused": 0, "sound": 0, "named": 0}
    read_everything(cache)
    for case in range(cases):
        changed = attempt(cache, rng, files)
        with bounded():
            try:
                read_everything(cache)
                ended["sound"] += 1
            except MiniEndError:
                ended["refused"] += 1
            except Exception as error:
                raise AssertionError(f"case {case} of seed {seed}, {changed}") from error
            ended["named"] += not verify_cache(cache).sound if case % 8 == 0 else 0
        for name in files:
            if name.startswith(folder_of(changed)):
                (cache / name).write_bytes(files[name])
    assert verify_cache(cache).sound
    return ended


def test_a_hundred_wrong_caches_end_in_our_errors(original, tmp_path):
    """Every kind of change, for both codecs."""
    ended = fuzz(copy_of(original, tmp_path / "cache"), 50, seed=0)
    assert min(ended["refused"], ended["named"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_wrong_caches_end_in_our_errors(original, tmp_path, seed):
    """The same at length: 250 cases for each of two seeds and two codecs."""
    print(fuzz(copy_of(original, tmp_path / "cache"), 250, seed))
