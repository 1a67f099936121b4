"""Write reference.npz and the small network that some of its numbers are of.

The oracle holds numbers that the authors' own modules gave for small random inputs and weights:
facts about what their code computes, and none of the code. This keeps all arrays but those of the
autoencoder, whose weights are larger, as they are, so that every machine can check against them.
What each array is, is said beside the check that uses it.

    python tests/golden/make_reference.py PATH/TO/appa_reference
"""

import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TARGET = HERE / "reference.npz"
#: Random weights under the published names, and the sizes that go with them.
NETWORK = {
    "denoiser_backbone.safetensors": HERE / "reference_backbone.safetensors",
    "config.json": HERE / "reference_config.json",
}


def subset(folder):
    """The arrays that are kept, by name."""
    with np.load(folder / "oracle.npz") as arrays:
        return {name: arrays[name] for name in arrays if not name.startswith("ae_")}


if __name__ == "__main__":
    source = Path(sys.argv[1])
    np.savez(TARGET, **subset(source))
    for name, target in NETWORK.items():
        shutil.copyfile(source / name, target)
