"""The logit term: what it asks of a cache is said before anything is trained."""

import pytest

from miniend.errors import CacheMismatchError
from support.setups import terms_of


@pytest.mark.parametrize("name", ["logits", "implicit", "miniend-d", "miniend-e"])
def test_a_cache_without_logits_refuses_what_needs_them(poor_caches, name):
    """Without this the failure is an assertion in the middle of the first step."""
    with pytest.raises(
        CacheMismatchError, match=f"objective {name} needs logits, which .*no-logits was dumped without"
    ):
        terms_of(poor_caches["no-logits"], name)


def test_a_temperature_that_the_cache_lacks_is_refused_with_those_it_has(poor_caches):
    """The log-probabilities at 1 are there, but not the normalizer at another temperature."""
    with pytest.raises(CacheMismatchError, match=r"--temperature 2: .*few has logits at temperature 1; dump with"):
        terms_of(poor_caches["few"], "logits", temperature=2.0)
