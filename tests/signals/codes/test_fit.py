"""What a token's id says of its row is not stored: means, their shrinkage, and the covariance of what they leave."""

import numpy as np
import torch

from miniend.signals.codes.fit import SHRINKAGE, Moments, fit_code

BLOCKS = ("query",)
EVEN = {"query": torch.eye(8, dtype=torch.float64)[None]}


def rows_of(tokens, seed=0):
    """Rows that are half a fixed vector of their token, half noise."""
    table = torch.randn(50, 8, generator=torch.Generator().manual_seed(7))
    return table[tokens] + torch.randn(len(tokens), 8, generator=torch.Generator().manual_seed(seed))


def moments_of(rows, tokens):
    moments = Moments(rows.shape[1])
    for part in torch.arange(len(rows)).split(33):
        moments.add(rows[part], tokens[part])
    return moments


def tokens_of(count=2000, kinds=40, seed=3):
    return torch.randint(kinds, (count,), generator=torch.Generator().manual_seed(seed))


def bits(code, rows, tokens):
    """Order-0 entropy of the integers, bits per row."""
    total = 0.0
    for column in code.encode(rows, tokens).T.numpy():
        p = np.unique(column, return_counts=True)[1] / len(column)
        total -= float((p * np.log2(p)).sum())
    return total


def test_the_residual_is_the_second_moment_of_rows_less_their_tokens_means():
    """Formed from sums: a wrong cross term would give a basis of something else."""
    tokens = torch.cat([tokens_of(300), torch.tensor([60])])
    rows = rows_of(tokens.clamp_max(49))
    moments = moments_of(rows, tokens)
    ids, means = moments.token_means()
    assert 60 not in ids.tolist()
    assert ids.tolist() == sorted(ids.tolist())
    table = dict(zip(ids.tolist(), means, strict=True))
    left = rows.double() - moments.mean()
    left = torch.stack([row - table.get(t, 0.0) for row, t in zip(left, tokens.tolist(), strict=True)])
    assert torch.allclose(moments.residual(ids, means), left.T @ left / len(left), atol=1e-9)
    token = int(ids[3])
    own = (rows[tokens == token].double() - moments.mean()).mean(0)
    count = int((tokens == token).sum())
    assert torch.allclose(means[3], own * count / (count + SHRINKAGE))


def test_rows_that_follow_their_token_cost_fewer_bits_at_equal_error():
    """On rows that the fit has not seen: a table of noise would cost bits instead."""
    tokens, unseen = tokens_of(), tokens_of(seed=4)
    rows, other = rows_of(tokens), rows_of(unseen, seed=1)
    code, plain = (
        fit_code(moments_of(rows, t), BLOCKS, EVEN).with_step(0.3) for t in (tokens, torch.zeros_like(tokens))
    )
    errors = [float((c.decode(c.encode(other, t), t) - other).square().mean()) for c, t in (
        (code, unseen), (plain, torch.zeros_like(unseen)))]  # fmt: skip
    assert abs(errors[0] / errors[1] - 1) < 0.02
    assert bits(code, other, unseen) < bits(plain, other, torch.zeros_like(unseen)) - 0.35 * 8


def test_tokens_that_were_never_seen_are_coded_like_any_row():
    """A lookup that takes the neighbour's mean, or runs off the table's end, would be right for every known token."""
    tokens = tokens_of(kinds=10) * 3 + 5
    code = fit_code(moments_of(rows_of(tokens), tokens), BLOCKS, EVEN).with_step(1e-3)
    for token in (0, 6, 49):
        strange = torch.full((20,), token)
        rows = rows_of(strange)
        assert torch.equal(code.expected(strange), torch.zeros(20, 8))
        assert float((code.decode(code.encode(rows, strange), strange) - rows).abs().max()) < 0.01
    assert torch.equal(code.expected(torch.tensor([[8, 5], [0, 8]]))[0, 0], code.token_means[1])


def test_no_token_seen_twice_gives_no_table():
    """Four rows of four tokens say nothing of a token; an empty table must still decode."""
    rows = rows_of(torch.arange(4))
    code = fit_code(moments_of(rows, torch.arange(4)), BLOCKS, EVEN).with_step(1e-3)
    assert code.token_means.shape == (0, 8)
    assert torch.allclose(code.decode(code.encode(rows, torch.arange(4)), torch.arange(4)), rows, atol=5e-3)
