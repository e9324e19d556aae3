"""The choices that signals leave to the user, by name; without torch, so that the command line can list them."""

NOTHING = "none"
"""The value of --signal and of --logits that caches nothing of the kind."""
LOGIT_KINDS = ("top-k", "sampled", "hybrid")
"""The codes of next-token distributions (`logits/code.py`)."""
PREDICTED, SEPARATE = "predicted", "separate"
"""How several layers of hidden states are coded: each as what the layer below does not say, or each by itself."""
HIDDEN_CODES = (PREDICTED, SEPARATE)
RELATION_TEMPERATURES = ("published", "calibrated")
"""The temperatures of relations (`relations/calibration.py`)."""
