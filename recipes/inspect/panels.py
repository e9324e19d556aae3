"""The panels of a cache's picture, each from the facts of `inspect_cache` (`plot.py` arranges them)."""

import math
from dataclasses import dataclass
from typing import Any

from ...runtime.picture import AMBER, BLUE, GREEN, ORANGE, PURPLE, RAW, SKY
from .facts import CacheFacts
from .inspection import logit_name

OTHER = "#777777"
"""The colour of kinds of signals that plugins add."""
COLOURS = {
    "encoder.self": BLUE,
    "decoder.self": ORANGE,
    "decoder.cross": GREEN,
    "encoder.hidden": PURPLE,
    "decoder.hidden": AMBER,
    "encoder.final": "#003B5C",
    "logits": SKY,
}
PLACES = {"query_key_value": "Q K V", "query": "Q", "key_value": "K V", "hidden": "states"}
KINDS = {"query": "QQ", "key": "KK", "value": "VV", "query_key": "QK"}
STYLES = {"query_key_value": "-", "query": "--", "key_value": "-", "hidden": ":"}
LEGEND_ENTRIES = 12
"""The largest number of codes with a legend entry each; more codes share one entry per kind of site."""
LEAST_KL = 1e-9
"""The smallest KL on a logarithmic axis; smaller ones are drawn there."""
SMALL: dict[str, Any] = {"fontsize": 8}


@dataclass(frozen=True, slots=True)
class SizeRow:
    """The bytes per token of one code, or of the logits."""

    label: str
    colour: str
    raw: float
    cached: float


@dataclass(frozen=True, slots=True)
class FidelityRow:
    """The mean KL of one relation of a site, in nats."""

    label: str
    colour: str
    mean: float
    """The KL at the site's own number of relation heads."""
    worst: float
    """The KL at the number of heads where it is greatest."""
    heads: int
    """That number."""
    highest: float
    """The 99th percentile of rows, at the site's own number of heads."""


def short_site(site: str) -> str:
    """Return the short name of a site: `enc.self@11` for `encoder.self@11`."""
    return site.replace("encoder", "enc").replace("decoder", "dec")


def colour_of(site: str) -> str:
    """Return the colour of a site: one colour per kind of site, in all panels."""
    return COLOURS.get(site.partition("@")[0], OTHER)


def size_rows(facts: CacheFacts) -> list[SizeRow]:
    """Return the rows of the panel of sizes: every code of every site, then the logits."""
    rows = []
    per_token, raw = facts.bytes_per_token, facts.raw_bytes_per_token
    for site, codes in facts.sites.items():
        for place, cached in per_token.of_site(site).items():
            label = f"{short_site(site)}  {PLACES.get(place, place)}\nper {codes.axis[place]} token"
            rows.append(SizeRow(label, colour_of(site), raw.of_site(site)[place], cached))
    if facts.logits and per_token.logits is not None and raw.logits is not None:
        label = f"logits  {logit_name(facts.logits)}\nper target token"
        rows.append(SizeRow(label, COLOURS["logits"], raw.logits, per_token.logits))
    return rows


def draw_sizes(axes: Any, facts: CacheFacts) -> None:
    """Draw for each code a line from the cached bytes to the raw bytes, with their ratio."""
    rows = size_rows(facts)
    for height, row in enumerate(rows):
        axes.plot([row.cached, row.raw], [height, height], color=row.colour, linewidth=2.5, alpha=0.35, zorder=1)
        middle = (math.sqrt(row.cached * row.raw), height)
        ratio = row.raw / row.cached
        axes.annotate(f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.1f}×", middle, (0, 8), **BESIDE, ha="center")
        axes.annotate(f"{row.cached:,.1f}", (row.cached, height), (-8, 0), **BESIDE, ha="right")
        axes.annotate(f"{row.raw:,.0f}", (row.raw, height), (8, 0), **BESIDE, ha="left")
    heights = range(len(rows))
    axes.scatter([row.cached for row in rows], heights, color=[row.colour for row in rows], s=55, label="cached")
    axes.scatter([row.raw for row in rows], heights, color=RAW, s=55, label="raw, bfloat16")
    axes.set_xscale("log")
    axes.set_xlim(min(row.cached for row in rows) / 3, max(row.raw for row in rows) * 4)
    axes.xaxis.set_minor_formatter("")
    _name_rows(axes, [row.label for row in rows])
    axes.set_xlabel("bytes per token")
    axes.set_title("Size of the signals", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, **SMALL)
    for handle, colour in zip(axes.get_legend().legend_handles, ("0.2", RAW), strict=True):
        handle.set_color(colour)


BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}


def draw_spectrum(axes: Any, facts: CacheFacts, bits: dict[str, dict[str, list[float]]]) -> None:
    """Draw for each code the bits per coefficient. They fall to 0 where the components are weaker than the step."""
    codes = [(site, place, components) for site, places in bits.items() for place, components in places.items()]
    named: set[str] = set()
    # a basis fitted to very few tokens may keep more components than the signal can have
    widest = max(max(_width(facts, site, place), len(components)) for site, place, components in codes)
    for site, place, components in codes:
        short = site.partition("@")[0]
        width = _width(facts, site, place)
        label = (
            f"{short_site(site)} {PLACES.get(place, place)}: {len(components)} of {width}, {sum(components):.0f} bits"
        )
        if len(codes) > LEGEND_ENTRIES:
            label = "" if short + place in named else f"{short_site(short)} {PLACES.get(place, place)}"
        named.add(short + place)
        fallen = [*components, *[0.0] * (widest - len(components))]
        line = {"color": colour_of(site), "alpha": _depth(site, list(bits))}
        axes.plot(range(1, widest + 1), fallen, STYLES.get(place, "-"), linewidth=1.6, label=label, **line)
        axes.plot([len(components)], [0.0], "o", **line, markersize=5, clip_on=False, zorder=3)
    axes.set_xlim(0, widest)
    axes.set_ylim(0, None)
    axes.set_xlabel("component, strongest first (dots: the last one that is kept)")
    axes.set_ylabel("bits per coefficient")
    axes.set_title("Spectrum of the codes", loc="left")
    axes.legend(frameon=False, title="components kept, bits per token", title_fontsize=8, alignment="left", **SMALL)
    _plain(axes, "y")


def _depth(site: str, sites: list[str]) -> float:
    """Return the opacity of a site: the last of several layers is the most opaque."""
    alike = [other for other in sites if other.partition("@")[0] == site.partition("@")[0]]
    return 0.35 + 0.65 * (alike.index(site) + 1) / len(alike)


def _width(facts: CacheFacts, site: str, place: str) -> int:
    """Return the most components that a code can have: its blocks are images of one layer input, which is d_model wide."""
    relation, width = facts.relations.get(site), facts.teacher.facts.d_model
    return min(width, relation.inner * len(PLACES.get(place, place).split())) if relation else width


def fidelity_rows(facts: CacheFacts) -> list[FidelityRow]:
    """Return the rows of the panel of fidelity: every relation of every site. One that carries no information is grey."""
    measured, rows = facts.fidelity, []
    for site, kinds in measured.relation_kl_by_heads.items():
        relation = facts.relations[site]
        for kind, kls in kinds.items():
            empty = kind in relation.carries_no_information
            state = "uniform" if relation.relative_entropy[kind] > 0.5 else "one-hot"
            heads = max(kls, key=kls.__getitem__)
            rows.append(
                FidelityRow(
                    label=f"{short_site(site)}  {KINDS.get(kind, kind)}" + (f" ({state})" if empty else ""),
                    colour=RAW if empty else colour_of(site),
                    mean=measured.relation_kl[site][kind],
                    worst=kls[heads],
                    heads=heads,
                    highest=measured.relation_kl_p99[site][kind],
                )
            )
    return rows


def draw_fidelity(axes: Any, facts: CacheFacts) -> None:
    """Draw the mean KL of each relation, and its greatest one over numbers of heads, beside the target of the dump."""
    rows, target = fidelity_rows(facts), facts.fidelity.relation_kl_target
    heights, colours = range(len(rows)), [row.colour for row in rows]
    for marker, size, label, values in (
        ("o", 30, "default heads", [row.mean for row in rows]),
        ("D", 46, "worst heads", [row.worst for row in rows]),
    ):
        drawn = [max(value, LEAST_KL) for value in values]
        axes.scatter(drawn, heights, color=colours, s=size, marker=marker, label=label, zorder=3)
    if target is not None:
        _draw_limits(axes, [(height, target) for height in heights])
    axes.set_xscale("log")
    _name_rows(axes, [row.label for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color("0.5" if row.colour == RAW else "black")
    limits = [] if target is None else [target]
    axes.set_xlim(*_decades([max(value, LEAST_KL) for row in rows for value in (row.mean, row.worst)] + limits))
    axes.xaxis.set_minor_formatter("")
    for height, row in enumerate(rows):
        place = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "color": "0.45"}
        axes.annotate(f"{row.heads} heads, {row.highest:.1e}", (1.0, height), (0, 0), **BESIDE, **place)
    allowed = "" if target is None else f", limit {target:g}"
    notes = "right: worst number of relation heads, 99th percentile of rows; grey: no information"
    axes.set_xlabel(f"mean relation KL from teacher to cache (nats){allowed}\n{notes}", fontsize=9)
    axes.set_title("Fidelity of the relations", loc="left")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, columnspacing=1, handlelength=1.4, **SMALL
    )
    for handle in axes.get_legend().legend_handles[:2]:
        handle.set_color("0.2")


def _draw_limits(axes: Any, limits: list[tuple[int, float]]) -> None:
    """Draw from the left to each row's limit a light bar that ends in a stroke: what is inside is as asked."""
    heights, values = zip(*limits, strict=True)
    axes.barh(heights, values, height=0.62, color="0.94", zorder=0)
    axes.scatter(values, heights, marker="|", s=130, color="0.25", linewidths=1.4, label="limit", zorder=2)


def _decades(values: list[float]) -> tuple[float, float]:
    return 10.0 ** math.floor(math.log10(min(values))), 10.0 ** (math.floor(math.log10(max(values))) + 1)


def _name_rows(axes: Any, labels: list[str]) -> None:
    """Label the rows, the first one at the top."""
    axes.set_yticks(range(len(labels)), labels, **SMALL)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    _plain(axes, "x")


def _plain(axes: Any, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
