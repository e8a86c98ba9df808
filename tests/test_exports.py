"""What `import ramify` gives, and what it must not load."""

import subprocess
import sys

import ramify as rf

NAMES = """
BatchInterruptedError BatchResult Branches EachBranches Event FakeBackend Index Outline Plan Policy
Program RamifyError Result Retry Sampling State Timeouts Value aresolve assistant blocks call cite
close_backends compress first gen lines open_backend patterns program register_backend rerank
resolve retrieve score select set_default_backend system tool user vectors
""".split()  # noqa: SIM905


def test_the_public_names() -> None:
    assert sorted(rf.__all__) == sorted(NAMES)
    for name in NAMES:
        assert getattr(rf, name) is not None


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, ramify, ramify.cli\n"
        "heavy = ['torch', 'transformers', 'numpy', 'networkx', 'faiss', 'sentence_transformers']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
