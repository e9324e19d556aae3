"""Fresh students: they start near guessing, depend on their seed alone, and drop nothing."""

import math

import pytest
import torch

from miniend.models.families import family_of
from support.students import FAMILY_NAMES, fresh, tokens

BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ALL = pytest.mark.parametrize("kind", FAMILY_NAMES)


@ALL
@BOTH
@pytest.mark.parametrize(("size", "rows"), [("2L64H", 200), ("2L64H", 32128), ("2L768H", 200), ("2L768H", 4000)])
def test_every_student_starts_within_a_nat_of_guessing(kind, tied, size, rows):
    """A head of the wrong scale starts at 74 nats, trains all the same, and loses the first thousands of steps."""
    model = fresh(kind, tied, size, rows)
    with torch.no_grad():
        loss = model(input_ids=tokens(rows, (2, 32)), labels=tokens(rows, (2, 64), 2)).loss
    assert abs(loss.item() - math.log(rows)) < 1.0
    assert family_of(model).tied(model) == tied


@BOTH
def test_a_student_depends_on_its_seed_alone(tied):
    """Runs are compared seed by seed; drawing from the global state would also shift everything drawn after it."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = fresh("t5", tied, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second, third = fresh("t5", tied, seed=3), fresh("t5", tied, seed=4)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@ALL
def test_a_student_in_train_mode_drops_nothing(kind):
    """Dropout in a student inflates every relation and differs from run to run."""
    model = fresh(kind, True).train()
    inputs, labels = tokens(200, (2, 9)), tokens(200, (2, 9), 2)
    with torch.no_grad():
        first, second = (model(input_ids=inputs, labels=labels).logits for _ in range(2))
    assert torch.equal(first, second)
    assert model.config.dropout_rate == 0.1
