"""The last lines of a dump: they say path, size and fidelity as `inspect` measures them, and a command that works."""

import shlex

from miniend.cache import open_cache
from miniend.cli import app
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.runtime.progress import size_text
from miniend.teacher_dump.closing import closing_lines


def test_the_lines_agree_with_inspect(ragged_home):
    path = ragged_home / "cache"
    cache, facts = open_cache(path), inspect_cache(path)
    *_, first, second, third = closing_lines(cache, path)
    sites = [[kinds[kind] for kind in ("query", "key", "value")] for kinds in facts.fidelity.relation_kl.values()]
    worst = max(sum(kls) / 3 for kls in sites)
    assert first.startswith(f"cache {path}: {facts.examples:,} training and {facts.validation_examples:,} validation")
    assert size_text(facts.bytes.total) in first
    assert facts.bytes.total == sum(path.stat().st_size for path in path.glob("*/**/*") if path.is_file())
    assert f"relations {worst:.1e} nats" in second
    assert f"logits {facts.fidelity.logits.kl:.1e} nats" in second
    assert third.startswith("next: ")


def test_the_next_command_is_understood_also_for_a_path_with_a_space(ragged_home):
    *_, last = closing_lines(open_cache(ragged_home / "cache"), "my cache")
    program, name, *arguments = shlex.split(last.removeprefix("next: "))
    assert program == "miniend"
    context = app.commands[name].make_context(name, arguments)
    assert str(context.params["cache"]) == "my cache"
