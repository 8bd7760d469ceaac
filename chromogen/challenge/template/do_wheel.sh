#!/usr/bin/env bash
# Build the wheel of chromogen @VERSION@ from a checkout into wheels/: ./do_wheel.sh CHECKOUT
# Further arguments go to pip; with --no-build-isolation nothing is downloaded (setuptools must be installed).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
checkout="${1:?name the checkout of chromogen: ./do_wheel.sh CHECKOUT}"
shift
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# a copy is built, so that nothing is left behind in the checkout
mkdir "$scratch/source"
cp -R "$checkout/chromogen" "$checkout/pyproject.toml" "$checkout/README.md" "$checkout/LICENSE" "$scratch/source/"
mkdir -p "$here/wheels"
"${PYTHON:-python3}" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$here/wheels" "$@" "$scratch/source"

if [ ! -f "$here/wheels/@WHEEL@" ]; then
  echo "the checkout $checkout is not chromogen @VERSION@: check out that version, or make this folder again" >&2
  exit 1
fi
echo "$here/wheels/@WHEEL@"
