"""For every test: one torch thread, no network, no deadlines that a busy machine breaks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

# before anything imports torch: two processes with two threads each starve one another
for name, value in {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # what was measured on this machine must not decide what tests compute in
    "RAMIFY_CALIBRATION": str(Path(tempfile.gettempdir()) / f"ramify-tests-{os.getpid()}.json"),
}.items():
    os.environ.setdefault(name, value)

settings.register_profile(
    "ramify", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# the same examples in every run of .ci/run; runs by hand explore
settings.register_profile("ci", settings.get_profile("ramify"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "ramify")
