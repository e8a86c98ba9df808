"""Workloads, programs and peers of the benchmarks of output organization."""
