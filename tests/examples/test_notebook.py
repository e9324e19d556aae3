"""The notebook runs from top to bottom in a real kernel, and a kernel is whole after its interrupt button."""

import os
import queue
import re
import time
import warnings

import pytest

from support.pages import ROOT

nbformat = pytest.importorskip("nbformat", reason="notebooks need pip install '.[test]'")
NOTEBOOK = ROOT / "examples" / "distil_your_t5.ipynb"
TINY = {
    "EXAMPLES, VALIDATION_EXAMPLES, INPUT_LENGTH": "24, 8, 32",
    "TEACHER_STEPS, STEPS": "1, 2",
    "SIZES": '["2L64H", "2L32H"]',
}
"""What the tests have time for, in the place of the first cell's settings."""
EXTRA = {"calibration_examples=80": "calibration_examples=20, noise_density=0.3, threads=1"}
PATIENCE = 300


@pytest.fixture
def own_jupyter(tmp_path, monkeypatch):
    """Kernels write their connection and history here, and read nothing of this user."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def with_settings(notebook, **settings):
    """Give the first cell of code other values."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for names, value in settings.items():
        first.source, found = re.subn(rf"(?m)^{names} = .*$", f"{names} = {value}", first.source)
        assert found == 1, names
    return notebook


def executed(notebook, folder):
    """Run all cells in a kernel that starts in `folder`, and return the text of all outputs."""
    from nbclient import NotebookClient

    NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    said = "".join(one["text"] for one in outputs if one.get("name") == "stderr")  # only bars
    assert not re.search("warning|error|traceback", said, re.IGNORECASE), said
    data = [text for one in outputs if "data" in one for text in one["data"].values()]
    return "\n".join([*(one["text"] for one in outputs if one.output_type == "stream"), *map(str, data)])


def test_it_runs_with_a_teacher_and_a_text_of_ones_own(home, tmp_path, own_jupyter):
    """From the teacher to curve, generation and score."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with_settings(notebook, TEACHER=f'"{home / "teacher"}"', CORPUS=f'"{home / "corpus.jsonl"}"', **TINY)
    for cell in notebook.cells:
        for large, small in EXTRA.items():
            cell.source = cell.source.replace(large, small)
    text = executed(notebook, tmp_path)
    assert "dumped 32 of 32 examples" in text
    assert "<th" in text
    assert (tmp_path / "distilled" / "curve.png").exists()
    assert re.search(r"2L32H-miniend-e: \d\.\d+ nats, [\d,]+ parameters", text)


@pytest.mark.slow
def test_it_makes_a_teacher_and_runs_as_it_is(tmp_path, own_jupyter):
    """With its defaults, in about two minutes; the students are better than word frequencies."""
    text = executed(nbformat.read(NOTEBOOK, as_version=4), tmp_path)
    frequencies, losses = re.search(r"word frequencies (\S+),", text)[1], re.findall(r"miniend-e: (\S+) nats", text)
    assert all(float(loss) < float(frequencies) for loss in losses)


def test_the_package_lets_no_library_warn_of_a_notebook_without_widgets(own_jupyter, tmp_path):
    """Whichever library is the first to ask tqdm for bars, often transformers, would print its warning under a user's cell."""
    cell = nbformat.v4.new_code_cell(
        "import miniend, warnings\nwarnings.simplefilter('always')\nimport tqdm.auto\nprint('ran')"
    )
    assert executed(nbformat.v4.new_notebook(cells=[cell]), tmp_path) == "ran\n"


def test_it_is_committed_without_outputs():
    """Outputs of somebody's machine would be stale at once, and large."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


IMPORTS = (
    "import os, signal, threading, miniend, torch; from miniend.student_train.train import train_students as _loaded"
)
TRAIN = """
def log(line):
    if line.startswith("resumed at step"):
        raise RuntimeError(line)
student = miniend.train_student(
    cache={cache!r}, output={output!r}, size="2L32H", steps=100_000, batch_size=4, log_every=1, device="cpu", log=log
)
"""
CLEAN = """
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGINT)
assert not [name for name in os.listdir({output!r}) if name.startswith(".claim-")]
from accelerate.state import AcceleratorState
assert not AcceleratorState._shared_state
assert not [one.name for one in threading.enumerate() if "Thread-" in one.name and "prefetch" in one.name.lower()]
print("clean")
"""


def ask(client, code, while_running=None):
    """Run code in a kernel; return the text that it printed and its reply."""
    sent, text = client.execute(code), ""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if while_running:
            while_running = while_running()
        try:
            message = client.get_iopub_msg(timeout=0.1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != sent:
            continue
        text += message["content"].get("text", "")
        if message["content"].get("execution_state") == "idle":
            replies = iter(lambda: client.get_shell_msg(timeout=PATIENCE), None)
            return text, next(one["content"] for one in replies if one["parent_header"].get("msg_id") == sent)
    raise TimeoutError(text)


def test_the_interrupt_button_leaves_a_kernel_that_goes_on(home, tmp_path, own_jupyter):
    """The run is saved, nothing holds it, and the same cell run again resumes it."""
    from jupyter_client.manager import start_new_kernel

    places = {"cache": str(home / "cache"), "output": str(tmp_path / "student")}
    manager, client = start_new_kernel(
        kernel_name="python3", startup_timeout=PATIENCE, cwd=str(tmp_path), env=os.environ.copy()
    )
    metrics = tmp_path / "student" / "metrics.jsonl"

    def press():
        if metrics.exists() and len(metrics.read_text().splitlines()) >= 3:
            manager.interrupt_kernel()
            return None
        return press

    try:
        assert ask(client, IMPORTS)[1]["status"] == "ok"
        text, stopped = ask(client, TRAIN.format(**places), press)
        assert stopped.get("ename") == "KeyboardInterrupt", (text, stopped)
        text, reply = ask(client, CLEAN.format(**places))
        assert text == "clean\n", reply
        text, resumed = ask(client, TRAIN.format(**places))
        assert resumed.get("ename") == "RuntimeError", (text, resumed)
        assert int(resumed["evalue"].split()[-1]) >= 3
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
