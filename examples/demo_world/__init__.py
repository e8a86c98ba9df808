"""The invented world behind the demo: its generator, its tokenizer, its tiny model."""
