"""A repository of the Hugging Face hub that we write, through huggingface_hub. Nothing here prints or keeps a token."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigurationError
from ...storage.stores.hub import HubRequests, files_of

README = "README.md"
Content = Path | bytes
"""What becomes a file of the repository."""


class Repository:
    """A model or a data set on the hub. Its methods raise ConfigurationError or ObjectStoreError, in one line each."""

    def __init__(self, kind: Literal["model", "dataset"], name: str) -> None:
        self.kind, self.name = kind, name
        self.url = f"hf://{kind}s/{name}"
        self._ask = HubRequests(self.url, f"the {kind} {name}").ask

    @property
    def page(self) -> str:
        """The address of its page, for people."""
        from huggingface_hub import constants

        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{constants.ENDPOINT}/{prefix}{self.name}"

    def create(self, private: bool) -> None:
        """Make the repository, if it does not exist. Without `private` the hub decides, as for transformers' Trainer."""
        if self.name.count("/") != 1:
            raise ConfigurationError(f"{self.name}: expected USER/NAME, the name of a {self.kind} on the hub")
        from huggingface_hub import HfApi

        with _quiet():
            self._ask(
                lambda: HfApi().create_repo(self.name, repo_type=self.kind, private=private or None, exist_ok=True)
            )

    def files(self) -> dict[str, tuple[int, str]]:
        """Return the size and the tag of each file that is there."""
        return self._ask(partial(files_of, self.kind, self.name, "main"))

    def text(self, path: str) -> str:
        """Return a small file of text, as it is there now."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        def fetched() -> str:
            url = hf_hub_url(self.name, path, repo_type=self.kind)
            response = get_session().get(url, headers=build_hf_headers(), timeout=60)
            hf_raise_for_status(response)
            return bytes(response.content).decode("utf-8", "replace")

        return self._ask(fetched)

    def commit(self, files: Mapping[str, Content], message: str) -> None:
        """Upload files by their paths in the repository, in one commit. Large ones that are there already do not travel again."""

        def committed() -> Any:
            from huggingface_hub import CommitOperationAdd, HfApi

            added = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=data) for path, data in files.items()]
            return HfApi().create_commit(self.name, added, commit_message=message, repo_type=self.kind)

        with _quiet():
            self._ask(committed)


def tags_of(path: Path, sha256: str | None = None) -> Iterator[str]:
    """Yield the two tags that the hub may give a file: the SHA-256 of its bytes, and git's SHA-1."""
    yield sha256 or _digest(hashlib.sha256(), path)
    yield _digest(hashlib.sha1(b"blob %d\0" % path.stat().st_size), path)


def _digest(digest: Any, path: Path) -> str:
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return str(digest.hexdigest())


@contextmanager
def _quiet() -> Iterator[None]:
    """Let huggingface_hub draw no bars and log only errors: its warnings hold signed addresses."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    shown, verbosity = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            enable_progress_bars()
