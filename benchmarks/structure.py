"""Structure maps: how fast they are, and how they compare with plain Sobel sketches on real images.

    OMP_NUM_THREADS=1 python benchmarks/structure.py speed
    OMP_NUM_THREADS=1 python benchmarks/structure.py compare --data FOLDER [--picture FILE]
    OMP_NUM_THREADS=1 python benchmarks/structure.py presets

`speed`: lines and organ of drawn slices of 240x240 px against the same steps written plainly with SciPy, one slice at a time,
in the same run. `compare`: FOLDER holds real images in any of mri/open_ms (NIfTI), mri/brats2015 (NIfTI), retina (CHASE_DB1),
xray and lung_ct/lung_pet_ct_dx (DICOM); needs nibabel and pydicom. The sketch is Sobel magnitude, a Gaussian low-pass, a
threshold, opening and closing, as SkrGAN (Zhang et al., MICCAI 2019) describes its sketches; its code is not public, so blur
and threshold are ours: Otsu's, and the one that passes as many pixels as our default draws. The picture leaves out images whose
licence is not open. All print Markdown.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from chromogen.structure import lines as line_maps
from chromogen.structure import organ as organ_masks
from chromogen.structure.filters import grey_of
from chromogen.structure.lines import LineMap, lines
from chromogen.structure.organ import OrganMask, organ

SLICES, SIDE_PX, ROUNDS = 64, 240, 5
NOISE = 0.02  # deviation of the noise under which lines should stay, of the grey range
NEAR_PX = 2  # a line this near to a vessel of the observer has found it
SMALL_PX = 6  # a piece of fewer pixels is a speck, not a line


@dataclass(frozen=True)
class Kind:
    """One kind of real image: how to read some of it, and the published preset nearest to it."""

    name: str
    preset: str
    read: Callable[[Path], list[np.ndarray]]  # (H, W) or (H, W, 3) in [0, 1]
    credit: str  # "" where the picture may not show it


def nifti_slices(files: list[Path], masks: list[Path | None]) -> list[np.ndarray]:
    """Three axial slices of each volume, from 40 to 60 % of its height; the 99.9th percentile of the volume is 1."""
    import nibabel

    slices = []
    for file, mask in zip(files, masks, strict=True):
        volume = np.asarray(nibabel.load(file).dataobj, dtype=np.float32)
        if mask is not None:
            inside = np.asarray(nibabel.load(mask).dataobj) > 0.5
            volume = np.where(inside, volume - volume[inside].min(), 0)
        volume = np.clip(volume / np.percentile(volume, 99.9), 0, 1)
        slices += [np.rot90(volume[:, :, int(share * volume.shape[2])]).copy() for share in (0.4, 0.5, 0.6)]
    return slices


def read_open_ms(root: Path) -> list[np.ndarray]:
    files = sorted((root / "mri/open_ms").glob("*/FLAIR.nii.gz"))
    return nifti_slices(files, [None] * len(files))


def read_brats(root: Path) -> list[np.ndarray]:
    files = sorted((root / "mri/brats2015").glob("*/*/*/Flair*.nii.gz"))
    return nifti_slices(files, [file.parent / "brainmask.nii.gz" for file in files])


def read_retina(root: Path) -> list[np.ndarray]:
    return [photograph(file) for file in sorted((root / "retina").glob("*L.jpg"))]


def read_xray(root: Path) -> list[np.ndarray]:
    return [photograph(file)[..., 0] for file in sorted((root / "xray/test/NORMAL").iterdir())[:12]]


def read_ct(root: Path) -> list[np.ndarray]:
    """Every sixth slice, from -1000 to 400 HU."""
    import pydicom

    slices = []
    for file in sorted((root / "lung_ct/lung_pet_ct_dx").glob("*/*.dcm"))[::6]:
        read = pydicom.dcmread(file)
        hounsfield = read.pixel_array * float(read.RescaleSlope) + float(read.RescaleIntercept)
        slices.append(np.clip((hounsfield + 1000) / 1400, 0, 1).astype(np.float32))
    return slices


def photograph(file: Path, largest_px: int = 512) -> np.ndarray:
    with Image.open(file) as opened:
        image = opened.convert("RGB")
        image.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32) / 255


KINDS = (
    Kind("brain MRI, FLAIR (open_ms)", "brats", read_open_ms, "3D MR image database of MS patients, Lesjak et al. 2017, CC BY"),
    Kind("brain MRI, FLAIR (BRATS 2015)", "brats", read_brats, ""),  # CC BY-NC-SA
    Kind("fundus (CHASE_DB1)", "retina", read_retina, "CHASE_DB1, Fraz et al. 2012, CC BY 4.0"),
    Kind("chest X-ray", "xray", read_xray, "Labeled chest X-ray images, Kermany et al. 2018, CC BY 4.0"),
    Kind("chest CT (Lung-PET-CT-Dx)", "lung_ct", read_ct, "Lung-PET-CT-Dx, Li et al. 2020, TCIA, CC BY 4.0"),
)


def batch_of(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))[None]


def sketch(grey: np.ndarray, share: float | None) -> np.ndarray:
    """Sobel magnitude, low-pass, threshold (Otsu's, or the one that `share` of all pixels pass), opening, closing."""
    magnitude = np.hypot(ndimage.sobel(grey, 0, mode="mirror"), ndimage.sobel(grey, 1, mode="mirror"))
    smooth = ndimage.gaussian_filter(magnitude, 1.0)
    found = smooth > (threshold_otsu(smooth) if share is None else np.quantile(smooth, 1 - share))
    square = np.ones((2, 2), dtype=bool)
    return ndimage.binary_closing(ndimage.binary_opening(found, square), np.ones((3, 3), dtype=bool))


Drawer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # image -> lines, organ; both (H, W) bool


def drawers(preset: str) -> dict[str, Drawer]:
    def ours(line_map: LineMap, mask: OrganMask) -> Drawer:
        def draw(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            batch = batch_of(image)
            inside = organ(batch, mask)
            return lines(batch, inside, line_map)[0, 0].numpy() > 0, inside[0, 0].numpy() > 0

        return draw

    default = ours(line_maps.DEFAULT, organ_masks.DEFAULT)

    def sketched(same_share: bool) -> Drawer:
        def draw(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            drawn, inside = default(image)
            return sketch(grey_of(batch_of(image), "luminance")[0, 0].numpy(), drawn.mean() if same_share else None), inside

        return draw

    return {
        f"published, {preset}": ours(line_maps.PRESETS[preset], organ_masks.PRESETS[preset]),
        "default, auto": default,
        "sketch, Otsu": sketched(False),
        "sketch, as many": sketched(True),
    }


def measured(draw: Drawer, image: np.ndarray, vessels: np.ndarray | None, rng: np.random.Generator) -> list[float]:
    """The columns of the table for one image."""
    drawn, inside = draw(image)
    share = (drawn & inside).sum() / inside.sum()
    count = max(1, int(drawn.sum()))
    outside = (drawn & ~default_organ(image)).sum() / count
    pieces, number = ndimage.label(drawn, np.ones((3, 3)))
    small = (np.bincount(pieces.ravel())[1:] < SMALL_PX).sum()
    noisy = np.clip(image + rng.normal(0, NOISE, image.shape).astype(np.float32), 0, 1)
    again, _ = draw(noisy)
    kept = 2 * (drawn & again).sum() / max(1, drawn.sum() + again.sum())
    return [100 * share, 100 * outside, 1000 * small / count, 1000 * number / count, kept, *vessel_scores(drawn, vessels)]


def default_organ(image: np.ndarray) -> np.ndarray:
    return organ(batch_of(image))[0, 0].numpy() > 0


def vessel_scores(drawn: np.ndarray, vessels: np.ndarray | None) -> list[float]:
    """The share of the observer's vessels near a line, and of the lines near a vessel."""
    if vessels is None:
        return [np.nan, np.nan]
    near_line, near_vessel = (ndimage.distance_transform_edt(~mask) <= NEAR_PX for mask in (drawn, vessels))
    return [(near_line & vessels).sum() / vessels.sum(), (near_vessel & drawn).sum() / max(1, drawn.sum())]


def vessel_masks(root: Path) -> list[np.ndarray]:
    return [photograph(file)[..., 0] > 0.5 for file in sorted((root / "retina").glob("*L_1stHO.png"))]


def compare(root: Path, picture: Path | None) -> None:
    """Print the table; draw the picture."""
    columns = ["share of the organ", "outside the organ", "specks a 1000 px", "pieces a 1000 px", "Dice under noise"]
    columns += ["vessels found", "lines on vessels"]
    print("| images | n | lines | " + " | ".join(columns) + " |\n|---|---:|---|" + "---:|" * len(columns))
    rows = []
    for kind in KINDS:
        images = kind.read(root)
        if not images:
            continue
        truths = vessel_masks(root) if kind.preset == "retina" else [None] * len(images)
        for name, draw in drawers(kind.preset).items():
            rng = np.random.default_rng(0)
            values = np.mean([measured(draw, *pair, rng) for pair in zip(images, truths, strict=True)], axis=0)
            shown = [f"{values[0]:.1f} %", f"{values[1]:.1f} %", f"{values[2]:.1f}", f"{values[3]:.1f}", f"{values[4]:.2f}"]
            shown += ["" if np.isnan(value) else f"{100 * value:.0f} %" for value in values[5:]]
            print(f"| {kind.name} | {len(images)} | {name} | " + " | ".join(shown) + " |")
        if kind.credit:
            middle = images[len(images) // 2]
            rows.append(np.concatenate(list(panels(middle, kind.preset)), axis=1))
    if picture is not None:
        Image.fromarray(np.concatenate(rows)).save(picture, quality=85)


def panels(image: np.ndarray, preset: str, side_px: int = 256) -> Iterator[np.ndarray]:
    """The image, then each drawing of it as black on white, its organ's outside grey."""
    yield squared(np.asarray(np.atleast_3d(image) * 255, dtype=np.uint8).repeat(3 // np.atleast_3d(image).shape[2], 2), side_px)
    for draw in drawers(preset).values():
        drawn, inside = draw(image)
        shown = np.where(drawn, 0, np.where(inside, 255, 205)).astype(np.uint8)
        yield squared(shown[..., None].repeat(3, 2), side_px)


def squared(picture: np.ndarray, side_px: int) -> np.ndarray:
    """Fitted into a white square with a margin."""
    fitted = Image.fromarray(picture)
    scale = (side_px - 6) / max(fitted.size)
    fitted = fitted.resize((round(fitted.width * scale), round(fitted.height * scale)), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side_px, side_px), "white")
    square.paste(fitted, ((side_px - fitted.width) // 2, (side_px - fitted.height) // 2))
    return np.asarray(square)


def slices(count: int = SLICES) -> torch.Tensor:
    """Drawn heads: an ellipse with rings, folds, dark ventricles and a little noise on black."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    made = []
    for _ in range(count):
        a, b, wave = rng.uniform(80, 105), rng.uniform(65, 90), rng.uniform(5, 9)
        radius = np.hypot(y / a, x / b)
        folds = 0.15 * np.sin(y / wave + 2 * np.sin(x / 11)) * (radius > 0.5)
        image = np.where(radius < 1, 0.55 + folds + 0.03 * rng.normal(size=y.shape), 0)
        made.append(np.where(np.hypot(y / 30, (np.abs(x) - 12) / 7) < 1, 0.05, image))
    return torch.from_numpy(np.clip(np.stack(made), 0, 1).astype(np.float32))[:, None]


def plain_lines(image: np.ndarray, inside: np.ndarray, settings: LineMap) -> np.ndarray:
    """Algorithm 1 step by step in SciPy; `auto` by trying the same thresholds as ours."""
    down, right = (ndimage.sobel(image, axis, mode="mirror") for axis in (0, 1))
    edges = []
    for response in (np.minimum(down, right), np.maximum(down, right)):
        response = (response - response.min()) / np.ptp(response)
        edges.append(ndimage.gaussian_filter(response, settings.sigma1, radius=1, mode="mirror"))
    falling, rising = edges[0].mean() - edges[0], edges[1] - edges[1].mean()

    def drawn(alpha: float) -> np.ndarray:
        binary = ((falling > alpha) | (rising > alpha)).astype(np.float32)
        grown = ndimage.gaussian_filter(binary, settings.sigma2, radius=1, mode="mirror") > settings.beta
        return ndimage.median_filter(grown.astype(np.uint8), settings.median, mode="nearest") * inside

    if settings.alpha != "auto":
        return drawn(settings.alpha)
    strongest, low, high = max(falling.max(), rising.max()), 0.0, 1.0
    for _ in range(line_maps.HALVINGS):
        root = (low + high) / 2
        low, high = (low, root) if drawn(strongest * root**2).sum() <= settings.density * inside.sum() else (root, high)
    return drawn(strongest * high**2)


def plain_organ(image: np.ndarray, settings: OrganMask) -> np.ndarray:
    bright = (image - image.min()) / np.ptp(image) > settings.threshold
    if settings.method == "fill":
        bright = ndimage.median_filter(bright.astype(np.uint8), settings.median, mode="nearest")
        pieces, count = ndimage.label(bright)
        sizes = ndimage.sum_labels(bright, pieces, range(1, count + 1))
        whole = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
        reach = settings.border_px // 2
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        inside = ndimage.binary_dilation(whole, y**2 + x**2 <= reach**2)
    else:
        larger = [length + settings.border_px for length in image.shape]
        rows, columns = (np.arange(new) * old // new for new, old in zip(larger, image.shape, strict=True))
        start = settings.border_px // 2
        inside = bright[np.ix_(rows, columns)][start : start + image.shape[0], start : start + image.shape[1]]
    return ndimage.median_filter(inside.astype(np.uint8), settings.median, mode="nearest")


def ours_seconds(names: tuple[str, int]) -> float:
    """The fastest of some rounds over all slices, on one thread."""
    torch.set_num_threads(1)
    line_map, mask = settings_named(names[0])
    images, seconds = slices()[: names[1]], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        lines(images, organ(images, mask), line_map)
        seconds.append(time.perf_counter() - began)
    return min(seconds) / len(images)


def settings_named(name: str) -> tuple[LineMap, OrganMask]:
    if name == "default":
        return line_maps.DEFAULT, organ_masks.DEFAULT
    return line_maps.PRESETS[name], organ_masks.PRESETS[name]


def speed() -> None:
    images = slices()
    print(
        "| preset | one core, slices/s | two processes, slices/s | SciPy, slices/s | faster on one core | pixels that differ |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(ours_seconds, [("brats", 2)] * 2))  # starts both
        for name in ("default", *line_maps.PRESETS):
            line_map, mask = settings_named(name)
            one = ours_seconds((name, SLICES))
            two = sum(1 / seconds for seconds in pool.map(ours_seconds, [(name, SLICES)] * 2))
            began, differ = time.perf_counter(), 0
            plain = []
            for image in images[:16, 0].numpy():
                inside = plain_organ(image, mask)
                plain.append((plain_lines(image, inside, line_map), inside))
            other = (time.perf_counter() - began) / 16
            inside = organ(images[:16], mask)
            drawn = lines(images[:16], inside, line_map)
            for number, pair in enumerate(plain):
                differ += sum(int((a != b[number, 0].numpy()).sum()) for a, b in zip(pair, (drawn, inside), strict=True))
            apart = differ / (2 * 16 * SIDE_PX**2)
            print(f"| {name} | {1 / one:.0f} | {two:.0f} | {1 / other:.0f} | {other / one:.1f}x | {apart:.1e} |")


def presets() -> None:
    """The settings of every preset, as the code has them."""
    names = ["default", *line_maps.PRESETS]
    for first, kind in enumerate((LineMap, OrganMask)):
        shown = [settings_named(name)[first] for name in names]
        differing = [field.name for field in fields(kind) if len({getattr(one, field.name) for one in shown}) > 1]
        print(f"| {['lines', 'organ'][first]} | " + " | ".join(differing) + " |\n|---|" + "---|" * len(differing))
        for name, one in zip(names, shown, strict=True):
            print(f"| {name} | " + " | ".join(str(getattr(one, field)) for field in differing) + " |")
        print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "compare", "presets"])
    parser.add_argument("--data", type=Path, help="for compare: a folder with real images")
    parser.add_argument("--picture", type=Path, help="for compare: a file to draw")
    chosen = parser.parse_args()
    if chosen.what == "compare" and chosen.data is None:
        parser.error("compare needs --data")
    torch.set_num_threads(1)
    {"speed": speed, "presets": presets, "compare": lambda: compare(chosen.data, chosen.picture)}[chosen.what]()
