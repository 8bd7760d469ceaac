#!/usr/bin/env bash
# Pillow opens a PNG of 16 bits a colour as 8-bit RGB and keeps the upper byte of each sample, without a warning. A camera's 12 bits
# stored in 16 bits (a usual export of microscopes) so become 0 to 15: a nearly black picture. Grey PNG of 16 bits keeps its bits.
# Our `data/formats/plain.py` reads such files through imagecodecs and scales by the bits in use.
# Expected otherwise: a refusal or a warning. PNG's section on sample depth rescaling asks for the significant bits, and libpng gives all
# sixteen. Pillow's handbook (concepts, modes) does say that it has no colour of more than 8 bits; opening says nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check pillow==12.0.0 imagecodecs==2026.3.6 numpy==2.4.0
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
import io
import sys

import imagecodecs
import numpy as np
import PIL
from PIL import Image

truth = np.tile(np.linspace(0, 4095, 64).astype(np.uint16)[None, :, None], (16, 1, 3))  # 12 bits in 16
encoded = imagecodecs.png_encode(truth)
whole = imagecodecs.png_decode(encoded)
with Image.open(io.BytesIO(encoded)) as image:
    mode, seen = image.mode, np.asarray(image)
print(f"Pillow {PIL.__version__}: mode {mode}, {seen.dtype}, highest value {seen.max()}; stored: uint16, highest {truth.max()}")
print(f"imagecodecs {imagecodecs.__version__}: {whole.dtype}, highest value {whole.max()}")
held = mode == "RGB" and seen.dtype == np.uint8 and np.array_equal(seen, truth >> 8) and np.array_equal(whole, truth)
sys.exit(0 if held else "the behaviour has changed")
PY
