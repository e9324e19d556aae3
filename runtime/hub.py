"""Ask the Hugging Face hub for the commit of a revision. A moment's trouble is tried again, and never taken for an answer."""

import re
from time import sleep
from typing import Literal

from .hub_errors import passes

PAUSES = (1.0, 4.0, 15.0)
"""The seconds between tries; the hub lifts its limits on requests within minutes."""
_COMMIT = re.compile("[0-9a-f]{40}")


def commit_of(kind: Literal["model", "dataset"], name: str, revision: str | None, known: str | None) -> str | None:
    """Return the commit at which to read a repository: the one of its revision now, the newest without a revision.

    `known` is the commit with which this work began. It is the answer where no revision was asked for, so that work goes on after
    a new commit, and where the hub does not answer. A revision that is a commit is its own answer. Return None if nobody knows.
    """
    if revision is None and known is not None:
        return known
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    for pause in (*PAUSES, None):
        try:
            return _ask(kind, name, revision)
        except Exception as error:
            if pause is None or not passes(error):
                return known
            sleep(pause)
    return known


def _ask(kind: str, name: str, revision: str | None) -> str | None:
    from huggingface_hub import HfApi

    api = HfApi()
    info = api.model_info if kind == "model" else api.dataset_info
    commit: str | None = info(name, revision=revision, timeout=30).sha
    return commit
