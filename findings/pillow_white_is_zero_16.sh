#!/usr/bin/env bash
# Pillow inverts a white-is-zero TIFF of 8 bits and leaves one of 16 bits as it is: the same picture, once right and once negative.
# Expected otherwise: TIFF 6.0 (section 8, PhotometricInterpretation 0: "0 is imaged as white") knows no difference of depth, and
# Pillow itself follows it for 1 and 8 bits. Exits non-zero when the behaviour changes.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/env"
"$room/env/bin/pip" install -q "pillow==12.0.0" "tifffile==2025.10.16" "numpy==2.3.5"
cd "$room"
"$room/env/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__)
bright = np.array([[250, 200, 128]])
tifffile.imwrite("8.tif", (255 - bright).astype(np.uint8), photometric="miniswhite")
tifffile.imwrite("16.tif", (65535 - 257 * bright).astype(np.uint16), photometric="miniswhite")
eight = np.asarray(Image.open("8.tif")).tolist()
sixteen = (np.asarray(Image.open("16.tif")) >> 8).tolist()
print("the picture is", bright.tolist(), "; read from 8 bits", eight, "; the high bytes read from 16 bits", sixteen)
assert eight == bright.tolist(), "8 bits are no longer inverted"
assert sixteen == (255 - bright).tolist(), "16 bits are inverted now"
PYTHON
