"""The loss terms: one file for each."""

from ...runtime.registry import import_entries
from ..objective import Objective
from .term import TERMS, SitePair, Term, TermContext, Terms

__all__ = ["TERMS", "SitePair", "Term", "TermContext", "Terms", "trains_head"]

import_entries(__name__, __path__)


def trains_head(objective: Objective) -> bool:
    """Return whether an objective trains the student's head, so that the student generates and can teach its logits."""
    return any(TERMS[one.kind].trains_head for one in objective.terms)
