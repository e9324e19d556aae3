"""Count floating-point operations as torch dispatches them, including the operations of the losses' own backward functions.

A multiplication and an addition are two operations. torch counts matrix products, convolutions and fused attention. It does not
count its attention kernel for the CPU and products added in place (as of torch 2.13), so we do. Elementwise operations are not
counted.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def count_flops(work: Callable[[], object]) -> int:
    """Return the floating-point operations of `work()`, including those that a backward computes again."""
    missing = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        torch.ops.aten.addmm_: _added_product,
    }
    with FlopCounterMode(display=False, custom_mapping=missing) as counter:
        work()
    return int(counter.get_total_flops())


def _added_product(_total: torch.Size, left: torch.Size, right: torch.Size, *_rest: Any, **_named: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_rest: Any, **_named: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(
    gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_rest: Any, **_named: Any
) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]
