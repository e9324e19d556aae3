"""Damaging a cache on purpose, and reading all of one."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np

from miniend import open_cache
from miniend.signals.logits.code import LogitIntegers
from miniend.storage.columns.columns import Column
from miniend.storage.documents.seal import seal
from miniend.storage.folder import PublishedFolder, publish_folder
from miniend.student_train.reading.loader import BatchSource, Columns, in_order

KINDS = {
    "filters": "filters",
    "plan": "plan",
    "calibration": "calibration",
    "extents": "extent",
    "segments": "marker",
    "shards": "marker",
}


def files_of(cache):
    """Every file of a cache by its relative path, in order."""
    return {
        p.relative_to(cache).as_posix(): p.read_bytes()
        for p in sorted(cache.rglob("*"))
        if p.is_file() and p.name != "dump.yaml"
    }


def folder_of(name):
    """The published folder that a file lies in."""
    parts = name.split("/")
    return parts[0] if parts[0] in ("plan", "calibration", "filters") else "/".join(parts[:2])


def kind_of(folder):
    return KINDS[folder.split("/")[0]]


def flip(path, position, bit):
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def read_everything(cache):
    """What every example decodes to, and what the loader hands to a student; raises what readers raise."""
    opened = open_cache(cache)
    arrays = [np.frombuffer(data, np.uint8) for data in opened.tokenizer_files().values()]
    arrays += [part.numpy() for one in opened.filters.values() for part in one.tensors().values()]
    for split in (opened.training, opened.validation):
        for example in split:
            arrays += [example.input_ids, example.labels]
            arrays += [getattr(f, k) for f in example.relations.values() for k in ("query", "key", "value")]
            arrays += list(example.hidden.values())
            if example.logits is not None:
                arrays += [example.logits.head_ids, example.logits.head_log_probabilities, example.logits.tail_mass]
                arrays += [example.logits.draw_ids, example.logits.draw_weights]
        arrays += loaded(opened, split)
    return arrays


def loaded(opened, split):
    """The integers of every batch that a student of all signals gets."""
    coefficients = tuple((name, p.axis) for codec in opened.codecs.values() for name, p in codec.columns.items())
    logits = opened.logit_code and (opened.logit_code.kind, len(opened.logit_code.order), False)
    columns = Columns(opened.family, coefficients, logits)
    arrays = []
    for batch in in_order(BatchSource(split, columns, 0), 8):
        parts = [*batch.ids.values(), *batch.coefficients.values()]
        parts += [getattr(batch.logits, field.name) for field in fields(LogitIntegers)] if batch.logits else []
        arrays += [part.numpy() for part in parts]
    return arrays


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def document_of(cache, folder):
    return json.loads((cache / folder / f"{kind_of(folder)}.json").read_text())


def reseal(cache, folder, document, relist=False):
    """Write a document with a right seal, whatever it says; with `relist` its files are hashed anew."""
    import hashlib

    path = cache / folder
    if relist:
        for name in document["files"]:
            data = (path / name).read_bytes()
            document["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, info in document["columns"].items():
            info["bytes"] = sum(e["bytes"] for f, e in document["files"].items() if f.startswith(f"{name}/"))
    body = {key: value for key, value in document.items() if key not in ("format", "version", "kind", "sha256")}
    (path / f"{kind_of(folder)}.json").write_bytes(seal(kind_of(folder), body))


def rewritten(cache, folder, changed, **members):
    """Write a published folder again with other columns and members, as a wrong but honest writer would."""
    path, kind = cache / folder, kind_of(folder)
    opened = PublishedFolder(path, kind)
    values = {name: opened.column(name) for name in opened.columns} | changed
    axes = {name: opened.columns[name]["axis"] if name in opened.columns else "basis" for name in values}
    columns = {name: Column(values=one, axis=axes[name]) for name, one in values.items()}
    ours = ("format", "version", "kind", "sha256", "files", "columns")
    body = {key: value for key, value in opened.document.items() if key not in ours}
    shutil.rmtree(path)
    publish_folder(path, kind, body | members, columns, codec="zstd")


def copy_of(cache, target):
    return Path(shutil.copytree(cache, target, symlinks=True))


def folders_of(cache):
    """Published folders by relative path."""
    return sorted({folder_of(name) for name in files_of(cache)})


def column_names(cache, folder):
    return sorted(PublishedFolder(cache / folder, kind_of(folder)).columns)
