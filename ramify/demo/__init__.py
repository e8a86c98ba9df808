"""The demo: an invented world, a tiny model trained on it, and what can be checked with them."""
