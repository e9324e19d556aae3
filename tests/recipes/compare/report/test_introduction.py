"""What the first paragraph says of equal and unequal rows."""

from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.report.introduction import what_is_compared


def test_rows_that_differ_in_their_objective_alone_are_called_equal(written):
    found = what_is_compared(read_comparison(written()))
    assert (
        "trained with steps 4, batch_size 4, log_every 1, save_every 2, eval_every 2. Evaluated on glue/sst2." in found
    )
    assert "the same steps, examples and seeds" in found


def test_what_a_row_has_by_itself_is_said_of_it_alone(written):
    rows = {"short": {"objective": "scratch", "steps": 2}, "miniend-e": {"max_grad_norm": 5, "cache": "other"}}
    found = what_is_compared(read_comparison(written(rows=rows, caches={"other": {"draws": 5}})))
    assert "; short with steps 2; miniend-e with steps 4, max_grad_norm 5.0, cache other. Evaluated" in found
    assert "Every row has the same seeds;" in found


def test_a_rate_that_was_not_chosen_is_named_where_all_rows_have_it(written):
    one, two = {"learning_rates": 1e-3}, {"learning_rates": {"scratch": 1e-3, "miniend-e": 2e-3}}
    mixed = {"learning_rates": {"scratch": 1e-3, "others": [1e-3, 2e-3]}}
    assert what_is_compared(read_comparison(written())).endswith(
        "validation loss of its own objective with the first seed."
    )
    assert what_is_compared(read_comparison(written(**one))).endswith("its learning rate is 0.001.")
    assert what_is_compared(read_comparison(written(**two))).endswith("its learning rate is listed below.")
    named = "the best of its own rates, which are listed below, by the validation loss of its own objective with the first seed."
    assert what_is_compared(read_comparison(written(**mixed))).endswith(named)


def test_an_option_of_several_values_is_said_in_words(written):
    """A reader of the report need not know how Python writes a tuple."""
    rows = {"miniend-e": {"teacher_layer": ["encoder.self=-1", "decoder.self=-1"]}, "scratch": {}}
    found = what_is_compared(read_comparison(written(rows=rows)))
    assert "miniend-e with teacher_layer encoder.self=-1 and decoder.self=-1." in found
