"""A faster body for llama-like models on CPUs: C++ that the user's compiler builds on first use.

Optional: without a compiler everything runs on torch's operators, and the tests hold both equal.
"""
