"""Attention over a layout: kernels for one group each, merged by log-sum-exp."""
