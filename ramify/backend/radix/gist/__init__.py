"""Memory vectors: what reads a text with a frozen model and says it in a few vectors."""
