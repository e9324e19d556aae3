"""`miniend filters`: what it adds to a finished cache, what it says, and what it refuses."""

import re
import shutil

import pytest

import miniend
from miniend import cli
from miniend.errors import CacheDamagedError, CacheMismatchError, CacheUnfinishedError, ConfigurationError
from miniend.recipes.repair.verify import verify_cache
from support.damage import flip
from support.filtering import filtered_copy
from support.fork_server import contents


@pytest.fixture(scope="module")
def made(layers_home, tmp_path_factory):
    return filtered_copy(layers_home, tmp_path_factory.mktemp("filters"))


@pytest.fixture
def own(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "own")


def files_of(root):
    return {name: data for name, data in contents(root).items() if not name.startswith("filters/")}


def test_the_rest_of_the_cache_keeps_its_bytes_and_the_whole_is_sound(made, layers_home):
    assert files_of(made / "cache") == contents(layers_home / "cache")
    assert verify_cache(made / "cache").sound
    assert miniend.open_cache(made / "cache").digest == miniend.open_cache(layers_home / "cache").digest


def test_it_says_each_loss_beside_the_teachers_and_word_frequencies(made, capsys):
    """Asked again it trains nothing, and says the same."""
    assert (
        cli.run(["filters", "--cache", str(made / "cache"), "--teacher", str(made / "teacher"), "--filter-width", "12"])
        == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "holds these filters already" in said
    assert re.search(r"cross-entropy with filtered states \(teacher \d\.\d{3} nats, word frequencies \d\.\d{3}\)", said)
    assert (
        len(re.findall(r"(?:en|de)coder\.hidden@\d: \d\.\d{3} with 12 numbers \(\d\.\d{3} before training\)", said))
        == 8
    )
    assert "next: miniend train-student" in said


def test_other_filters_are_refused_while_a_student_may_need_these(made):
    with pytest.raises(CacheMismatchError, match=r"holds other filters already, .* remove its folder filters"):
        miniend.filters(cache=made / "cache", teacher=made / "teacher", filter_width=8, quiet=True)


def test_sites_and_widths_that_cannot_be_are_refused(made, own, ragged_home):
    shutil.rmtree(own / "cache" / "filters")
    ask = {"cache": own / "cache", "teacher": own / "teacher", "quiet": True}
    with pytest.raises(ConfigurationError, match="filter_width 33: expected at most the teacher's width, 32"):
        miniend.filters(**ask, filter_width=33)
    with pytest.raises(CacheMismatchError, match=r"filter: .* does not hold decoder.self@3"):
        miniend.filters(**ask, filter=["decoder.self@3"])
    with pytest.raises(CacheMismatchError, match=r"holds no hidden states; dump with --signal encoder.hidden@all"):
        miniend.filters(cache=ragged_home / "cache", teacher=ragged_home / "teacher", quiet=True)
    with pytest.raises(CacheMismatchError, match="is not the teacher of"):
        miniend.filters(cache=own / "cache", teacher=ragged_home / "teacher", quiet=True)
    with pytest.raises(ConfigurationError, match="hf://datasets/me/states"):
        miniend.filters(cache="hf://datasets/me/states", teacher=own / "teacher", quiet=True)
    shutil.rmtree(own / "cache" / "shards" / "train-000000")
    with pytest.raises(CacheUnfinishedError, match="run dump-teacher again"):
        miniend.filters(**ask)
    assert not (own / "cache" / "filters").exists()


def test_filters_of_another_cache_or_of_flipped_bytes_are_named(own, layers_home, tmp_path):
    """A foreign folder would teach students what another teacher's layers hold."""
    document = own / "cache" / "filters" / "filters.json"
    column = next(path for path in sorted((own / "cache" / "filters").rglob("c/*")) if path.is_file())
    before = column.read_bytes()
    flip(column, 30, 2)
    report = verify_cache(own / "cache")
    assert list(report.damaged) == ["filters"]
    with pytest.raises(CacheDamagedError, match=r"Filters are trained, .* restore that folder"):
        miniend.verify(own / "cache", repair=True, teacher=own / "teacher", corpus=["x"], quiet=True)
    column.write_bytes(before)
    assert verify_cache(own / "cache").sound
    foreign = document.read_text().replace(miniend.open_cache(own / "cache").plan.digest, "0" * 64)
    document.write_text(foreign)
    assert list(verify_cache(own / "cache").damaged) == ["filters"]


def test_students_learn_without_the_teachers_folder(own):
    shutil.rmtree(own / "teacher")
    student = miniend.train_student(
        cache=own / "cache",
        output=own / "s",
        objective="ted",
        size="2L32H",
        steps=2,
        batch_size=4,
        device="cpu",
        quiet=True,
    )
    assert student.losses["decoder_filtered"] > 0
