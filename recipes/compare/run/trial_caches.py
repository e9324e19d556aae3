"""Give the timings a cache with filters before the dump is finished: links to the files, with filters of a few steps.

A cache may not hold symbolic links, so these are hard ones, or copies where the disk does not have them.
"""

import os
import shutil
from pathlib import Path

from ....cache import open_cache
from ...filters.trial import trial_filters
from ..file.paths import Paths
from ..file.settings import MAIN, Comparison


class TrialCaches:
    """The caches on which students are timed. `remove` removes what was made of them."""

    def __init__(self, comparison: Comparison, paths: Paths) -> None:
        self._comparison, self._paths = comparison, paths
        self._seconds: dict[str, float] = {}

    def path(self, name: str) -> Path:
        """Return the folder of a cache whose shards have begun, with filters if the file states them.

        The cache of an assistant does not exist yet, so the teacher's stands for it.
        """
        own = self._source(name)
        if self._comparison.caches[name].filters is None or open_cache(own, allow_unfinished=True).filters_folder:
            return own
        self.filter_seconds(name)
        return self._paths.trial_caches / name

    def filter_seconds(self, name: str) -> float:
        """Return the seconds in which the filters of a cache are made."""
        if name not in self._seconds:
            folder = self._paths.trial_caches / name
            shutil.copytree(
                self._source(name),
                folder,
                copy_function=_linked,
                ignore=shutil.ignore_patterns("filters", ".*"),  # other filters, and what other processes are writing
            )
            config = self._comparison.filters(name, self._comparison.teacher, folder)
            assert config is not None
            self._seconds[name] = trial_filters(config)
        return self._seconds[name]

    def remove(self) -> None:
        """Remove the folders with trial filters, and what an interrupted plan left of them. The caches stay."""
        if self._paths.trial_caches.is_dir():
            shutil.rmtree(self._paths.trial_caches)

    def _source(self, name: str) -> Path:
        return self._paths.cache(name if self._comparison.caches[name].teacher is None else MAIN)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
