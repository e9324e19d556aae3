"""`miniend inspect --plot`: every panel shows the values of the facts, for every kind of cache, without a display."""

import builtins
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from miniend import cli
from miniend.cache import open_cache
from miniend.errors import CacheDamagedError, CacheUnfinishedError, ConfigurationError
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.recipes.inspect.panels import fidelity_rows, size_rows
from miniend.recipes.inspect.plot import draw, plot_cache
from miniend.recipes.inspect.raw_sizes import raw_bytes
from miniend.recipes.inspect.spectrum import entropy_bits, spectrum
from miniend.runtime.picture import new_figure, save
from miniend.runtime.progress import size_text
from support.tiny_cache import build_tiny_cache

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
LAYERS = "encoder.self@0,encoder.self,decoder.self,decoder.cross,encoder.hidden@0"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two layers of one site, one of the others, hidden states, and logits."""
    return build_tiny_cache(tmp_path_factory.mktemp("plot"), signals=LAYERS)


@pytest.fixture(scope="module")
def facts(cache):
    return inspect_cache(cache)


@pytest.fixture(scope="module")
def bits(cache):
    return spectrum(open_cache(cache))


@pytest.fixture
def panels(facts, bits):
    return by_title(draw(facts, bits))


def by_title(figure):
    """Axes by the first word of their title."""
    return {re.split(r"\W", axes.get_title(loc="left"))[0]: axes for axes in figure.axes}


def points(axes):
    """[n, 2] of each scatter of a panel, in the order drawn."""
    return [np.asarray(dots.get_offsets()) for dots in axes.collections if isinstance(dots, PathCollection)]


def test_a_logarithmic_axis_shows_numbers_and_no_formulas(tmp_path):
    """`save` reads no formulas, so matplotlib's own labels, which are some, would be shown as source."""
    figure = new_figure(4, 3)
    axes = figure.subplots()
    axes.loglog([1e-2, 1e4], [1e-2, 1e4])
    save(figure, tmp_path / "x.svg")
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert {"0.01", "1", "10,000"} <= set(labels)
    assert not any("$" in label for label in labels)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".PNG"])
def test_the_ending_decides_the_format(cache, tmp_path, ending):
    """A PDF under the name of a PNG opens nowhere."""
    path = plot_cache(cache, tmp_path / f"picture{ending}")
    assert path.read_bytes().startswith(STARTS[ending.lower()])


def test_sizes_are_those_of_the_facts(facts, panels):
    """Each code and the logits: what is cached and what it was, in bytes per token."""
    cached, raw = points(panels["Size"])
    per_token = facts.bytes_per_token
    cross = per_token.relations["decoder.cross@1"]
    sites = ("encoder.self@0", "encoder.self@1", "decoder.self@1")
    others = [per_token.relations[site]["query_key_value"] for site in sites]
    hidden = per_token.hidden["encoder.hidden@0"]["hidden"]
    assert cached[:, 0].tolist() == [*others, cross["query"], cross["key_value"], hidden, per_token.logits]
    inner, rows = 32, facts.teacher.facts.vocab_rows
    assert raw[:, 0].tolist() == [6 * inner] * 3 + [2 * inner, 4 * inner, 2 * 32, 2 * rows]
    labels = [label.get_text() for label in panels["Size"].get_yticklabels()]
    assert labels[3:5] == ["dec.cross@1  Q\nper target token", "dec.cross@1  K V\nper input token"]
    assert labels[5] == "enc.hidden@0  states\nper input token"


def test_raw_bytes_count_every_token_of_the_right_axis(facts):
    """Input tokens for the encoder and the keys of cross-attention, target tokens for the rest."""
    source, target = (facts.tokens[axis] for axis in ("input", "target"))
    rows = facts.teacher.facts.vocab_rows
    own = {"encoder.self@0": 192 * source, "encoder.self@1": 192 * source, "decoder.self@1": 192 * target}
    cross = {"decoder.cross@1": 64 * target + 128 * source}
    assert raw_bytes(facts) == {**own, **cross, "encoder.hidden@0": 64 * source, "logits": 2 * rows * target}


def test_a_spectrum_is_the_entropy_of_what_is_stored_and_then_nothing(cache, bits, panels):
    """One line per code over all components that there could be, and a dot at the last that is kept."""
    opened = open_cache(cache)
    columns = [shard.folder.column("relations.decoder.self@1.query_key_value") for shard in opened.training.shards]
    stored = np.concatenate(columns, axis=1)
    found = bits["decoder.self@1"]["query_key_value"]
    assert len(found) == opened.codecs["decoder.self@1"].codes["query_key_value"].rank
    shares = np.bincount(stored[0] - stored[0].min()) / stored.shape[1]
    assert found[0] == pytest.approx(-sum(p * math.log2(p) for p in shares if p))
    lines = panels["Spectrum"].lines
    assert len(lines) == 2 * 6
    assert (
        lines[10].get_ydata()[: len(bits["encoder.hidden@0"]["hidden"])].tolist() == bits["encoder.hidden@0"]["hidden"]
    )
    assert lines[4].get_ydata().tolist() == [*found, *[0.0] * (32 - len(found))]
    assert list(lines[5].get_xdata()) == [len(found)]
    assert f"dec.self@1 Q K V: {len(found)} of 32" in lines[4].get_label()


@pytest.mark.parametrize(
    ("values", "expected"), [([7, 7, 7], 0.0), ([0, 1], 1.0), ([-5, 0, 3, 90_000], 2.0), ([], 0.0)]
)
def test_entropy_is_in_bits(values, expected):
    """By hand."""
    assert entropy_bits(np.array(values, np.int32)) == pytest.approx(expected)


def test_fidelity_is_that_of_the_facts_beside_the_target(facts, panels):
    """Each relation at the default number of heads and at its worst one, whose KL is what the target is for."""
    relations, worst, limits = points(panels["Fidelity"])
    measured = facts.fidelity
    names = [(site, kind) for site in facts.relations for kind in measured.relation_kl[site]]
    assert len(names) == 3 * 3 + 4
    assert names[-4:] == [("decoder.cross@1", kind) for kind in ("query", "key", "value", "query_key")]
    assert relations[:, 0].tolist() == [measured.relation_kl[site][kind] for site, kind in names]
    greatest = [max(measured.relation_kl_by_heads[site][kind].values()) for site, kind in names]
    assert worst[:, 0].tolist() == greatest
    assert limits[:, 0].tolist() == [3e-3] * len(names)
    assert relations[:, 1].tolist() == worst[:, 1].tolist() == limits[:, 1].tolist()
    beside = [text.get_text() for text in panels["Fidelity"].texts]
    assert [text.partition(", ")[2] for text in beside] == [
        f"{measured.relation_kl_p99[site][kind]:.1e}" for site, kind in names
    ]
    heads = [int(text.partition(" heads")[0]) for text in beside]
    shown = [
        measured.relation_kl_by_heads[site][kind][number] for (site, kind), number in zip(names, heads, strict=True)
    ]
    assert shown == greatest


def test_a_relation_without_information_is_grey_and_named(facts):
    """Its KL is tiny because there is nothing to keep: it must not look like a success."""
    relation = facts.relations["encoder.self@0"]
    entropies = relation.relative_entropy | {"query": 0.999, "value": 0.01}
    empty = replace(relation, carries_no_information=("query", "value"), relative_entropy=entropies)
    rows = fidelity_rows(replace(facts, relations=facts.relations | {"encoder.self@0": empty}))
    labels = ["enc.self@0  QQ (uniform)", "enc.self@0  KK", "enc.self@0  VV (one-hot)"]
    assert [row.label for row in rows[:3]] == labels
    assert rows[0].colour == rows[2].colour != rows[1].colour


def test_logits_show_kept_mass_entries_and_the_angle_of_the_gradient(facts, panels):
    """The bar is the mass, the arrow has the cached gradient's angle and length."""
    found = facts.fidelity.logits
    widths = [bar.get_width() for bar in panels["Logits"].patches]
    assert widths == pytest.approx([found.kept_mass, 1 - found.kept_mass])
    tips = {text.get_text(): text.xy for text in panels["Gradient"].texts if hasattr(text, "xy")}
    assert tips["full"] == (1, 0)
    assert math.hypot(*tips["cached"]) == pytest.approx(found.gradient_norm_ratio)
    assert math.degrees(math.atan2(*tips["cached"][::-1])) == pytest.approx(found.gradient_angle)
    said = panels["Gradient"].texts[-1].get_text()
    assert f"{found.entries:.1f} of {facts.teacher.facts.vocab_rows} entries" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"signals": "none"}, {"Size", "Logits", "Gradient"}),
        ({"signals": "decoder.cross", "logits": "none"}, {"Size", "Spectrum", "Fidelity"}),
        ({"signals": "encoder.hidden", "logits": "none"}, {"Size", "Spectrum"}),
        ({"signals": "decoder.hidden"}, {"Size", "Spectrum", "Logits", "Gradient"}),
        ({"logits": "sampled"}, {"Size", "Spectrum", "Fidelity", "Logits", "Gradient"}),
    ],
    ids=["no relations", "no logits", "hidden states alone", "hidden states and logits", "sampled"],
)
def test_what_a_cache_lacks_has_no_panel(tmp_path, options, expected):
    """And the picture of the rest is drawn all the same."""
    path = build_tiny_cache(tmp_path, **options)
    assert set(by_title(draw(inspect_cache(path), spectrum(open_cache(path))))) == expected
    assert plot_cache(path, tmp_path / "picture.png").stat().st_size > 10_000


def test_a_given_step_has_no_target(tmp_path):
    """A limit that nobody aimed at would judge the cache by it."""
    path = build_tiny_cache(tmp_path, signals="encoder.self", logits="none", relation_step=0.5)
    facts = inspect_cache(path)
    assert facts.fidelity.relation_kl_target is None
    panel = by_title(draw(facts, spectrum(open_cache(path))))["Fidelity"]
    assert len(points(panel)) == 2
    assert not panel.patches


def test_many_layers_share_the_entries_of_the_legend(facts, bits):
    """48 lines of legend would cover the spectra."""
    layers = [f"encoder.self@{layer}" for layer in range(20)]
    many = dict.fromkeys(layers, bits["encoder.self@0"])

    def with_layers(of):
        """A record that has relations by site, with all the layers."""
        return replace(of, relations=of.relations | dict.fromkeys(layers, of.relations["encoder.self@0"]))

    per_token = {name: with_layers(getattr(facts, name)) for name in PER_TOKEN}
    changed = replace(with_layers(facts), **per_token)
    panels = by_title(draw(changed, many))
    assert len(panels["Spectrum"].lines) == 40
    assert [text.get_text() for text in panels["Spectrum"].get_legend().get_texts()] == ["enc.self Q K V"]
    assert len(size_rows(changed)) == 20 + 5


def test_a_code_with_more_components_than_the_model_is_wide_is_drawn_whole(facts, bits):
    """A basis fitted to very few tokens may keep some: a code once kept 96 at width 32, and the plot failed."""
    site = bits["encoder.self@0"]
    many = {**bits, "encoder.self@0": {place: [1.0] * 96 for place in site}}
    [line, *_] = by_title(draw(facts, many))["Spectrum"].lines
    assert line.get_ydata().tolist() == [1.0] * 96


PER_TOKEN = ("bytes_per_token", "raw_bytes_per_token")


def test_the_title_names_teacher_examples_and_size(facts, bits):
    """A name may hold what matplotlib takes for mathematics, or letters that its font lacks."""
    teacher = replace(facts.teacher, name="a$b_1$" + "教" * 60)
    figure = draw(replace(facts, teacher=teacher, complete=False), bits)
    title = figure.get_suptitle()
    assert title.startswith("a$b_1$教")
    assert "24 training and 8 validation examples (unfinished, 24 planned)" in title
    assert f"{size_text(facts.bytes.total)} on disk" in title
    assert "教" * 43 not in title


@pytest.mark.parametrize(
    ("count", "shown"),
    [(950, "0.95 kB"), (3_111_022, "3.11 MB"), (2.5e9, "2.5 GB"), (1.5e12, "1.5 TB"), (4e15, "4,000 TB")],
)
def test_bytes_for_people(count, shown):
    """Three digits are enough."""
    assert size_text(count) == shown


def test_an_unfinished_cache_is_drawn_from_what_it_has_and_refused_where_it_has_nothing(cache, tmp_path):
    """A dump in progress is when one wants to look."""
    path = shutil.copytree(cache, tmp_path / "cache")
    shutil.rmtree(path / "shards" / "train-000001")
    assert plot_cache(path, tmp_path / "picture.svg").exists()
    for split in ("train-000000", "train-000002"):
        shutil.rmtree(path / "shards" / split)
    assert plot_cache(path, tmp_path / "validation.svg").exists()
    shutil.rmtree(path / "shards")
    with pytest.raises(CacheUnfinishedError, match="a finished shard to draw yet"):
        plot_cache(path, tmp_path / "nothing.svg")
    assert not (tmp_path / "nothing.svg").exists()


def test_damaged_coefficients_are_not_drawn(cache, tmp_path):
    """The spectrum is read through the checks of every other reader."""
    path = shutil.copytree(cache, tmp_path / "cache")
    data = path / "shards" / "train-000000" / "relations.encoder.self@1.query_key_value" / "c" / "0" / "0"
    data.write_bytes(data.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(CacheDamagedError):
        plot_cache(path, tmp_path / "picture.png")


@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.png.gz", ".png"])
def test_other_endings_are_refused_before_anything_is_read(tmp_path, name):
    """The message names those that work."""
    with pytest.raises(ConfigurationError, match=r"expected a file that ends in \.png, \.svg, \.pdf"):
        plot_cache(tmp_path / "no cache", tmp_path / name)


def test_the_command_draws_beside_what_it_prints(cache, tmp_path, monkeypatch, capfd):
    """The text on standard output stays as it is, JSON included; nothing on standard error."""

    def shown(*options):
        monkeypatch.setattr(sys, "argv", ["miniend", "inspect", str(cache), *map(str, options)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return (stopped.value.code or 0, *capfd.readouterr())

    for options in ([], ["--json"]):
        assert shown(*options, "--plot", tmp_path / "picture.png") == shown(*options)
    assert (tmp_path / "picture.png").exists()
    assert shown("--plot", tmp_path / "picture.jpg")[0] == 2
    status, out, err = shown("--plot", tmp_path / "nowhere" / "picture.png")
    assert (status, out, len(err.splitlines())) == (2, "", 1)


def test_without_matplotlib_a_line_names_the_extra(monkeypatch, tmp_path):
    """The extra is optional, so its absence is ordinary."""
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError("No module named 'matplotlib'")
        return real(name, *arguments, **options)

    for module in ("runtime.picture", *(f"recipes.inspect.{name}" for name in ("panels", "logit_panels", "plot"))):
        monkeypatch.delitem(sys.modules, f"miniend.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigurationError, match=r"pip install 'miniend\[plot\]'"):
        import miniend.recipes.inspect.plot  # noqa: F401


def test_no_display_is_asked_for():
    """A window system would be looked for on every server."""
    script = "import sys, miniend.recipes.inspect.plot; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
