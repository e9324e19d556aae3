"""The file `api/__init__.pyi`, from which editors and mypy learn the signatures of the functions in `api`."""

import inspect
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from miniend import api
from miniend.api.function import RECORDED

PATH = Path(api.__file__).with_suffix(".pyi")
IMPORTS = """\
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..cache import Cache
from ..evaluation.records import EvaluationResults
from ..recipes.compare.compared import Comparison
from ..recipes.estimate.estimate import Estimate
from ..recipes.inspect.facts import CacheFacts
from ..recipes.judge_encoder.judge import EncoderFacts
from ..recipes.prune.sorted_teacher import SortedTeacher
from ..recipes.repair.verify import VerifyReport
from ..recipes.schedule.scheduled import Schedule
from ..student_train.dry_run.dry_run import DryRun
from ..student_train.student import Student, Students
"""


def stub() -> str:
    """Return the content of the file."""
    functions = "\n".join("\n".join(_function(name, getattr(api, name))) for name in api.__all__)
    return f"# Written by docs/reference/generate.py; change the options, and run it again.\n\n{IMPORTS}\n{functions}\n"


def _function(name: str, function: Any) -> Iterator[str]:
    yield f"def {name}("
    keyword_only = False
    for one in function.keywords.values():
        if not one.positional and not keyword_only:
            keyword_only = True
            yield "    *,"
        default = "" if one.default is MISSING else f" = {_source(one.default)}"
        yield f"    {one.name}: {one.type}{default},"
    yield f") -> {function.returns}:"
    yield '    """'
    yield from (f"    {line}".rstrip().replace("\\", "\\\\") for line in (inspect.getdoc(function) or "").split("\n"))
    yield '    """'
    yield ""


def _source(default: Any) -> str:
    if isinstance(default, Path) or default is RECORDED:
        return "..."
    return repr(default).replace("'", '"')
