"""A command on workers that Slurm starts as they are needed, through dask-jobqueue.

    python -m infra.dask.jobqueue --workers 16 --memory 8GiB python -m flows.ingest --source ...

Partition, account and time come from dask-jobqueue's own configuration, such as
`~/.config/dask/jobqueue.yaml`. Its clusters for PBS, LSF and SGE take the same arguments.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from dask_jobqueue import SLURMCluster

# keep freed memory for the next block: Dask's own setting halves the speed of networks on CPUs
PROLOGUE = ["export MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=33554432"]


def main(argv: list[str] | None = None) -> int:
    """Run the command with `--dask-address`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.dask.jobqueue", description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="at most so many jobs at a time")
    parser.add_argument("--cpus", type=int, default=2, help="of each")
    parser.add_argument("--memory", default="8GiB", help="of each")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="python -m flows....")
    arguments = parser.parse_args(argv)
    with SLURMCluster(
        cores=1,  # a thread a worker: a block is one unit of work
        processes=1,
        job_cpu=arguments.cpus,
        memory=arguments.memory,
        job_script_prologue=[*PROLOGUE, f"export OMP_NUM_THREADS={arguments.cpus}"],
        scheduler_options={"dashboard_address": None},
    ) as cluster:
        cluster.adapt(minimum=1, maximum=arguments.workers)
        command = [*arguments.command, "--dask-address", cluster.scheduler_address]
        return subprocess.run(command, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
