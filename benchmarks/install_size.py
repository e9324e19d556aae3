"""Say how much `pip install` is about to download, before it does: `install_size.py REQUIREMENT... [-c CONSTRAINTS]`.

pip resolves without installing, and we ask for the length of each file that it names. So the numbers are of this machine, this
index and this day. This script needs only Python and pip; `make demo` runs it before it installs.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

RATES = (("10 MB/s", 10e6), ("2 MB/s", 2e6))
"""The connections for which we name a time."""
LARGEST = 3
"""How many of the largest files we name."""


def files_to_fetch(arguments: list[str]) -> dict[str, str]:
    """Return the address of the file of each package that pip would install, by name."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "-qq", "--disable-pip-version-check", "--report", "-"]
    report = json.loads(subprocess.run([*pip, *arguments], stdout=subprocess.PIPE, check=True).stdout)
    found = {one["metadata"]["name"]: one["download_info"] for one in report["install"]}
    return {name: info["url"] for name, info in found.items() if "dir_info" not in info}


def size_of(address: str) -> int | None:
    """Return the bytes of a file; None if its server does not tell. A file of this machine does not travel."""
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path)).stat().st_size
    try:
        with urlopen(Request(address, method="HEAD"), timeout=20) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError):
        return None


def lines(sizes: dict[str, int | None]) -> list[str]:
    """Return what a reader wants to know before waiting."""
    if not sizes:
        return ["everything is installed already"]
    known = {name: size for name, size in sizes.items() if size is not None}
    total = sum(known.values())
    unknown = f", and {len(sizes) - len(known)} whose size the index does not tell" if len(known) < len(sizes) else ""
    times = " or ".join(f"{max(total / rate, 1) / 60:.1f} min at {name}" for name, rate in RATES)
    largest = sorted(known, key=lambda name: -known[name])[:LARGEST]
    named = ", ".join(f"{name} {known[name] / 1e6:,.0f} MB" for name in largest)
    return [
        f"to download: {total / 1e6:,.0f} MB in {len(known)} packages{unknown}: {times}, less what pip has in its cache",
        f"the largest: {named}",
    ]


def main() -> None:
    """Print the lines for pip's arguments."""
    found = files_to_fetch(sys.argv[1:])
    with ThreadPoolExecutor(16) as pool:
        sizes = dict(zip(found, pool.map(size_of, found.values()), strict=True))
    for line in lines(sizes):
        print(line, flush=True)
    if any(name.startswith("nvidia") for name in sizes):
        print(
            "most of this is CUDA; for the CPU, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds before",
            flush=True,
        )


if __name__ == "__main__":
    main()
