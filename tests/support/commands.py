"""Real processes that start in milliseconds: a server imports torch, transformers and the package once, and forks for each.

Importing takes five seconds, which most processes of the tests would spend on nothing else. A forked process has a session,
standard streams, environment, working directory and signal handlers of its own, and ends as an interpreter does. What reads
its environment while it is imported (OpenMP, the hub's library) sees the server's.

Started as a script, the server reads one JSON request a line: {"start": JOB} answers {"pid": P}, {"poll": P} answers
{"status": S}, null while it runs, negative for a signal as in subprocess. It starts no thread before it forks.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
LIBRARIES = ("accelerate.tracking", "tensorboard.compat", "torch.utils.tensorboard", "torch.distributed", "matplotlib")
MODULES = ("student_train.train", "teacher_dump.dump", "recipes.compare.compare", "recipes.repair.verify", "cli")
MODELS = ("T5ForConditionalGeneration", "PreTrainedTokenizerFast", "Seq2SeqTrainer")
PAUSE = 0.005


class Command:
    """A process as `subprocess.Popen` shows it, whose output is in files."""

    def __init__(self, server: "Commands", pid: int, files: list[Path]) -> None:
        self._server, self.pid, self._files = server, pid, files
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask(poll=self.pid)["status"]
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """Wait for its end; kill its session where that takes too long."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(self.written())
            time.sleep(PAUSE)
        return status

    def communicate(self, timeout: float = 240) -> list[str]:
        """Wait for its end and return its standard output and its standard error."""
        self.wait(timeout)
        return self.written()

    def written(self) -> list[str]:
        """What it has written until now to both."""
        return [file.read_text() for file in self._files]

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End its session."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(PAUSE)


class Commands:
    """The server as tests see it; it starts with the first process that is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._process: Any = None

    def start(self, *arguments: Any, **job: Any) -> Command:
        """`miniend` with these arguments; the job may have `env` (changes of the environment), `cwd` and `code`."""
        self._count += 1
        files = [self._folder / f"{self._count}.{name}" for name in ("out", "err")]
        for file in files:
            file.touch()
        job = {"arguments": [str(one) for one in arguments], "files": [str(file) for file in files], **job}
        pid = self.ask(start=job)["pid"]
        return Command(self, pid, files)

    def python(self, code: str, *arguments: Any, **job: Any) -> Command:
        """A program, as `python -c` runs it."""
        return self.start(*arguments, code=code, **job)

    def ranks(self, world: int, *arguments: Any) -> list[Command]:
        """`miniend` as so many processes, with the environment that torchrun gives them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            self.start(*arguments, env={k: str(v) for k, v in {**common, "RANK": rank, "LOCAL_RANK": rank}.items()})
            for rank in range(world)
        ]

    def ask(self, **request: Any) -> Any:
        """The server's answer."""
        if self._process is None:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
            command = [sys.executable, "-W", "ignore", __file__]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the server."""
        if self._process is not None:
            with self._process:
                self._process.stdin.close()


def _serve() -> dict[str, Any] | None:
    """Answer requests until standard input ends; in a forked process, return its job."""
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if not pid:
                job: dict[str, Any] = request["start"]
                return job
            answer = {"pid": pid}
        else:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"status": os.waitstatus_to_exitcode(status) if pid else None}
        print(json.dumps(answer), flush=True)
    return None


def _run(job: dict[str, Any]) -> None:
    """Become the process that was asked for."""
    os.setsid()
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        signal.signal(signal.Signals[name], signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, file in zip((1, 2), job["files"], strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.update(job.get("env", {}))
    tempfile.tempdir = None  # it is looked for again, as TMPDIR may be another
    os.chdir(job.get("cwd", "."))
    if "code" in job:
        sys.argv = ["-c", *job["arguments"]]
        exec(compile(job["code"], "<code>", "exec"), {"__name__": "__main__"})
        return
    from miniend.__main__ import main

    sys.argv = ["miniend", *job["arguments"]]
    main()


if __name__ == "__main__":
    from importlib import import_module

    for library in (*LIBRARIES, *(f"miniend.{module}" for module in MODULES)):
        import_module(library)
    for name in MODELS:
        getattr(import_module("transformers"), name)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # as in all tests; see conftest.py
    gc.freeze()  # so that no child's collector looks at what all of them share
    asked = _serve()
    if asked is not None:
        _run(asked)
