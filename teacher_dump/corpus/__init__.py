"""Text: corpora, their mixture and order, and the tokenizer."""
