"""Write reference.npz, the part of the oracle file that checks schedules, guidance and samplers.

The oracle holds numbers that the authors' own modules gave for small random inputs: facts about
what their code computes, and none of the code. This keeps the arrays that need no weights, as they
are, so that every machine can check against them. What each array is, is said in
`test_reference_vectors.py` beside the check that uses it.

    python tests/golden/make_reference.py PATH/TO/oracle.npz
"""

import sys
from pathlib import Path

import numpy as np

KEPT = ("schedule_", "guid_", "mmps_", "sda_", "window_", "gauss_", "ddim_", "lms3_")
TARGET = Path(__file__).with_name("reference.npz")


def subset(path):
    """The arrays that are kept, by name."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays if name.startswith(KEPT)}


if __name__ == "__main__":
    np.savez(TARGET, **subset(sys.argv[1]))
