"""One module per claim: `python -m benchmarks NAME [--quick] [--json]`.

Every module directly in this folder has `run(options) -> Report`; what they share is in
`harness/`, and the engines that are measured are in `peers/`. A result worth quoting is kept as
`results/NAME.json`, what `--json` printed on a quiet machine.
"""
