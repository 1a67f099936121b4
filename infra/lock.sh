#!/usr/bin/env bash
# Writes constraints.txt anew: all versions, transitive ones too, of every extra that ships.
# Run it after a change of dependencies: bash infra/lock.sh
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3.11 -m venv "$scratch/venv" 2>/dev/null || python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet torch==2.13.0 -e '.[test,simulate]'
{
  echo "# Versions that work together; made by infra/lock.sh. Do not edit by hand."
  "$scratch/venv/bin/python" -m pip freeze --exclude-editable \
    | grep -v -i -E '^(appa|pip|setuptools|nvidia-|triton)' \
    | sed -E 's/ @ .*//; s/\+cpu$//'
} > "$scratch/constraints.txt"
mv "$scratch/constraints.txt" constraints.txt
