"""Phantom chest X-rays: lungs, heart, ribs, spine, diaphragm, and in some an opacity with its mask.

Each part adds to what the beam passes on its way; the film is brighter where more is passed.
"""

from dataclasses import dataclass

import numpy as np

from chromogen.phantom.anatomy.canvas import Canvas, ellipse, soft
from chromogen.phantom.anatomy.case import AnatomyCase, check_knobs, share_of, streams
from chromogen.phantom.noise import Field

CATEGORIES = ("normal", "opacity")
EXTENT_MM = 400.0


@dataclass(frozen=True)
class Chest:
    """What to draw. Pixel spacing is 400 mm / size_px."""

    size_px: int = 128
    noise: float = 0.015  # deviation, of a full range of 1
    opacity_share: float = 0.5  # of the cases; exact to one case, for the first n of any seed
    opacity_size: float = 1.0  # factor of the radii
    opacity_contrast: float = 1.0  # 0 opacities cannot be seen, 1 as in patients

    def __post_init__(self) -> None:
        check_knobs(self, _LIMITS)


_LIMITS = (
    ("noise", 0.0, 0.3),
    ("opacity_share", 0.0, 1.0),
    ("opacity_size", 0.3, 2.5),
    ("opacity_contrast", 0.0, 1.5),
)


@dataclass(frozen=True)
class _Trunk:
    """One patient's measures in mm; y grows downwards, x to the right of the picture, which is the patient's left."""

    top: float  # apex of the lungs
    dome: tuple[float, float]  # height of the diaphragm, left and right in the picture
    half: float  # width of the rib cage at its widest
    heart: tuple[float, float]  # half axes
    heart_tilt: float
    rib_gap: float
    rib_drop: float  # of a rear rib from the spine to the side
    shoulder: float
    fat: float


def draw_chest(chest: Chest, seed: int, number: int) -> AnatomyCase:
    """Case `number` of a seed. `category` is 1 with an opacity, `mask` is where it is, `organ` are the lungs' fields.

    Raises ValueError for a negative seed or number.
    """
    for_trunk, for_opacity, for_film, for_noise = streams(seed, number, 4)
    canvas = Canvas(chest.size_px, EXTENT_MM)
    y, x = canvas.points_mm()
    tilt = np.float32(for_trunk.normal(0, 0.025))
    y, x = y + for_trunk.normal(0, 5), x + tilt * y + np.float32(for_trunk.normal(0, 5))
    trunk = _trunk(for_trunk)
    edge_mm = canvas.grid.step_um + 1.0
    lungs = _lungs(trunk, canvas, for_trunk, y, x)
    film = _film(trunk, canvas, for_film, y, x, lungs, edge_mm)
    organ = canvas.seen_classes((lungs > 0).astype(np.uint8), 1)

    ill = share_of(number, chest.opacity_share)
    opacity = _opacity(for_opacity, canvas, y, x, lungs, chest.opacity_size)
    mask = canvas.seen_classes((opacity > 0.5).astype(np.uint8), 1) * organ * ill
    if ill:
        film = film + np.float32(0.26 * chest.opacity_contrast) * opacity
    image = canvas.seen(film) + np.float32(chest.noise) * for_noise.standard_normal(organ.shape, dtype=np.float32)
    return AnatomyCase(
        name=f"chest-{number:04d}",
        patient=f"chest-{number:04d}",
        images={"X-ray": np.clip(image, 0, 1)},
        mask=mask.astype(np.uint8),
        category=int(ill),
        boxes=None,
        organ=organ,
        spacing_mm=canvas.spacing_mm,
    )


def _trunk(rng: np.random.Generator) -> _Trunk:
    half = rng.normal(136, 7)
    dome = rng.normal(92, 9)
    return _Trunk(
        top=rng.normal(-142, 6),
        dome=(dome - rng.uniform(4, 16), dome),
        half=half,
        heart=(rng.normal(66, 5), half * rng.uniform(0.40, 0.52)),
        heart_tilt=rng.uniform(0.35, 0.75),
        rib_gap=rng.normal(25, 1.2),
        rib_drop=rng.uniform(22, 42),
        shoulder=rng.normal(-128, 7),
        fat=rng.uniform(8, 26),
    )


def _cage_half(trunk: _Trunk, y: Field) -> Field:
    """Half width of the inside of the rib cage at a height."""
    t = np.clip((y - trunk.top) / (trunk.dome[1] + 40 - trunk.top), 0, 1)
    return trunk.half * np.sqrt(np.clip(1 - (1 - t) ** 2.6, 0, 1)) * np.float32(0.98)


def _heart(trunk: _Trunk, y: Field, x: Field) -> Field:
    """mm inside the heart and the great vessels."""
    cos, sin = np.cos(trunk.heart_tilt), np.sin(trunk.heart_tilt)
    dy, dx = y - (trunk.dome[1] - 46), x - 22
    heart = ellipse(cos * dx - sin * dy, sin * dx + cos * dy, (0, 0), (trunk.heart[1] * 0.86, trunk.heart[0]), 2.2)
    root = ellipse(y, x, (-22, 2), (62, 27), 2.4)
    knob = ellipse(y, x, (-58, 24), (17, 15))
    return np.maximum.reduce([heart, root, knob])


def _lungs(trunk: _Trunk, canvas: Canvas, rng: np.random.Generator, y: Field, x: Field) -> Field:
    """mm inside the lungs' fields, beside heart and mediastinum and above the diaphragm."""
    bend = np.float32(1.8) * canvas.noise(rng, 45.0)
    side = np.sign(x)
    dome = np.where(side < 0, trunk.dome[0], trunk.dome[1])
    inside = _cage_half(trunk, y) - np.abs(x)
    across = (np.abs(x) - 0.50 * trunk.half) / (0.50 * trunk.half)
    above = dome + 34 * np.clip(across, -0.4, 1.1) ** 2 + 8 * across - y
    middle = np.abs(x) - (15 + 7 * np.exp(-(((y + 20) / 50) ** 2)) + 0.02 * np.abs(y + 40))
    apex = ellipse(y, np.abs(x), (trunk.top + 145, 0.47 * trunk.half), (147, 0.60 * trunk.half), 2.6)
    return np.minimum.reduce([inside, above, middle, apex, -_heart(trunk, y, x)]) + bend


def _film(trunk: _Trunk, canvas: Canvas, rng: np.random.Generator, y: Field, x: Field, lungs: Field, edge_mm: float) -> Field:
    """The healthy film, about 0 in air to 1."""
    body = _body(trunk, y, x)
    skin = soft(body, 2 * edge_mm) * (0.53 + 0.22 * (1 - np.exp(-np.maximum(body, 0) / 50)))
    air = 0.47 * soft(lungs, edge_mm) * (0.62 + 0.38 * (1 - np.exp(-np.maximum(lungs, 0) / 16)))
    windpipe = 0.10 * soft(np.minimum(8 - np.abs(x - 1), -28 - y), 2 * edge_mm)
    ribs = _ribs(trunk, y, x, edge_mm) * soft(_cage_half(trunk, y) + 7 - np.abs(x), edge_mm)
    spine = 0.085 * soft(17 - np.abs(x), 3 * edge_mm) * (1 + 0.16 * np.sin(y * np.float32(2 * np.pi / 24)))
    clavicle = _clavicles(trunk, y, x, edge_mm) * soft(body - 4, 4 * edge_mm)
    heart = 0.075 * soft(_heart(trunk, y, x), 2 * edge_mm)
    belly = 0.06 * soft(y - trunk.dome[1] + 6, 20.0) * soft(body, edge_mm)
    hila = np.exp(-(((np.abs(x) - 40) / 20) ** 2) - ((y - 2) / 30) ** 2)
    strands = 1 - np.minimum(np.abs(canvas.noise(rng, 16.0)), np.abs(canvas.noise(rng, 22.0))) * 2.2
    marks = soft(lungs, edge_mm) * (0.09 * hila + 0.055 * np.clip(strands, 0, 1) * np.exp(-(np.hypot(np.abs(x) - 38, y) / 62)))
    exposure = rng.normal(0, 0.02) + 0.012 * canvas.noise(rng, 120.0)
    parts = skin - air - windpipe + ribs + spine * soft(body, edge_mm) + clavicle + heart + belly + marks
    return (np.clip(parts, 0.02, None) * rng.uniform(0.90, 1.03) + exposure * soft(body, edge_mm)).astype(np.float32)


def _body(trunk: _Trunk, y: Field, x: Field) -> Field:
    """mm inside the skin."""
    chest = trunk.half + 20 + trunk.fat + 0.05 * np.maximum(y, 0) - np.abs(x)
    slope = y - (trunk.shoulder - 58) - 0.0042 * (np.abs(x) - 48) * np.abs(np.abs(x) - 48)
    arm = np.minimum(y - trunk.shoulder + 8, 0.10 * (y - trunk.shoulder) + 60 - np.abs(np.abs(x) - trunk.half - 40))
    neck = 54 + 0.05 * (y - trunk.top) - np.abs(x)
    trunk_depth = np.minimum(chest, slope)
    return np.maximum.reduce([trunk_depth, np.minimum(arm, slope), neck])


def _ribs(trunk: _Trunk, y: Field, x: Field, edge_mm: float) -> Field:
    """Rear ribs fall gently to the side, front ribs rise from the middle to the side; both with brighter borders."""
    out = np.abs(x) / trunk.half
    made = np.zeros_like(y)
    for number in range(10):
        spine_y = trunk.top + 2 + number * trunk.rib_gap
        rear = spine_y - 15 * np.sin(np.pi * np.clip(out * 1.1, 0, 1)) * (1 - 0.05 * number) + trunk.rib_drop * out**2.2
        inside = 5.0 - np.abs(y - rear)
        band = soft(inside, edge_mm) * soft(np.abs(x) - 18, 6.0)
        made = np.maximum(made, band * (0.085 + 0.045 * np.exp(-np.maximum(inside, 0) / 1.5)))
        if 1 <= number <= 6:
            front = spine_y + 16 + trunk.rib_drop + 58 * np.maximum(1 - out, 0) ** 1.2
            inside = 5.5 - np.abs(y - front)
            band = soft(inside, edge_mm) * soft((out - 0.36) * trunk.half, 14.0)
            made = made + band * (0.045 + 0.025 * np.exp(-np.maximum(inside, 0) / 1.5))
    return made


def _clavicles(trunk: _Trunk, y: Field, x: Field, edge_mm: float) -> Field:
    out = (np.abs(x) - 18) / 120
    centre = trunk.top + 22 - 34 * out + 9 * np.sin(out * 2 * np.pi)
    inside = np.minimum(6.2 - np.abs(y - centre), (0.5 - np.abs(out - 0.5)) * 120)
    return soft(inside, edge_mm) * (0.11 + 0.04 * np.exp(-np.maximum(inside, 0) / 2))


def _opacity(rng: np.random.Generator, canvas: Canvas, y: Field, x: Field, lungs: Field, size: float) -> Field:
    """One to three cloudy patches in the lungs, 0 to 1. Drawn for every case, so that health changes nothing else."""
    candidates = np.flatnonzero(lungs > 14)
    clouds = np.full(y.shape, -60, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12])):
        at = candidates[int(rng.uniform() * len(candidates))]
        half = size * rng.uniform(17, 36) * rng.uniform(0.8, 1.25, 2)
        clouds = np.maximum(clouds, ellipse(y, x, (y.flat[at], x.flat[at]), tuple(half)))
    clouds += size * (5 * canvas.noise(rng, 26.0) + 2.5 * canvas.noise(rng, 11.0))
    texture = 1 - 0.14 * np.abs(canvas.noise(rng, 7.0))
    return soft(clouds, 13 * size) * soft(lungs, canvas.grid.step_um + 1) * texture
