"""What a training says of its losses: in a few words beside its progress, and in a line after each evaluation."""

from collections.abc import Iterator, Mapping, Sequence

from ..terms.hidden import BESIDE
from ..terms.labels import Labels
from .state import TrainingState

ON_LABELS = str(Labels.validation_name)
"""The name of the validation mean on hard labels."""
LONGEST = 40
"""The most characters of the losses beside the progress."""


def current_losses(states: Mapping[str, TrainingState]) -> str:
    """Return the losses of students by name: of one with its latest validation, of many by the parts in which names differ."""
    if len(states) == 1:
        (state,) = states.values()
        latest = _first(state.validation)
        return f"loss {state.loss:.3f}" + ("" if latest is None else f", validation {latest:.3f}")
    losses = [state.loss for state in states.values()]
    names = distinct_parts(list(states))
    by_name = ", ".join(f"{name} {loss:.2f}" for name, loss in zip(names, losses, strict=True))
    return by_name if len(by_name) <= LONGEST else f"losses {min(losses):.2f} to {max(losses):.2f}"


def validation_text(means: Mapping[str, float], best: bool) -> str:
    """Return the means of one evaluation: on hard labels in nats, then the loss with its terms."""
    labels = means.get(ON_LABELS)
    terms = {name: value for name, value in of_terms(means).items() if name not in ("loss", ON_LABELS)}
    parts = [] if labels is None else [f"{labels:.3f} nats (labels)"]
    if terms or labels is None:
        within = ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
        parts.append(f"loss {means['loss']:.3f}" + (f" ({within})" if within else ""))
    return f"validation {', '.join(parts)}{', the best so far' if best else ''}"


def of_terms(means: Mapping[str, float]) -> dict[str, float]:
    """Return the means of whole terms, without their parts and what is measured beside them."""
    return {name: value for name, value in means.items() if "." not in name and not name.endswith(BESIDE)}


def parts_text(means: Mapping[str, float]) -> Iterator[str]:
    """Yield for each term that shows its parts a line with their means, and what was measured beside each in brackets.

    encoder_hidden: 1-2 0.412 (0.730 beyond the top 8), 2-4 0.391 (0.702)
    """
    for term in of_terms(means):
        parts = {name.removeprefix(f"{term}."): value for name, value in means.items() if name.startswith(f"{term}.")}
        found, words = [], f" {BESIDE.replace('_', ' ').strip().replace('beyond', 'beyond the')}"
        for part, value in parts.items():
            other = means.get(f"{term}{BESIDE}.{part}")
            found.append(f"{part} {value:.3f}" + (f" ({other:.3f}{words})" if other is not None else ""))
            words = "" if other is not None else words
        if found:
            yield f"{term}: {', '.join(found)}"


def distinct_parts(names: Sequence[str]) -> list[str]:
    """Return names without the words at both ends that all of them have; words are divided by hyphens."""
    words = [name.split("-") for name in names]
    shortest = min(map(len, words))
    first = next((n for n in range(shortest) if len({one[n] for one in words}) > 1), shortest - 1)
    left = [one[first:] for one in words]
    shortest = min(map(len, left))
    last = next((n for n in range(shortest) if len({one[-1 - n] for one in left}) > 1), shortest - 1)
    return ["-".join(one[: len(one) - last]) for one in left]


def _first(means: Mapping[str, float]) -> float | None:
    """Return the mean that tells most: on hard labels, else the loss; None without an evaluation."""
    return means.get(ON_LABELS, means.get("loss"))
