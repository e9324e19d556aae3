"""Students in transformers 4 and 5, each in an environment of its own. `make test-compat` makes both and runs this.

In each version we compute, read text, generate, save again, train, quantize and export, with students of every kind.
"""

import subprocess
from pathlib import Path

import pytest
import torch

import miniend
from miniend.models.save import right_in_transformers_4, save_student
from miniend.models.size import student_config
from miniend.models.start.checkpoint import load_student
from miniend.models.start.fresh import build_student
from miniend.models.start.teacher_layers import init_from_teacher
from miniend.models.tokenizer_files import saved_by_version_5
from support import in_transformers
from support.students import FAMILY_NAMES, perturb, teacher_of
from support.teacher_tokenizers import FORMS, TEXTS, kept

pytestmark = pytest.mark.compat
ROOT = Path(miniend.__file__).parent
VERSIONS = ("4", "5")
ROWS = 400
SHAPES = [(family, tied, gated) for family in FAMILY_NAMES for tied in (True, False) for gated in (False, True)]
SHAPES = [(family, tied, gated) for family, tied, gated in SHAPES if gated or family == "t5"]
"""Family, whether the head is tied, and whether the feed-forward is gated: T5 is tied and not gated, v1.1 the reverse."""
STARTS = ("fresh", "unequal depths", "teacher-layers", "checkpoint", "other scale")
KINDS = [(*shape, start) for shape in SHAPES for start in STARTS if shape[0] == "t5" or start != "other scale"]
FRESH = [kind for kind in KINDS if kind[-1] == "fresh"]
TOKENIZERS = [(family, form) for family in FAMILY_NAMES for form in FORMS if family == "t5" or "byte" not in form]


def python(version):
    """The Python that has this version of transformers; without it there is nothing to test."""
    path = ROOT / f".venv-transformers{version}" / "bin" / "python"
    if not path.exists():
        pytest.fail(f"{path.parent.parent} is missing: run `make test-compat`, which makes it", pytrace=False)
    return path


def student(root, family, tied, gated, start):
    """A student as train-student starts it, with every weight moved."""
    teacher = teacher_of(family, ROWS) | {"feed_forward_proj": "gated-gelu" if gated else "relu"}
    if start == "other scale":
        config = student_config("2L64H", teacher) | {"scale_decoder_outputs": not tied}
        return perturb(build_student(config, tied, 0))
    fresh = build_student(student_config("1E2D64H" if start == "unequal depths" else "2L64H", teacher), tied, 0)
    perturb(fresh)
    if start in ("fresh", "unequal depths"):
        return fresh
    source = root / f"teacher-{family}-{tied}-{gated}"
    if not source.exists():
        save_student(fresh, source, {}, "")
    if start == "teacher-layers":
        return perturb(init_from_teacher(student_config("1L64H", teacher), source))
    return perturb(load_student(source, teacher))


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """Students of every kind, with their folders."""
    root, made = tmp_path_factory.mktemp("students"), {}
    for kind in KINDS:
        made[kind] = student(root, *kind), root / "-".join(map(str, kind))
        save_student(*made[kind], {}, "")
    return made


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory, students):
    """Teachers' tokenizers of every form with the folder of a student that has their files."""
    root, made = tmp_path_factory.mktemp("tokenizers"), {}
    subprocess.run(
        [python("4"), in_transformers.__file__, "release", root / "release", *TEXTS], check=True, timeout=100
    )
    for family, form in TOKENIZERS:
        teacher, folder = root / f"teacher-{family}-{form}", root / f"{family}-{form}"
        teacher.mkdir()
        FORMS[form](teacher, root / "release")
        made[family, form] = kept(teacher, family), folder
        save_student(students[family, True, True, "fresh"][0], folder, made[family, form][0].files, "")
    return made


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """found(version, check, folders): what a version finds in every folder, by its path; an error is a text."""
    root = tmp_path_factory.mktemp("found")

    def find(version, check, folders):
        output = root / f"{version}-{check}-{len(folders)}-{Path(folders[0]).name}.pt"
        if not output.exists():
            command = [python(version), in_transformers.__file__, check, output, *folders]
            subprocess.run(command, check=True, timeout=500, capture_output=True)
        return torch.load(output)

    return find


@pytest.fixture(scope="module")
def of_kinds(found, students):
    """of_kinds(version, check, kind): what a version finds with one student; an error fails the test."""

    def find(version, check, kind):
        together = {"computed": KINDS, "exported": [kind]}.get(check, FRESH)  # an export takes half a minute or more
        folders = [str(students[one][1]) for one in together]
        value = found(version, check, folders)[str(students[kind][1])]
        assert not isinstance(value, str), value
        return value

    return find


@pytest.fixture(scope="module")
def of_tokenizers(found, tokenizers):
    """of_tokenizers(version, check, kind): the same with one tokenizer, but an error is returned as a text."""

    def find(version, check, kind):
        return found(version, check, [str(folder) for _, folder in tokenizers.values()])[str(tokenizers[kind][1])]

    return find


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_both_versions_compute_what_the_student_computed_unless_the_card_says_otherwise(of_kinds, students, kind):
    """umT5's logits are sqrt(d_model) too large in version 4, without a word; so are a tied mT5's too small."""
    model = students[kind][0].eval().double()
    with torch.no_grad():
        own = model(**in_transformers.batch(), labels=in_transformers.labels()).logits
        encoded = model.encoder(**in_transformers.batch()).last_hidden_state
    for version in VERSIONS:
        value = of_kinds(version, "computed", kind)
        torch.testing.assert_close(value["reloaded"], value["logits"], rtol=0, atol=1e-12)
        torch.testing.assert_close(value["encoded"], encoded, rtol=0, atol=1e-6)
        if version == "5" or right_in_transformers_4(model):
            torch.testing.assert_close(value["logits"], own, rtol=0, atol=1e-6)
            for search in ("greedy", "beams"):
                assert torch.equal(value[search], of_kinds("5", "computed", kind)[search])
        else:
            assert float((value["logits"] - own).abs().max()) > 0.1, "the card need not warn"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", FRESH, ids=str)
def test_a_student_is_fine_tuned_by_seq2seqtrainer(of_kinds, kind, version):
    """The losses are those of version 5, and what the trainer saves is what it trained."""
    value = of_kinds(version, "trained", kind)
    assert len(value["losses"]) == 3
    assert value["losses"][2] < value["losses"][0]
    torch.testing.assert_close(value["saved"], value["logits"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", FRESH, ids=str)
def test_a_student_is_quantized_to_eight_bits(of_kinds, kind, version):
    """Dynamic quantization for CPUs: logits stay near, and it still generates."""
    value = of_kinds(version, "quantized", kind)
    assert 0 < float((value["after"] - value["before"]).norm() / value["before"].norm()) < 0.15
    assert value["generated"].shape[0] == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "kind", [("t5", True, False, "fresh"), ("t5", False, True, "fresh"), ("umt5", True, True, "fresh")], ids=str
)
def test_a_student_is_exported_to_onnx(of_kinds, kind, version):
    """The graph runs at other lengths than those of the export. mT5 has the code of T5 v1.1."""
    value = of_kinds(version, "exported", kind)
    torch.testing.assert_close(value["onnx"], value["torch"], rtol=0, atol=1e-4)


def test_the_release_is_one_that_version_4_saved(tokenizers):
    """A test with a tokenizer that no release has would prove nothing."""
    files = tokenizers["t5", "release"][0].files
    assert {"spiece.model", "tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"} == set(files)
    assert [form for form in FORMS if saved_by_version_5(tokenizers["t5", form][0].files)] == ["version 5"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", TOKENIZERS, ids=str)
def test_every_form_of_tokenizer_gives_the_teachers_ids(of_tokenizers, tokenizers, kind, version):
    """Special tokens in the text, odd white space, compatibility forms and an empty text included, also saved once more."""
    own = tokenizers[kind][0].tokenizer
    value = of_tokenizers(version, "read", kind)
    if kind[1] == "version 5" and version == "4":
        assert isinstance(value, str), "the card need not name an option"
        value = of_tokenizers(version, "read_without_special", kind)
    assert not isinstance(value, str), value
    assert value["ids"] == value["reloaded"] == own(in_transformers.TEXTS)["input_ids"]
    skipped = of_tokenizers("5", "read", kind)
    assert (value["decoded"], value["padded"]) == (skipped["decoded"], skipped["padded"])
