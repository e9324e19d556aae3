"""The lines of losses: terms in one line, their parts in lines of their own."""

from miniend.student_train.run.loss_lines import of_terms, parts_text, validation_text

MEANS = {
    "loss": 1.5,
    "encoder_hidden": 0.4,
    "encoder_direct": 0.5,
    "encoder_hidden_beyond_top_8": 0.7,
    "encoder_hidden.1-2": 0.41234,
    "encoder_hidden.2-4": 0.39,
    "encoder_hidden.2-4-again": 0.395,
    "encoder_hidden_beyond_top_8.2-4": 0.702,
    "encoder_direct.query": 0.5,
}


def test_the_line_of_an_evaluation_has_terms_only():
    """Twelve layers in each stack would hide the loss."""
    assert of_terms(MEANS) == {"loss": 1.5, "encoder_hidden": 0.4, "encoder_direct": 0.5}
    assert validation_text(MEANS, False) == "validation loss 1.500 (encoder_hidden 0.400, encoder_direct 0.500)"


def test_every_part_is_said_with_what_was_measured_beside_it():
    """A part without a varying complement has nothing beside it, and must not get its neighbour's."""
    assert list(parts_text(MEANS)) == [
        "encoder_hidden: 1-2 0.412, 2-4 0.390 (0.702 beyond the top 8), 2-4-again 0.395",
        "encoder_direct: query 0.500",
    ]
    assert list(parts_text({"loss": 2.0, "labels": 2.0})) == []
