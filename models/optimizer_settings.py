"""The two optimizers with their settings, the same in distillation and in fine-tuning, and the schedules; without torch.

AdamW (Loshchilov & Hutter, arXiv 1711.05101) with torch's own betas 0.9, 0.999 and eps 1e-8: relation losses of 1e-3 nats give
gradients far below 1e-6, where a larger eps would silently turn Adam into plain momentum. Adafactor (Shazeer & Stern,
arXiv 1804.04235) is what T5 itself is trained with; its step is scaled by each matrix's RMS, so its learning rate is relative
(T5 uses 1e-2) and embeddings, norms and projections of very different size share one.
"""

from typing import Any

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw": ("AdamW", {"betas": (0.9, 0.999), "eps": 1e-8}),
    "adafactor": ("Adafactor", {"eps": (1e-15, 1e-3)}),  # 1e-30 on squares, as in the paper
}
"""Name -> class of torch.optim, and its options beside parameters, learning rate and weight decay."""
SCHEDULES = ("linear", "cosine", "constant", "inverse-sqrt")
"""The learning rates after warm-up."""
