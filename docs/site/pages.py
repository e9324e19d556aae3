"""A hook of mkdocs: README.md, the format and the list of benchmarks are pages of the site, from the one place where each is.

Links are written as GitHub reads them, from file to file of the repository. Here they become links from page to page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "storage/SPEC.md": "reference/format.md",
    "benchmarks/README.md": "results/benchmarks.md",
}
"""File of the repository -> page of the site, for pages that are not in docs/."""
_LINK = re.compile(r"(\]\(|(?:src|href|srcset)=\")([^)#\"\s:]+)")
"""The beginning of a link to a file, in Markdown or HTML, and the file."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside of docs/."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_rest: Any) -> str:
    """Return the text of a page with its links from page to page."""
    here = page.file.src_uri
    source = {page: source for source, page in OUTSIDE.items()}.get(here, f"docs/{here}")
    return _LINK.sub(lambda found: found[1] + _linked(found[2], source, here), markdown)


def _linked(target: str, source: str, here: str) -> str:
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    page = OUTSIDE.get(file, file.removeprefix("docs/"))
    return posixpath.relpath(page, posixpath.dirname(here) or ".")
