"""A process that imports torch and loads a tiny teacher once, and then forks a real process for each dump that is asked for.

Started as a script by `ForkServer`, it reads one JSON request a line: {"start": JOB} answers {"pid": P}, {"poll": P} answers
{"status": S}, null while it runs, negative for a signal as in subprocess. Each answer comes at once: a test that runs out of time
while it waits would leave an answer behind, which the next test would take for its own. A job that lives to its end writes what
it found into its `report` file. It starts no thread before it forks.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).parents[1]
HANGS = 120
"""Seconds after which a job is killed by SIGALRM: it hangs."""
PAUSE = 0.005
FOLDERS = ("plan", "calibration", "segments/*", "extents/*", "shards/*")
SMALL = {
    "examples": 3,
    "validation_examples": 1,
    "calibration_examples": 3,
    "input_length": 12,
    "noise_density": 0.3,
    "shard_examples": 2,
    "batch_size": 2,
    "signals": "decoder.self",
    "relation_step": 0.1,
    "codec": "zstd",
    "device": "cpu",
    "threads": 1,
}
"""Three shards, of seven columns each."""


class ForkServer:
    """The server as tests see it; `settings` are those of every dump that it makes, teacher and corpus included."""

    def __init__(self, folder, settings):
        self._folder, self._jobs = folder, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-W", "ignore", __file__, json.dumps(settings)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"

    def start(self, cache, **job):
        """Fork a process that dumps into `cache`; its pid and the path of its report."""
        self._jobs += 1
        report = self._folder / f"report-{self._jobs}.json"
        answer = self._ask(start={"cache": str(cache), "report": str(report), **job})
        return answer["pid"], report

    def wait(self, started):
        """(exit status, report or None) of a job."""
        pid, report = started
        try:
            while (status := self._ask(poll=pid)["status"]) is None:
                time.sleep(PAUSE)
        except BaseException:  # the test has run out of time
            os.kill(pid, signal.SIGKILL)
            raise
        return status, json.loads(report.read_text()) if report.exists() else None

    def run(self, cache, **job):
        """`start` and `wait`."""
        return self.wait(self.start(cache, **job))

    def _ask(self, **request):
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def finished(self, started):
        """Whether a job has come to its end, well or badly, and not by a signal."""
        return started[1].exists()

    def close(self):
        """End the server."""
        with self._process:
            self._process.stdin.close()


def contents(root):
    """Every file by its path: bytes."""
    root = Path(root)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def whole_or_absent(cache, unbroken):
    """Complaints about whatever stands under a published name in `cache` and is not a whole folder of the unbroken dump."""
    cache, unbroken = Path(cache), Path(unbroken)
    names = {p.relative_to(unbroken).as_posix() for pattern in FOLDERS for p in unbroken.glob(pattern)}
    found = {p.relative_to(cache).as_posix() for pattern in FOLDERS for p in cache.glob(pattern)}
    visible = {name for name in found if not Path(name).name.startswith(".")}
    complaints = [f"{name} is in no unbroken dump" for name in sorted(visible - names)]
    return complaints + [
        f"{name} is not whole"
        for name in sorted(visible & names)
        if contents(cache / name) != contents(unbroken / name)
    ]


def differences(cache, unbroken):
    """Names of files that only one of two caches has or that differ, and of whatever is hidden in the first."""
    one, other = contents(cache), contents(unbroken)
    hidden = [str(path) for path in Path(cache).rglob(".*")]
    return hidden + sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _unreadable(cache):
    """Complaints of a student that reads all that is published; that it is unfinished, or not begun, is none."""
    from miniend.cache import open_cache
    from miniend.errors import CacheMismatchError, CacheUnfinishedError

    try:
        opened = open_cache(cache, allow_unfinished=True)
        for example in (*opened, *opened.validation):
            assert len(example.labels) == len(example.logits.tail_mass)
            assert all(len(factors.query) == len(example.labels) for factors in example.relations.values())
    except CacheUnfinishedError:
        return []
    except CacheMismatchError as error:
        return [] if "is not a MiniEnD cache" in str(error) else [f"the reader says: {error}"]
    except Exception as error:
        return [f"the reader says: {error!r}"]
    return []


def _plainly(dump):
    """(exit status, standard error) of the command line around a dump."""
    from miniend.cli import exit_status

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            return exit_status(lambda: dump() and None), said.getvalue()
        except Exception:
            return 1, traceback.format_exc()


def _run_job(job, dump):
    """Dump under a fault where one is asked for, then look, dump again without it; the report of what was found."""
    from support.faults import Faults

    report = {"complaints": []}
    if "fault" in job:
        kind, at = job["fault"]
        with Faults(job["cache"], kind, at) as faults:
            report["status"], report["said"] = _plainly(dump)
        report["operations"] = faults.operations
    if "unbroken" in job:
        report["complaints"] += whole_or_absent(job["cache"], job["unbroken"]) + _unreadable(job["cache"])
    time.sleep(max(0.0, job.get("not_before", 0.0) - time.time()))
    status, said = _plainly(dump)
    report["complaints"] += [f"the dump ends with {status}: {said}"] if status else []
    if "unbroken" in job:
        report["complaints"] += differences(job["cache"], job["unbroken"])
    return report


def _child(job, settings):
    from miniend.teacher_dump.config import DumpConfig
    from miniend.teacher_dump.dump import dump_teacher
    from miniend.teacher_dump.examples import segments

    signal.alarm(HANGS)
    os.environ.update(job.get("env", {}))
    segments.SEGMENTS_PER_FOLDER = job.get("segments_per_folder", segments.SEGMENTS_PER_FOLDER)
    config = DumpConfig(**{**settings, **job.get("settings", {}), "cache": Path(job["cache"])})
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote; only a power cut would
    report = _run_job(job, lambda: dump_teacher(config, log=lambda line: None))
    partial = Path(job["report"]).with_suffix(".part")
    partial.write_text(json.dumps(report))
    partial.rename(job["report"])


def _fork(job, settings):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _child(job, settings)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _serve(settings):
    """Load what every dump needs, and then do as asked until standard input ends."""
    import miniend.teacher_dump.dump  # noqa: F401
    import support.faults  # noqa: F401
    from miniend.runtime.devices import choose_device
    from miniend.teacher_dump import prepare
    from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
    from support import tiny_t5  # noqa: F401  # one thread

    teacher = prepare.load_teacher(settings["teacher"], "float32", choose_device("cpu"))
    tokenizer = TextTokenizer.load(settings["teacher"])
    prepare.load_teacher = lambda *_arguments: teacher
    prepare.TextTokenizer.load = staticmethod(lambda *_arguments: tokenizer)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = {"pid": _fork(request["start"], settings)}
        else:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"status": os.waitstatus_to_exitcode(status) if pid else None}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
