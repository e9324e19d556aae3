"""A stub of the Hugging Face hub on loopback: repositories with commits, small and large files, as huggingface_hub asks."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_secretsecretsecret"
PAGE = 7
"""The entries of a page of a listing; few, so that every listing has several pages."""
LARGE = 1000
"""The bytes from which a file is a large one."""


class StubHub:
    """The server. `repositories` maps `datasets/me/x` to its commits, oldest first: (id, {path: bytes})."""

    def __init__(self) -> None:
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.uploaded: list[str] = []
        self.faults: list[tuple[str, int, int]] = []
        """(pattern of the request's line, status or 0 for a dropped connection, how many times)."""
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()

    def files(self, repository: str) -> dict[str, bytes]:
        """The files of the newest commit."""
        return self.repositories[repository][-1][1]

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Make a commit with these files in place of all others."""
        commits = self.repositories.setdefault(repository, [])
        name = hashlib.sha1(f"{repository}{len(commits)}".encode()).hexdigest()
        commits.append((name, dict(files)))
        return name

    def asked(self, pattern: str) -> list[str]:
        """The lines of the requests that match."""
        return [line for line in self.requests if re.search(pattern, line)]

    def fault_of(self, line: str) -> int | None:
        """What goes wrong with a request."""
        with self.lock:
            for number, (pattern, status, left) in enumerate(self.faults):
                if left and re.search(pattern, line):
                    self.faults[number] = (pattern, status, left - 1)
                    return status
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: StubHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        line = f"{self.command} {path}"
        self.hub.requests.append(line)
        fault = self.hub.fault_of(line)
        if fault == 0:
            self.close_connection = True
            self.connection.close()
            return
        if fault:
            self._answer({"error": "no"}, fault)
            return
        if self.command != "GET" and self.headers.get("authorization") != f"Bearer {TOKEN}" and "/lfs/" not in path:
            self._answer({"error": "Invalid credentials in Authorization header"}, 401)
            return
        for pattern, handle in ROUTES:
            if found := re.fullmatch(pattern, line):
                handle(self, body, *found.groups())
                return
        self._answer({"error": f"unknown {line}"}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        if status >= 400 and not isinstance(value, bytes):
            self.send_header("X-Error-Message", str(value.get("error")))
        self.end_headers()
        self.wfile.write(data)

    def _commit_at(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit of a revision; answers with an error if there is none, or not for this user."""
        commits = self.hub.repositories.get(repository)
        hidden = repository in self.hub.private and self.headers.get("authorization") != f"Bearer {TOKEN}"
        if commits is None or hidden:
            self._answer({"error": "Repository not found"}, 401 if hidden else 404, {"X-Error-Code": "RepoNotFound"})
            return None
        if revision == "main":
            return commits[-1]
        for commit in commits:
            if commit[0] == revision:
                return commit
        self._answer({"error": "Revision not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
        return None

    def create(self, body: bytes) -> None:
        """Make a repository."""
        asked = json.loads(body)
        repository = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
        if repository in self.hub.repositories:
            self._answer({"error": "You already created this repo", "url": f"{self.hub.url}/{repository}"}, 409)
            return
        if asked.get("visibility") == "private" or asked.get("private"):
            self.hub.private.add(repository)
        self.hub.commit(repository, {".gitattributes": b"*.bin filter=lfs\n"})
        self._answer({"url": f"{self.hub.url}/{repository.removeprefix('models/')}", "id": asked["name"]})

    def information(self, _body: bytes, repository: str, revision: str | None = None) -> None:
        """Tell the commit of a revision."""
        if commit := self._commit_at(repository, revision or "main"):
            self._answer({"id": repository.partition("/")[2], "sha": commit[0], "siblings": [], "private": False})

    def tree(self, _body: bytes, repository: str, revision: str, folder: str | None = None) -> None:
        """List files, a page at a time."""
        commit = self._commit_at(repository, revision)
        if commit is None:
            return
        start = f"{folder}/" if folder else ""
        entries = [_entry(path, data) for path, data in sorted(commit[1].items()) if path.startswith(start)]
        if not entries and folder:
            self._answer({"error": "no such folder"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        first = int(re.search(r"cursor=(\d+)|$", self.path)[1] or 0)  # type: ignore[index]
        more = {}
        if first + PAGE < len(entries):
            address = re.sub(r"&cursor=\d+", "", self.path)
            more = {"Link": f'<{self.hub.url}{address}&cursor={first + PAGE}>; rel="next"'}
        self._answer(entries[first : first + PAGE], headers=more)

    def resolve(self, _body: bytes, repository: str, revision: str, path: str) -> None:
        """Give a file; a large one from elsewhere, as the hub does."""
        repository = repository if repository.startswith("datasets/") else f"models/{repository}"
        commit = self._commit_at(repository, revision)
        if commit is None:
            return
        data = commit[1].get(path)
        if data is None:
            self._answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        elif len(data) >= LARGE:
            oid = hashlib.sha256(data).hexdigest()
            self.hub.large[oid] = data
            self._answer(b"", 302, {"Location": f"{self.hub.url}/lfs/{oid}?Signature=signed"})
        else:
            self._answer(data, headers={"ETag": f'"{_git(data)}"', "X-Repo-Commit": commit[0]})

    def download(self, _body: bytes, oid: str) -> None:
        """Give a large file, or a part of it."""
        data = self.hub.large[oid]
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range") or ""):
            start, stop = int(found[1]), int(found[2] or len(data) - 1) + 1
            where = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
            self._answer(data[start:stop], 206, where)
            return
        self._answer(data)

    def preupload(self, body: bytes, repository: str, revision: str) -> None:
        """Say which files are large."""
        commit = self._commit_at(repository, revision)
        if commit is None:
            return
        answers = []
        for file in json.loads(body)["files"]:
            large, there = file["size"] >= LARGE, commit[1].get(file["path"])
            oid = None if there is None else hashlib.sha256(there).hexdigest() if len(there) >= LARGE else _git(there)
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._answer({"files": answers})

    def batch(self, body: bytes, _repository: str) -> None:
        """Say where large files go; those that are there need not travel."""
        objects = []
        for one in json.loads(body)["objects"]:
            known = one["oid"] in self.hub.large
            action = {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}?Signature=signed"}}}
            objects.append({"oid": one["oid"], "size": one["size"], **({} if known else action)})
        self._answer({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        """Take a large file."""
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.large[oid] = body
        self.hub.uploaded.append(oid)
        self._answer(b"")

    def make_commit(self, body: bytes, repository: str, revision: str) -> None:
        """Make a commit from lines of JSON."""
        commit = self._commit_at(repository, revision)
        if commit is None:
            return
        files = dict(commit[1])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        name = self.hub.commit(repository, files)
        self._answer({"commitUrl": f"{self.hub.url}/{repository}/commit/{name}", "commitOid": name})

    def validate(self, _body: bytes) -> None:
        """Find nothing wrong with a card."""
        self._answer({"errors": [], "warnings": []})


_REPOSITORY = r"((?:models|datasets)/[^/]+/[^/]+)"
ROUTES = [
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (rf"GET /api/{_REPOSITORY}(?:/revision/(.+))?", _Handler.information),
    (rf"GET /api/{_REPOSITORY}/tree/([^/]+)(?:/(.+))?", _Handler.tree),
    (rf"POST /api/{_REPOSITORY}/preupload/(.+)", _Handler.preupload),
    (rf"POST /api/{_REPOSITORY}/commit/(.+)", _Handler.make_commit),
    (r"POST /(.+)\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /lfs/(\w+)", _Handler.upload),
    (r"GET /lfs/(\w+)", _Handler.download),
    (r"GET /(.+?)/resolve/([^/]+)/(.+)", _Handler.resolve),
]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _git(data)}
    if len(data) >= LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def stub_hub() -> Iterator[StubHub]:
    """A running hub without repositories."""
    hub = StubHub()
    yield hub
    hub.close()


def variables(hub: StubHub, folder: Path) -> dict[str, str]:
    """The environment of a command that reaches the stub, with a token and a mirror of its own."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder / "hf"),
        "MINIEND_MIRROR": str(folder / "mirror"),
    }


def use(monkeypatch: pytest.MonkeyPatch, hub: StubHub, folder: Path) -> None:
    """Lead this process to the stub; huggingface_hub has read the environment already."""
    from huggingface_hub import constants

    for name, value in variables(hub, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "hf" / "token"))
