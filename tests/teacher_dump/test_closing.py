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
    found = {
        (kl, kind, site, heads)
        for site, kinds in facts.fidelity.relation_kl_by_heads.items()
        for kind, kls in kinds.items()
        for heads, kl in kls.items()
    }
    assert {heads for *_, heads in found} == {48, 24, 16, 12, 8}, "every number of heads that a student may use"
    worst, kind, site, heads = max(found)
    assert first.startswith(f"cache {path}: {facts.examples:,} training and {facts.validation_examples:,} validation")
    assert size_text(facts.bytes.total) in first
    assert facts.bytes.total == sum(path.stat().st_size for path in path.glob("*/**/*") if path.is_file())
    assert f"relations {worst:.1e} nats ({kind} of {site} at {heads} relation heads, target 3e-03)" in second
    assert f"logits {facts.fidelity.logits.kl:.1e} nats" in second
    assert third.startswith("next: ")


def test_the_next_command_is_understood_also_for_a_path_with_a_space(ragged_home):
    *_, last = closing_lines(open_cache(ragged_home / "cache"), "my cache")
    program, name, *arguments = shlex.split(last.removeprefix("next: "))
    assert program == "miniend"
    context = app.commands[name].make_context(name, arguments)
    assert str(context.params["cache"]) == "my cache"
