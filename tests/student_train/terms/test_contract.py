"""What a term of a user's own gets wrong is one line that names the term, before anything is trained."""

from typing import ClassVar

import pytest
import torch

from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.signals.logits.targets import label_target
from miniend.signals.sites import Site
from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import OBJECTIVES, spec
from miniend.student_train.terms import TERMS, SitePair, Term
from support.setups import set_up_alone, terms_of

LAST = Site("decoder.self", 1)


class Mine(Term):
    """A term that a test sets up: a class attribute `given` has what it answers."""

    given: ClassVar = {}

    def __init__(self):
        super().__init__()
        self.parts = self.given.get("parts", ("",))
        self.pairs = self.given.get("pairs", (SitePair(LAST, LAST),))
        self.distributions = self.given.get("distributions")

    @classmethod
    def build(cls, context, options):
        return cls.given.get("build", cls)()

    def counts(self, batch):
        return dict.fromkeys(self.parts, 1)

    def sums(self, taps, teacher, batch):
        return self.given.get("sums", lambda taps: {"": taps[str(LAST)]["query"].sum()})(taps)

    def target(self, teacher, batch):
        return self.given.get("target")

    def formula(self):
        return self.given.get("formula", "sum of the queries")


@pytest.fixture
def mine(monkeypatch):
    """Makes the objective `mine`, whose only term answers what is given."""

    def answering(**given):
        monkeypatch.setattr(Mine, "given", given)
        monkeypatch.setattr(TERMS, "_entries", {**TERMS._entries, "mine": Mine})
        monkeypatch.setattr(OBJECTIVES, "_entries", {**OBJECTIVES._entries, "mine": (spec("mine"),)})
        return "mine"

    return answering


def test_a_term_that_keeps_the_contract_is_built(ragged, mine):
    """A check that refuses everything passes all other tests of this file."""
    assert isinstance(terms_of(ragged, mine())["mine"], Mine)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"build": lambda: None}, "`build` should return a miniend.Term, found None"),
        ({"build": torch.nn.Identity}, r"`build` should return a miniend.Term, found Identity\(\)"),
        ({"parts": ()}, r"`parts` should be a tuple of different names, such as \(\"\",\), found \(\)"),
        ({"parts": "ab"}, "`parts` should be a tuple of different names"),
        ({"parts": ("a", "a")}, "`parts` should be a tuple of different names"),
        ({"pairs": None}, "`pairs` should be a tuple of miniend.SitePair, found None"),
        ({"pairs": (LAST,)}, "`pairs` should be a tuple of miniend.SitePair"),
        ({"pairs": (SitePair("decoder.self@1", LAST),)}, "`pairs` should be a tuple of miniend.SitePair"),
        ({"pairs": (SitePair(LAST, Site("decoder.self", 2)),)}, "the student's decoder has the layers 0 to 1, found"),
        ({"pairs": (SitePair(LAST, Site("decoder.self", -1)),)}, "the student's decoder has the layers 0 to 1, found"),
        ({"pairs": (SitePair(LAST, Site("encoder.cross", 0)),)}, "should be one that t5 has, found 'encoder.cross@0'"),
        ({"pairs": (SitePair(LAST, Site("middle.self", 0)),)}, "should be one that t5 has"),
        ({"pairs": (SitePair(LAST, Site("decoder.nothing", 0)),)}, "should be one that t5 has"),
        ({"formula": None}, "`formula` should return a text, found None"),
        ({"pairs": {}}, "`pairs` should be a tuple of miniend.SitePair"),
    ],
)
def test_a_term_that_breaks_the_contract_is_refused_where_it_is_built(ragged, mine, given, named):
    """Else a traceback of another file, or the loss of another layer."""
    with pytest.raises(ConfigurationError, match=f"loss term mine: .*{named}.*; correct the term"):
        terms_of(ragged, mine(**given))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (
            {"pairs": (SitePair(Site("decoder.hidden", 1), LAST),)},
            "needs decoder.hidden@1, but .* holds .*self.*dump it",
        ),
        ({"pairs": (SitePair(Site("decoder.self", 9), LAST),)}, "needs decoder.self@9"),
        (
            {"distributions": 2.0},
            "needs logits at temperature 2.0, but .* holds them at 1; dump with --logits from-hidden",
        ),
        ({"distributions": "warm"}, "needs logits at temperature warm"),
    ],
)
def test_signals_that_the_cache_lacks_are_named_with_what_dumps_them(ragged, mine, given, named):
    """It would be a KeyError in the middle of the first batch."""
    with pytest.raises(CacheMismatchError, match=f"loss term mine {named}"):
        terms_of(ragged, mine(**given))


def test_logits_that_the_cache_lacks_are_named(poor_caches, mine):
    with pytest.raises(CacheMismatchError, match=r"loss term mine needs logits, which .* was dumped without"):
        terms_of(poor_caches["no-logits"], mine(distributions=1.0, pairs=()))


def config_of(cache, objective):
    return TrainConfig(
        cache=cache.path, output=cache.path.local / "unused", objective=objective, size="2L32H", device="cpu"
    )


@pytest.mark.parametrize("detached", [lambda taps: taps[str(LAST)]["query"].detach().sum(), lambda _: torch.ones(())])
def test_a_term_that_trains_nothing_is_refused(ragged, mine, detached):
    """Its loss would be logged for days while it moves no weight."""
    config = config_of(ragged, mine(sums=lambda taps: {"": detached(taps)}))
    with pytest.raises(ConfigurationError, match="loss term mine: its sum does not have a gradient"):
        set_up_alone(config, ragged)


def test_a_count_of_nothing_is_refused(ragged, mine, monkeypatch):
    """Its mean would be a division by zero, in the middle of a step."""
    monkeypatch.setattr(Mine, "counts", lambda _self, _batch: {"": 0})
    with pytest.raises(ConfigurationError, match="loss term mine: expected that `counts` counts something"):
        set_up_alone(config_of(ragged, mine()), ragged)


def test_an_option_that_a_term_needs_and_its_objective_lacks_is_named(ragged, monkeypatch):
    """The built-in terms are used by objectives of plugins too."""
    monkeypatch.setattr(OBJECTIVES, "_entries", {"mine": (spec("relations", "own"),)})
    with pytest.raises(
        ConfigurationError, match=r"loss term own: expected the option site, found none; write spec\('rel"
    ):
        terms_of(ragged, "mine")


def test_a_target_belongs_to_a_term_that_trains_the_head_and_to_no_other(ragged, mine, monkeypatch):
    """A target that nobody expects would be a loss that nobody weighs; one that is missing, a KeyError."""
    config = config_of(ragged, mine(target=label_target(torch.ones(3, dtype=torch.int64))))
    with pytest.raises(ConfigurationError, match="loss term mine: `target` should return None, or set `trains_head`"):
        set_up_alone(config, ragged)
    monkeypatch.setattr(Mine, "given", {"sums": lambda _taps: {}})
    monkeypatch.setattr(Mine, "trains_head", True)
    with pytest.raises(ConfigurationError, match="`target` should return a LogitTarget"):
        set_up_alone(config, ragged)
