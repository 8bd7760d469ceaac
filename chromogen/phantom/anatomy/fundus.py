"""Phantom photographs of the back of an eye: disc, macula, arteries and veins, and the mask of the vessels."""

from dataclasses import dataclass

import numpy as np

from chromogen.phantom.anatomy.branching import Tree, grow
from chromogen.phantom.anatomy.canvas import Canvas, ellipse, soft, tubes
from chromogen.phantom.anatomy.case import AnatomyCase, check_knobs, streams
from chromogen.phantom.noise import Field

EXTENT_MM = 14.0  # on the retina, of a 45 degree camera with its black frame
FIELD_MM = 6.6  # radius of what the camera sees
MACULA_MM = 4.5  # from the middle of the disc


@dataclass(frozen=True)
class Fundus:
    """What to draw. Pixel spacing is 14 mm / size_px."""

    size_px: int = 128
    noise: float = 0.015  # deviation, of a full range of 1
    vessel_contrast: float = 1.0  # 0 vessels cannot be seen, 1 as in patients
    thinnest_mm: float = 0.028  # radius of the last vessels

    def __post_init__(self) -> None:
        check_knobs(self, (("noise", 0.0, 0.3), ("vessel_contrast", 0.0, 1.5), ("thinnest_mm", 0.015, 0.1)))


@dataclass(frozen=True)
class _Eye:
    """One retina: places in mm, (y, x), and colours."""

    side: float  # 1 when the macula lies to the right of the disc
    disc: tuple[float, float]
    disc_half: tuple[float, float]
    cup: float  # of the disc's half axes
    macula: tuple[float, float]
    colour: tuple[float, float, float]


def draw_fundus(fundus: Fundus, seed: int, number: int) -> AnatomyCase:
    """Case `number` of a seed. `mask` is 1 in vessels at least a pixel wide, `organ` is what the camera sees.

    Raises ValueError for a negative seed or number.
    """
    for_eye, for_vessels, for_light, for_noise = streams(seed, number, 4)
    canvas = Canvas(fundus.size_px, EXTENT_MM)
    y, x = canvas.points_mm()
    eye = _eye(for_eye)
    view = soft(FIELD_MM - np.hypot(y, x), canvas.grid.step_um)
    artery, vein = (_depth(canvas, eye, tree) for tree in _trees(for_vessels, eye, fundus.thinnest_mm))
    colours = _retina(for_light, canvas, eye, y, x)
    colours = _with_vessels(colours, artery, vein, canvas.grid.step_um, fundus.vessel_contrast)
    light = 1 - 0.20 * ((y / FIELD_MM) ** 2 + (x / FIELD_MM) ** 2) + 0.06 * canvas.noise(for_light, 8.0)
    image = canvas.seen(colours * (light * view)[..., None])
    image += np.float32(fundus.noise) * for_noise.standard_normal(image.shape, dtype=np.float32)
    organ = (canvas.seen(view) > 0.5).astype(np.uint8)
    vessel = (np.maximum(artery, vein) > 0) & (view > 0.5)
    return AnatomyCase(
        name=f"fundus-{number:04d}",
        patient=f"fundus-{number:04d}",
        images={"colour": np.clip(image, 0, 1) * organ[..., None]},
        mask=canvas.seen_classes(vessel.astype(np.uint8), 1) * organ,
        category=None,
        boxes=None,
        organ=organ,
        spacing_mm=canvas.spacing_mm,
    )


def _eye(rng: np.random.Generator) -> _Eye:
    side = rng.choice([-1.0, 1.0])
    macula = (rng.normal(0.3, 0.3), side * rng.normal(0.5, 0.4))
    disc = (macula[0] - rng.normal(0.5, 0.25), macula[1] - side * rng.normal(MACULA_MM, 0.2))
    radius = rng.normal(0.88, 0.05)
    half = (radius * rng.uniform(1.02, 1.12), radius * rng.uniform(0.9, 0.98))
    red, green = rng.uniform(0.66, 0.86), rng.uniform(0.30, 0.44)
    return _Eye(side, disc, half, rng.uniform(0.3, 0.62), macula, (red, green * red / 0.76, rng.uniform(0.08, 0.2)))


def _trees(rng: np.random.Generator, eye: _Eye, thinnest_mm: float) -> list[Tree]:
    """Arteries and veins: two arcades around the macula and two nasal stems each, out of the disc."""
    macula, disc = np.array(eye.macula), np.array(eye.disc)

    def pull(places: np.ndarray, ways: np.ndarray) -> np.ndarray:
        """Around the macula at about 3 mm, and never into it."""
        to_macula = macula - places
        distance = np.linalg.norm(to_macula, axis=1, keepdims=True)
        temporal = eye.side * (places[:, 1:] - disc[1]) > 0.2
        arc = 0.16 * np.tanh((distance - 2.9) / 1.2)
        away = -0.9 * np.exp(-((distance / 1.1) ** 2))
        return (temporal * arc + away) * to_macula / np.maximum(distance, 0.1)

    made = []
    for thick in (0.066, 0.086):  # radii of the large arteries and veins
        angles = np.deg2rad(np.array([66, -66, 128, -128]) + rng.normal(0, 9, 4))
        ways = np.stack([-np.sin(angles), eye.side * np.cos(angles)], axis=1)
        starts = disc + ways * 0.1 + rng.normal(0, 0.08, (4, 2))
        radii = thick * np.array([1.0, 1.0, 0.78, 0.78]) * rng.uniform(0.85, 1.15, 4)
        made.append(grow(rng, starts, ways, radii, 17.0, thinnest_mm, 0.16, pull))
    return made


def _depth(canvas: Canvas, eye: _Eye, tree: Tree) -> Field:
    """mm inside the vessels of a tree; none in the middle of the macula."""
    step_mm = canvas.grid.step_um
    places, radius = tree.points(0.4 * step_mm)
    seen = (np.hypot(*(places - eye.macula).T) > 0.35) & (np.hypot(*places.T) < FIELD_MM + 0.3)
    return tubes(canvas, places[seen], radius[seen])


def _retina(rng: np.random.Generator, canvas: Canvas, eye: _Eye, y: Field, x: Field) -> np.ndarray:
    """Colours without vessels, (H', W', 3): pigment and choroid, macula, disc with its cup."""
    choroid = 0.035 * canvas.noise(rng, 1.6) + 0.05 * canvas.noise(rng, 5.0) + 0.015 * canvas.noise(rng, 0.5)
    colours = np.asarray(eye.colour, np.float32) * (1 + choroid)[..., None]
    from_macula = np.hypot(y - eye.macula[0], x - eye.macula[1])
    dark = 0.32 * np.exp(-((from_macula / 1.0) ** 2)) + 0.18 * np.exp(-((from_macula / 0.28) ** 2))
    colours *= 1 - dark[..., None] * np.array([0.55, 0.9, 0.6], np.float32)
    edge_mm = canvas.grid.step_um + 0.10
    disc = soft(ellipse(y, x, eye.disc, eye.disc_half), edge_mm)[..., None]
    cup_half = (eye.disc_half[0] * eye.cup, eye.disc_half[1] * eye.cup)
    cup_middle = (eye.disc[0], eye.disc[1] + eye.side * 0.08)
    cup = soft(ellipse(y, x, cup_middle, cup_half), edge_mm + 0.1)[..., None]
    bright = np.array([0.97, 0.74, 0.42], np.float32) * np.float32(0.9 + 0.13 * eye.colour[0])
    colours += disc * (bright - colours)
    return colours + cup * (np.array([1.0, 0.90, 0.66], np.float32) - colours) * 0.8


def _with_vessels(colours: np.ndarray, artery: Field, vein: Field, step_mm: float, contrast: float) -> np.ndarray:
    """Blood takes light away, most of it green; wide arteries have a bright line in the middle."""
    absorbed = {"artery": np.array([0.18, 0.46, 0.34], np.float32), "vein": np.array([0.34, 0.60, 0.44], np.float32)}
    for depth, taken in ((artery, absorbed["artery"]), (vein, absorbed["vein"])):
        covered = np.float32(contrast) * soft(depth, step_mm) * np.clip(0.62 + depth / 0.10, 0.3, 1)
        colours = colours * (1 - covered[..., None] * taken)
    reflex = soft(artery - 0.05, step_mm)[..., None]
    return colours * (1 + np.float32(0.35 * contrast) * reflex)
