"""One set of made cases against the real ones: how alike in features, how varied, in register, readable, and whose copies.

The reference are training cases, evenly spaced, as many as are made. What a copier gains by that, the columns of copies take
back; and the held-out control, real cases of other patients, says what there is to be reached. Every measure of images is a
mean over modalities.

Deviations from the source, Tables 2 and 3 of Qu's thesis
- FID is of the extractors that the plan names, by default not Inception's; MS-SSIM is printed within and between the sets.
- One training a system; section 5.2 keeps the best of four.
- Missing: Ours+, tumours cut out by their labels and scored alone.
- Missing: GAN#, DCGAN with a U-Net for generator and VGG11 for critic.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromogen.bench.synthesis.plan import CONTROL_PREFIX, Plan
from chromogen.bench.utility.measures import lacking_any, measured
from chromogen.bench.utility.readers import Reading, trained
from chromogen.bench.utility.study import TABLES
from chromogen.checkpoint import Card, load_model, save_model
from chromogen.data.cases.prepared import Prepared
from chromogen.devices import pick_device
from chromogen.evaluate.distribution.distances import distribution
from chromogen.evaluate.distribution.diversity import similarity_of_sets
from chromogen.evaluate.distribution.extractors import extractor_named
from chromogen.evaluate.pixels.modality_registration import registration
from chromogen.evaluate.reading.usefulness import MIXTURES
from chromogen.files import written_whole
from chromogen.structure.lines import lines
from chromogen.structure.organ import organ
from chromogen.synthesize.audit import Audit, Gate
from chromogen.synthesize.made import MadeCase

READER = "reader.safetensors"
PAIRS = 200  # of images, for a mean of MS-SSIM
REGISTERED = 64  # cases at most whose modalities are compared
LOOKED_AT = 64  # cases in one look of the audit
MEASURED = ("fid", "kid", "precision", "recall", "density", "coverage")

Scores = dict[str, Any]


def score(plan: Plan, system: str, out: Path, made: Prepared) -> Scores:
    """All measures of one system; NaN for those that do not apply (one modality, no labels, too few cases)."""
    real = plan.prepared()
    reference = _spaced(real.of_split("train"), plan.count)
    everything = np.arange(len(made))
    scores: Scores = {"cases": len(made)}
    for name in plan.extractors:
        key = name.partition(":")[0]
        sets = [
            [_features(name, of, numbers, k, file) for k in range(len(real.index.modalities))]
            for of, numbers, file in (
                (real, reference, out / "reference" / f"{key}-{plan.count}-{real.identity[:10]}"),
                (made, everything, made.root.parent / f"features-{key}"),
            )
        ]
        scores |= _distributions(key, *sets)
    scores |= _variety(_uint8(real, reference), _uint8(made, everything), plan.seed)
    scores |= _registered(_grey(made, _spaced(everything, REGISTERED)))
    scores |= _read(out / READER, made, plan)
    scores |= _copied(real, made) if system != f"{CONTROL_PREFIX}held-out" else {}
    return scores


def train_the_reader(plan: Plan, path: Path) -> None:
    """A reader of real training cases that guides nobody, into a file; none for cases without labels."""
    real = plan.prepared()
    if real.index.label == "none" or path.is_file():
        return
    reading = Reading(plan.reader_steps, plan.batch_size, plan.reader_width)
    deciding = TABLES[5].score(real.index.label)
    reader = trained(real, None, MIXTURES[0], reading, plan.seed + 1, deciding, pick_device(plan.device))
    card = Card("reader of a bench", "", "", data=real.index.title, data_licence=real.index.licence, step=reader.step)
    save_model(path, reader.method, reader.nets.cpu(), card)


def _features(name: str, cases: Prepared, numbers: np.ndarray, modality: int, file: Path) -> np.ndarray:
    """Features of one modality, from the file where they were put before."""
    path = file.with_name(f"{file.name}-{modality}.npy")
    if not path.is_file():
        features = extractor_named(name).features(_rgb(one) for one in _uint8(cases, numbers)[modality])
        with written_whole(path) as partial, partial.open("wb") as handle:
            np.save(handle, features)
    return np.load(path)


def _distributions(key: str, real: Sequence[np.ndarray], fake: Sequence[np.ndarray]) -> Scores:
    each = [distribution(*pair, key) for pair in zip(real, fake, strict=True)]
    wanted = [f"{name}{part}[{key}]" for name in MEASURED for part in ("", "_floor")]
    return {name: float(np.mean([float(one[name]) for one in each])) for name in wanted}


def _variety(real: np.ndarray, fake: np.ndarray, seed: int) -> Scores:
    """MS-SSIM in and between the sets. The key carries the number of scales, which follows from the size."""
    found = [similarity_of_sets(*pair, PAIRS, seed).named for pair in zip(real, fake, strict=True)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _registered(cases: np.ndarray) -> Scores:
    """Shift in px and overlap of the lines of two modalities, means over pairs of modalities; nothing for one modality."""
    if cases.shape[1] < 2:
        return {}
    drawn = np.stack([np.stack([_lines(image) for image in case]) for case in cases])
    pairs = registration(cases, drawn)
    return {
        "shift_px": float(np.mean([pair.shift_px for pair in pairs])),
        "line_overlap": float(np.mean([pair.line_overlap for pair in pairs])),
    }


def _lines(image: np.ndarray) -> np.ndarray:
    """The lines of one image, everywhere where no organ can be told from the background."""
    tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    try:
        inside = organ(tensor)
    except ValueError:
        inside = torch.ones_like(tensor)
    return lines(tensor, inside)[0, 0].numpy()


def _read(reader: Path, made: Prepared, plan: Plan) -> Scores:
    """How well a reader of real cases finds the labels that cases were made with; nothing for cases without labels."""
    if made.index.label == "none" or not reader.is_file():
        return {}
    model, device = load_model(reader), pick_device(plan.device)
    found = measured(model.method, model.nets.to(device), made, np.arange(len(made)), device)
    deciding = TABLES[5].score(made.index.label)
    lack = {} if made.index.label == "category" else {"read_lacking": lacking_any(made, np.arange(len(made)))}
    return {"read": found[deciding], "read_as": deciding} | lack | {f"read_{name}": value for name, value in found.items()}


def _copied(real: Prepared, made: Prepared) -> Scores:
    audit = Audit(real, Gate())
    records = []
    for first in range(0, len(made), LOOKED_AT):
        cases = [_as_made(made, k) for k in range(first, min(first + LOOKED_AT, len(made)))]
        records += [{"audit": found} for found in audit.look(cases)]
    facts = audit.summary(records)
    return {
        "copies": facts["copies"] / len(records) if facts["threshold_ncc"] is not None else math.nan,
        "authentic": facts["authentic_share"],
        "nearness": facts["nearness"]["share"] if "nearness" in facts else math.nan,
    }


def _as_made(made: Prepared, number: int) -> MadeCase:
    plane = np.asarray(made.arrays["lines"][number])
    return MadeCase(made.index.cases[number].name, np.asarray(made.arrays["images"][number], np.float32), plane, plane)


def _spaced(numbers: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the numbers, evenly spaced: neighbours are slices of one patient."""
    return numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), most)).round().astype(int)]


def _uint8(cases: Prepared, numbers: np.ndarray) -> np.ndarray:
    """(modalities, N, H, W), or (modalities, N, H, W, 3), of grey levels."""
    images = np.stack([np.asarray(cases.arrays["images"][k], np.float32) for k in numbers], axis=1)
    pixels = np.rint(images.clip(0, 1) * 255).astype(np.uint8)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(np.moveaxis(pixels, 2, -1))


def _grey(cases: Prepared, numbers: np.ndarray) -> np.ndarray:
    """(N, modalities, H, W) in [0, 1], means of the channels."""
    return np.stack([np.asarray(cases.arrays["images"][k], np.float32).mean(axis=1) for k in numbers])


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
