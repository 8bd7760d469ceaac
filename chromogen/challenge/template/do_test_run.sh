#!/usr/bin/env bash
# Evaluate a submission under the platform's restrictions: ./do_test_run.sh [INPUT [GROUND_TRUTH]]
# Without arguments the example is evaluated. The result is test_output/metrics.json.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
image="${IMAGE:-chromogen-evaluation}"
input="$(cd "${1:-$here/example/input}" && pwd)"
ground_truth="$(cd "${2:-$here/example/ground_truth}" && pwd)"
output="$here/test_output"

"$here/do_build.sh"
mkdir -p "$output"
rm -f "$output/metrics.json"
chmod 0777 "$output" # the container's user is not you

# a volume, not a tmpfs: what is unpacked there must not count as memory
scratch="$(docker volume create)"
trap 'docker volume rm "$scratch" > /dev/null' EXIT

docker run --rm \
  --platform=linux/amd64 \
  --network none \
  --read-only \
  --cap-drop all \
  --security-opt no-new-privileges \
  --memory 4g \
  --memory-swap 4g \
  --pids-limit 128 \
  --volume "$input":/input:ro \
  --volume "$ground_truth":/opt/ml/input/data/ground_truth:ro \
  --volume "$output":/output \
  --volume "$scratch":/tmp \
  "$image"

test -s "$output/metrics.json"
echo "$output/metrics.json"
