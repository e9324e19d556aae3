"""The site of the documentation builds without a warning, and needs no network to be read."""

import re
import subprocess
import sys

import pytest

from support.pages import ROOT, name_of, pages

pytest.importorskip("mkdocs", reason="the site needs pip install '.[docs]'")
_LOADED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']([^"']+)["']""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", ROOT / "mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site(site):
    """Also README.md, the format and the list of benchmarks, which are not in docs/."""
    moved = {"README.md": "index", "storage/SPEC.md": "reference/format", "benchmarks/README.md": "results/benchmarks"}
    for page in pages():
        name = moved.get(name_of(page), name_of(page).removeprefix("docs/").removesuffix(".md"))
        assert (site / f"{name}.html").stat().st_size > 2000


def test_no_page_loads_anything_from_the_network(site):
    """A site that needs a font server is blank on a cluster."""
    found = {url for page in site.rglob("*.html") for url in _LOADED.findall(page.read_text()) if "//" in url}
    assert found == set()
