"""One module per claim: `python -m benchmarks NAME [--quick] [--json]`.

Every module directly in this folder has `run(options) -> Report`; what they share is in
`harness/`, and the engines that they are measured against are in `peers/`.
"""
