#!/usr/bin/env bash
# Write the two files to upload: the image, and the ground truth as a tarball.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
image="${IMAGE:-chromogen-evaluation}"

if [ -z "$(find "$here/ground_truth" -maxdepth 1 -type f \( -iname '*.png' -o -iname '*.tif' -o -iname '*.tiff' \) -print -quit)" ]; then
  echo "ground_truth/ holds no images; put the real images of the test set there" >&2
  exit 1
fi
"$here/do_build.sh"
docker save "$image" | gzip -c > "$here/$image.tar.gz"
tar -czf "$here/ground_truth.tar.gz" -C "$here/ground_truth" .
echo "upload $here/$image.tar.gz as the evaluation method and $here/ground_truth.tar.gz as its ground truth"
