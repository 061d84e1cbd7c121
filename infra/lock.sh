#!/bin/sh
# What the images install, with hashes and without URLs: requirements-cpu.txt and requirements-gpu.txt. Run it after a
# change of pyproject.toml or constraints.txt; it needs uv. The pins of constraints.txt are kept wherever vLLM allows.
set -eu
cd "$(dirname "$0")/.."
locked() { # FILE ARGUMENTS... : the pins that are there already are what uv prefers
  file="infra/$1"
  shift
  cp constraints.txt "$file"
  sed -n 's/^requires = \["\(setuptools.*\)"\]$/\1/p' pyproject.toml > infra/build.tmp # relift itself is built with it
  uv pip compile --quiet pyproject.toml infra/build.tmp "$@" --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --python-version 3.12 --python-platform x86_64-manylinux_2_28 --output-file "$file"
}
locked requirements-gpu.txt --extra vllm
# Without torch and what it alone brings: its build for processors lies in another index (Dockerfile.cpu).
locked requirements-cpu.txt
awk '/^[a-z0-9]/ { kept = $0 !~ /^(torch|triton|nvidia-|cuda-)/ } kept' infra/requirements-cpu.txt > infra/cpu.tmp
mv infra/cpu.tmp infra/requirements-cpu.txt
rm infra/build.tmp
