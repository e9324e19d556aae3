"""The files that users bring, read as rows: corpora of a dump and tables of an evaluation. Knows no tokenizer and no task."""
