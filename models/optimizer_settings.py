"""The two optimizers with their settings, the same in distillation and in fine-tuning, and the schedules; without torch.

AdamW (Loshchilov & Hutter, arXiv 1711.05101) has torch's own betas 0.9, 0.999 and eps 1e-8. Relation losses of 1e-3 nats give
gradients far below 1e-6, where a larger eps would silently turn Adam into plain momentum. T5 itself was trained with Adafactor
(Shazeer & Stern, arXiv 1804.04235). Each matrix's RMS scales its step, so its learning rate is relative (T5 uses 1e-2), and
embeddings, norms and projections of very different size share one.
"""

from typing import Any

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw": ("AdamW", {"betas": (0.9, 0.999), "eps": 1e-8}),
    "adafactor": ("Adafactor", {"eps": (1e-15, 1e-3)}),  # 1e-30 on squares, as in the paper
}
"""The class of torch.optim by name, with its options except parameters, learning rate and weight decay."""
SCHEDULES = ("linear", "cosine", "constant", "inverse-sqrt")
"""The names of the learning-rate schedules after warm-up."""
