"""Every change of one member of a JSON document, and documents that are sealed anew after it, as a stranger could seal them."""

import copy
import hashlib
import json

from support.damage import document_of, folders_of, kind_of

NESTED = json.loads("[" * 60 + "]" * 60)
DELETED = object()
REPLACEMENTS = (DELETED, None, True, -1, 0, 1e30, 2**63, float("nan"), "", "x" * 5000, [], {}, NESTED)
"""What a member is replaced by: nothing, other types, extremes, and values that only look right."""
UNKNOWN = "a_member_that_nobody_knows"


def members(value, path=()):
    """The path of every member inside a JSON value; of siblings that look alike, such as the entries of files, only the first."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    seen = set()
    for key, inner in list(items):
        if (form := _form(inner)) not in seen or not isinstance(inner, (dict, list)):
            yield from members(inner, (*path, key))
        seen.add(form)


def _form(value):
    """The names of all members inside an object, whatever their values are; of a list the form of what it holds."""
    if isinstance(value, dict):
        return tuple(sorted((key, _form(inner)) for key, inner in value.items()))
    return ("list", *sorted({repr(_form(inner)) for inner in value})) if isinstance(value, list) else ()


def replaced(document, path, value):
    """A copy whose member at a path has another value, or none."""
    changed = copy.deepcopy(document)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


def changes(document):
    """(words, changed document) for every member and every replacement, and for an unknown member in every object."""
    for path in members(document):
        for value in REPLACEMENTS:
            yield f"{'.'.join(map(str, path))} = {shown(value)}", replaced(document, path, value)
    for path in [(), *members(document)]:
        holder = document
        for key in path:
            holder = holder[key]
        if isinstance(holder, dict):
            yield f"{'.'.join(map(str, path))} + unknown", replaced(document, (*path, UNKNOWN), NESTED)


def shown(value):
    return "nothing" if value is DELETED else repr(value)[:30]


def sealed(document):
    """The bytes and the digest of a document as its writer seals it, whatever it says."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    text = (json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(text).hexdigest()
    return text.removesuffix(b"\n}\n") + f',\n  "sha256": "{digest}"\n}}\n'.encode(), digest


def put(cache, folder, document):
    """Write a document in the place of a folder's own, and let all that depend on it name it as their parent."""
    digests = {}
    for name in _in_order(cache):
        kind = kind_of(name)
        found = document if name == folder else document_of(cache, name)
        parent = _parent(name, digests) if name != folder else None
        if parent is not None:
            found["parent"] = parent
        data, digests[name] = sealed(found)
        (cache / name / f"{kind}.json").write_bytes(data)


def _in_order(cache):
    order = {"plan": 0, "filters": 1, "extents": 1, "calibration": 2, "segments": 3, "shards": 4}
    return sorted(folders_of(cache), key=lambda name: (order[name.split("/")[0]], name))


def _parent(name, digests):
    group, _, number = name.partition("/")
    if group == "extents" and int(number):
        return digests[f"extents/{int(number) - 1:06d}"]
    return digests["calibration"] if group == "shards" else digests["plan"] if group != "plan" else None
