"""The facts about a cache as small tables, for a notebook."""

from collections.abc import Iterator

from ...runtime.progress import size_text
from ...runtime.showing import Table, facts, heading
from .facts import CacheFacts
from .inspection import counted, logit_name


def tables(cache: CacheFacts) -> Iterator[str]:
    """Yield what `miniend inspect` says, as HTML."""
    teacher = cache.teacher
    state = "complete" if cache.complete else f"unfinished, {counted(cache.planned_examples, 'example')} planned"
    yield heading(f"cache {cache.digest[:16]}, {state}")
    yield facts(
        [
            ("examples", f"{cache.examples:,} for training, {cache.validation_examples:,} for validation"),
            ("tokens", ", ".join(f"{count:,} {axis}" for axis, count in cache.tokens.items())),
            ("size", size_text(cache.bytes.total)),
            ("teacher", f"{teacher.name}: {teacher.quality}"),
        ]
    ).html()
    yield Table(("signal", "size", "bytes per token", "fidelity"), [*_signals(cache)]).html()


def _signals(cache: CacheFacts) -> Iterator[tuple[str, str, str, str]]:
    per_token, fidelity = cache.bytes_per_token, cache.fidelity
    for name, places in per_token.relations.items():
        worst = fidelity.relation_kl_worst.get(name)
        kl = f"KL {worst.kl:.1e} at worst ({worst.kind}, {counted(worst.heads, 'relation head')})" if worst else ""
        yield name, size_text(cache.bytes.relations[name]), f"{sum(places.values()):.1f}", kl
    for name, places in per_token.hidden.items():
        error, continued = fidelity.hidden_error.get(name), fidelity.continued_kl.get(name)
        shown = (
            "" if error is None else f"squared error {error:.1e}, over rms {fidelity.normalized_hidden_error[name]:.1e}"
        )
        shown += "" if continued is None else f"; the teacher goes on with KL {continued:.1e}"
        yield name, size_text(cache.bytes.hidden[name]), f"{sum(places.values()):.1f}", shown
    if cache.logits and fidelity.logits:
        angle = fidelity.logits.gradient_angle
        beside = "" if angle is None else f", gradient angle {angle:.1f}°"
        name = f"logits ({logit_name(cache.logits)})"
        yield (
            name,
            size_text(cache.bytes.logits),
            f"{per_token.logits or 0:.1f}",
            f"KL {fidelity.logits.kl:.1e}{beside}",
        )
