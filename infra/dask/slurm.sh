#!/usr/bin/env bash
# One ingestion on Slurm: a scheduler, workers, and the command, in one allocation.
#   sbatch --ntasks 9 infra/dask/slurm.sh --source era5-arco --start 2020-01-01 --end 2021-01-01
#SBATCH --job-name=appa-ingest
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=4G
#SBATCH --time=24:00:00
set -euo pipefail

address_file="${SLURM_SUBMIT_DIR:-$PWD}/.dask-${SLURM_JOB_ID:-local}.json"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$address_file"' EXIT

# keep freed memory for the next block: Dask's own setting halves the speed of networks on CPUs
export MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=33554432
dask scheduler --scheduler-file "$address_file" --no-dashboard &
until [ -s "$address_file" ]; do sleep 1; done
srun --ntasks "$((${SLURM_NTASKS:-2} - 1))" --overlap \
  dask worker --scheduler-file "$address_file" --nthreads 1 --no-dashboard &
address=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$address_file")
python -m flows.ingest --dask-address "$address" "$@"
