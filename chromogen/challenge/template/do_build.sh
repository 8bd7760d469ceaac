#!/usr/bin/env bash
# Build the image. This needs the network; running it does not.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
image="${IMAGE:-chromogen-evaluation}"

if [ ! -f "$here/wheels/@WHEEL@" ]; then
  echo "wheels/@WHEEL@ is not there; run ./do_wheel.sh CHECKOUT first" >&2
  exit 1
fi
docker build --platform=linux/amd64 --tag "$image" "$here"
