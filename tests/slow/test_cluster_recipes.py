"""The recipes for clusters work, with a Slurm that starts everything on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from appa_core.io.cube import Cube
from appa_core.io.datasets import write_zarr
from appa_core.io.sources import SourceSpec
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from tests.synthetic import synthetic_states, tiny_preset

ROOT = Path(__file__).parents[2]
START, END = pd.Timestamp("2012-01-01"), pd.Timestamp("2012-01-21")

# a step of a job: its options come first
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do [[ $1 == --ntasks ]] && shift; shift; done
exec "$@"
"""
# a job: the script is run, its number is told
SBATCH = """#!/usr/bin/env bash
bash "${@: -1}" > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/usr/bin/env bash
for job in "$@"; do pkill -P "$job" 2> /dev/null; kill "$job" 2> /dev/null; done
exit 0
"""


@pytest.fixture
def slurm(tmp_path):
    """An environment with Slurm's commands."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    for name in ("python", "dask"):
        (tools / name).write_text(
            f'#!/usr/bin/env bash\nexec "{sys.executable}" {"-m dask " if name == "dask" else ""}'
            '"$@"\n'
        )
        (tools / name).chmod(0o755)
    paths = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return os.environ | paths | {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_NTASKS": "2"}


@pytest.fixture
def ingestion(tmp_path):
    """Arguments of an ingestion, and what must come out of it."""
    preset, source = tiny_preset(), tmp_path / "waves.zarr"
    write_zarr(synthetic_states(preset.state.build(), str(START.date()), 20), source)
    content = preset.model_dump(mode="json") | {"data": {"block_states": 20}}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(content))
    spec = SourceSpec(str(source), "zarr", (str(source),))
    job = IngestJob(str(tmp_path / "alone"), spec, preset.state.build(), 20)
    for unit in plan_ingest(job, START, END):
        ingest_unit(unit)
    arguments = ["--source", str(source), "--preset", str(tmp_path / "preset.yaml"), "--start"]
    arguments += [str(START.date()), "--end", str(END.date()), "--store", str(tmp_path / "store")]
    return arguments, job.cube().digest()


def digest(tmp_path):
    (folder,) = (tmp_path / "store" / "states").iterdir()
    return Cube.load(folder).digest()


@pytest.mark.slow
def test_the_job_script_of_slurm(slurm, ingestion, tmp_path):
    arguments, expected = ingestion
    command = ["bash", str(ROOT / "infra/dask/slurm.sh"), *arguments]
    done = subprocess.run(
        command, env=slurm, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"digest    {expected}" in done.stdout
    assert digest(tmp_path) == expected
    assert not list(tmp_path.glob(".dask-*.json"))


@pytest.mark.slow
def test_workers_by_dask_jobqueue(slurm, ingestion, tmp_path):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    arguments, expected = ingestion
    command = ["--workers", "2", "--memory", "2GiB", sys.executable, "-m", "flows.ingest"]
    done = subprocess.run(
        [sys.executable, "-m", "infra.dask.jobqueue", *command, *arguments],
        env=slurm,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"digest    {expected}" in done.stdout


def test_the_manifest_of_kubernetes_names_one_scheduler():
    documents = list(yaml.safe_load_all((ROOT / "infra/dask/kubernetes.yaml").read_text()))
    service, scheduler, worker = documents
    (port,) = service["spec"]["ports"]
    address = f"tcp://{service['metadata']['name']}:{port['port']}"
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert address in container["command"]
    assert "--nthreads" in container["command"]
    selected = service["spec"]["selector"]
    assert scheduler["spec"]["template"]["metadata"]["labels"] == selected
    (container,) = scheduler["spec"]["template"]["spec"]["containers"]
    assert str(port["port"]) in container["command"]
