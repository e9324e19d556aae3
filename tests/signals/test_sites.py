"""Sites: how they are written, and which one a short name means."""

import pytest

from miniend.errors import ConfigurationError
from miniend.signals.sites import Site, find_site, site_from


def test_a_short_name_finds_the_one_site_that_it_can_mean():
    """Of two stored layers, either could be taken without notice."""
    stored = ["encoder.self@5", "decoder.self@0", "decoder.self@2"]
    assert find_site("encoder.self", stored) == "encoder.self@5"
    assert find_site("decoder.self@0", stored) == "decoder.self@0"
    with pytest.raises(ConfigurationError, match=r"write one of decoder\.self@0, decoder\.self@2"):
        find_site("decoder.self", stored)
    for missing in ("decoder.cross", "encoder.self@4"):
        with pytest.raises(KeyError, match="no site"):
            find_site(missing, stored)


def test_a_site_is_read_back_from_how_it_is_written():
    """Documents have the full name alone; the two halves of the name decide where the site is and what it stores."""
    for site, stack, kind in (
        (Site("encoder.self", 11), "encoder", "self"),
        (Site("decoder.cross", 0), "decoder", "cross"),
    ):
        assert site_from(str(site)) == site
        assert (site.stack, site.kind) == (stack, kind)
    assert str(Site("encoder.self", 11)) == "encoder.self@11"
