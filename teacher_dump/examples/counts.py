"""Say what became of the documents of a dump: what was left out or cut, and characters that the vocabulary lacks."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ...storage.documents.marker import PackingCounts

UNKNOWN_SHARE = 0.01
"""The share of unknown ids above which we warn: the text is in a script that the teacher cannot read."""


def total_counts(parts: Sequence[PackingCounts]) -> PackingCounts | None:
    """Return the sums over folders of segments; None without any."""
    if not parts:
        return None
    sums = {name: sum(asdict(part)[name] or 0 for part in parts) for name in asdict(parts[0])}
    return PackingCounts(**sums | {name: sums[name] or None for name in ("duplicates", "unproven")})


def count_lines(counts: PackingCounts | None, pairs: bool) -> Iterator[str]:
    """Yield a line for each kind of loss in the documents; none for a corpus without any, a warning for many unknown ids."""
    if counts is None:
        return
    share = counts.unknown / max(1, counts.tokens)
    if share > UNKNOWN_SHARE:
        yield (
            f"warning: {share:.1%} of the corpus's tokens are <unk>: the teacher's vocabulary lacks these characters. Students "
            "learn nothing from them; use a teacher for this language, or another corpus"
        )
    elif counts.unknown:
        yield f"{counts.unknown:,} of {counts.tokens:,} tokens of the corpus are <unk>"
    left_out = (
        "pairs were left out, because input or target is" if pairs else "documents were left out, because they are"
    )
    if counts.blank:
        yield f"{counts.blank:,} {left_out} blank"
    if counts.duplicates:
        yield f"{counts.duplicates:,} {'pairs' if pairs else 'documents'} were left out, because the same came before"
    if counts.cut_inputs or counts.cut_targets:
        targets = f", {counts.cut_targets:,} targets at --target-length" if pairs else ""
        yield f"{counts.cut_inputs:,} {'inputs' if pairs else 'texts'} were cut at --input-length{targets}"
    if counts.broken:
        yield f"{counts.broken:,} {'pairs' if pairs else 'documents'} hold control characters or characters that were not decoded"
    if counts.unproven:
        yield (
            f"{counts.unproven:,} cuts inside long documents without white space are not proven: a few ids beside each may "
            "differ from the ids of the whole document"
        )
