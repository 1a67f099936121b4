"""A short training by several processes: `python -m tests.training_script ORDER.json`.

Prints the number of every iteration, then the digest of the weights.
"""

import json
import sys
from pathlib import Path

from appa_core.config.presets import Preset
from appa_core.errors import EXIT_STATUS, STOPPED_STATUS, AppaError, StoppedError
from appa_core.io.store import ArtifactStore
from appa_core.steps.worker import TrainingOrder
from appa_core.training.settings import RunSettings
from tasks.launch import LaunchSettings, launch


def show(progress):
    """Print the number of an iteration at once."""
    sys.stdout.write(f"{progress.iteration}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    content = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    order = TrainingOrder(
        "autoencoder",
        content["store"],
        Preset.model_validate(content["preset"]),
        content["states"],
        ArtifactStore(content["store"]).get(*content["statistics"]),
    )
    settings = LaunchSettings(
        nproc=content["nproc"],
        nodes=content.get("nodes", 1),
        rendezvous=content.get("rendezvous"),
        run=RunSettings(**content.get("run", {})),
        stall_seconds=content.get("stall_seconds", 300),
    )
    try:
        trained = launch(order, settings, show)
    except StoppedError:
        sys.exit(STOPPED_STATUS)
    except AppaError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_STATUS)
    sys.stdout.write(trained.digest)
