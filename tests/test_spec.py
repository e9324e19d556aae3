"""storage/SPEC.md is enough for a stranger: a reader of the golden cache written from it with zarr and numpy alone."""

import ast
import hashlib
import json
import warnings
from pathlib import Path

import numcodecs.zarr3  # noqa: F401  (registers pcodec with zarr)
import numpy as np
import zarr

CACHE = Path(__file__).parent / "golden" / "version-2" / "cache"
EXPECTED = np.load(CACHE.parent / "expected.npz", allow_pickle=False)


def read_document(path):
    data = path.read_bytes()
    head, _, _ = data.rpartition(b',\n  "sha256": "')
    document = json.loads(data)
    assert hashlib.sha256(head + b"\n}\n").hexdigest() == document["sha256"]
    return document


def read_column(folder, document, name):
    for path, entry in document["files"].items():
        if path.startswith(f"{name}/"):
            assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == entry["sha256"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.open_array(folder / name, mode="r")
        assert "offset" not in array.attrs
        return array[...]


def shard_of(index, plan):
    extents = [read_document(path / "extent.json") for path in sorted((CACHE / "extents").iterdir())]
    number, begin = 0, 0
    for extent in extents:
        for start in range(begin, extent["examples"], plan["shard_examples"]):
            stop = min(start + plan["shard_examples"], extent["examples"])
            if start <= index < stop:
                folder = CACHE / "shards" / f"train-{number:06d}"
                return folder, read_document(folder / "marker.json"), index - start
            number += 1
        begin = extent["examples"]
    raise AssertionError(index)


def test_a_reader_written_from_the_specification_alone_rebuilds_every_signal():
    """A page that leaves a step out is found here, not by the stranger."""
    plan, calibration = (read_document(CACHE / name / f"{name}.json") for name in ("plan", "calibration"))
    for index in (0, 6):
        folder, marker, place = shard_of(index, plan)
        assert marker["parent"] == calibration["sha256"]
        spans, given = {}, {}
        for axis, name in (("input", "input_ids"), ("target", "labels")):
            offsets = read_column(folder, marker, f"{axis}s.offsets")
            spans[axis] = slice(int(offsets[place]), int(offsets[place + 1]))
            ids = read_column(folder, marker, f"{axis}s.ids")[spans[axis]].astype(np.int64)
            given[axis] = ids if axis == "input" else np.append(plan["teacher"]["start_id"], ids[:-1])
            np.testing.assert_array_equal(ids, EXPECTED[f"{index}.{name}"])
        check_sites(index, folder, marker, calibration, spans, given)
        check_logits(index, folder, marker, plan, calibration, spans["target"])


def check_sites(index, folder, marker, calibration, spans, given):
    chain = {site["site"]: site.get("predicted_from") for site in calibration["hidden"]}
    assert chain == {"encoder.hidden@0": None, "encoder.hidden@1": "encoder.hidden@0", "decoder.hidden@0": None}
    decoded = {}
    for site in (*calibration["sites"], *calibration["hidden"]):
        for place, code in site["codes"].items():
            name = f"{site['site']}.{place}"
            synthesis, mean, token_ids, token_means = (
                read_column(CACHE / "calibration", calibration, f"{name}.{part}")
                for part in ("synthesis", "mean", "token_ids", "token_means")
            )
            table = dict(zip(token_ids.tolist(), token_means.astype(np.float64), strict=True))
            m = np.stack([table.get(token, np.zeros(len(synthesis))) for token in given[code["axis"]].tolist()])
            c = read_column(folder, marker, code["column"])[:, spans[code["axis"]]].astype(np.float64)
            rows = (c.T * code["step"] + m) @ synthesis.astype(np.float64) + mean
            if "predicted_from" in site:
                p = read_column(CACHE / "calibration", calibration, f"{name}.prediction").astype(np.float64)
                rows += decoded[site["predicted_from"], place] @ p
            decoded[site["site"], place] = rows
            for block, values in zip(code["blocks"], np.split(rows, len(code["blocks"]), axis=1), strict=True):
                np.testing.assert_allclose(values, EXPECTED[f"{index}.{site['site']}.{block}"], rtol=0, atol=1e-4)


def check_logits(index, folder, marker, plan, calibration, span):
    settings = plan["signals"]["logits"]
    assert settings["kind"] == "hybrid"
    order = read_column(CACHE / "calibration", calibration, "logits.order").astype(np.int64)
    names = ("head.sizes", "head.codes", "head.levels", "draw.sizes", "draw.gaps", "tail_entropies")
    columns = {name: read_column(folder, marker, f"logits.{name}").astype(np.int64) for name in names}
    codes = lists_by_place(columns["head.codes"], columns["head.sizes"])
    levels = lists_by_place(columns["head.levels"], columns["head.sizes"])
    draws = lists_of_sets(columns["draw.gaps"], columns["draw.sizes"])
    rows = plan["teacher"]["facts"]["vocab_rows"]
    found = [
        head_of(*of_position, settings["step"], rows) for of_position in zip(codes[span], levels[span], strict=True)
    ]
    weights = [
        [max(m, 1 / settings["draws"]) / len(drawn)] * len(drawn)
        for (_, _, m), drawn in zip(found, draws[span], strict=True)
    ]
    check = {
        "head_starts": np.cumsum([0, *(len(ranks) for ranks, _, _ in found)]),
        "head_ids": [order[rank] for ranks, _, _ in found for rank in ranks],
        "head_log_probabilities": [log_p for _, head, _ in found for log_p in head],
        "tail_mass": [m for _, _, m in found],
        "draw_starts": np.cumsum([0, *map(len, draws[span])]),
        "draw_ids": [order[rank] for drawn in draws[span] for rank in drawn],
        "draw_weights": [weight for of_position in weights for weight in of_position],
    }
    assert any(len(ranks) > 1 for ranks, _, _ in found)
    assert any(len(drawn) > 1 for drawn in draws[span])
    for name, values in check.items():
        np.testing.assert_allclose(EXPECTED[f"{index}.logits.{name}"], values, rtol=0, atol=1e-5)
    assert 0 <= columns["tail_entropies"].max() * settings["entropy_step"] <= np.log(rows) + 1


def lists_by_place(stored, sizes):
    """The first entries of all lists, then the second of those that have two, and so on."""
    lists, begun = [[] for _ in sizes], 0
    for place in range(max(sizes)):
        for number, size in enumerate(sizes):
            if size > place:
                lists[number].append(int(stored[begun]))
                begun += 1
    assert begun == len(stored)
    return lists


def lists_of_sets(stored, sizes):
    """Gaps by how many entries are still to come, the most first; within a group by the entry before, then by position."""
    lists, begun = [[] for _ in sizes], 0
    for left in range(max(sizes), 0, -1):
        group = [number for number, size in enumerate(sizes) if size >= left]
        before = {number: lists[number][-1] if lists[number] else 0 for number in group}
        for number in sorted(group, key=lambda number: (before[number], number)):
            lists[number].append(before[number] + int(stored[begun]))
            begun += 1
    assert begun == len(stored)
    return lists


def head_of(codes, levels, step, rows):
    """Ranks, log-probabilities and the mass of everything else."""
    if not codes:
        return [], [], 1.0
    ranks, x = [codes[0]], [0.0]
    for code, level in zip(codes[1:], levels[1:], strict=True):
        ranks.append(code + ranks[-1] if level == 0 else code)
        x.append(x[-1] - step * level)
    outcomes = x if len(codes) == rows else [*x, -step * levels[0]]
    z = np.logaddexp.reduce(outcomes)
    return ranks, [value - z for value in x], 0.0 if len(codes) == rows else np.exp(outcomes[-1] - z)


def test_this_reader_uses_none_of_our_code():
    """With our own decoder behind it the page could say anything."""
    tree = ast.parse(Path(__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not any(name.startswith("miniend") for name in imported)
