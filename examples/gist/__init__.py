"""Training gist heads: the run, and rows of a file as what it learns from."""
