#!/usr/bin/env bash
# Writes constraints.txt anew: all versions, transitive ones too, of the project and all its
# extras. Run it after a change of dependencies: bash infra/lock.sh. With --keep, versions that are
# locked already stay, and only what is new is added.
set -euo pipefail
cd "$(dirname "$0")/.."
kept=()
[ "${1:-}" != --keep ] || kept=(-c constraints.txt)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet ${kept[@]+"${kept[@]}"} torch==2.13.0 \
  -e '.[test,browser,simulate,cloud,grib,cds,bufr,satellites,jobqueue]'
"$scratch/venv/bin/python" -m pip check
# nvidia, cuda and triton come with some builds of torch, which pins them itself
{
  echo "# Versions that work together; made by infra/lock.sh. Do not edit by hand."
  "$scratch/venv/bin/python" -m pip freeze --exclude-editable \
    | { grep -v -i -E '^(appa|pip|setuptools|nvidia-.*|cuda-.*|triton)(==| @ )' || true; } \
    | sed -E 's/ @ .*//; s/\+[a-z0-9.]+$//'
} > "$scratch/constraints.txt"
mv "$scratch/constraints.txt" constraints.txt
