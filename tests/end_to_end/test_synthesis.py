"""What the losses of seed 003 are for, on small phantoms: a head in two inverted contrasts with a lesion, 32 px.

A lesion loss makes labels true, as a reader that guided nobody sees it; a registration loss makes modalities agree without
making them alike. Some two and a half minutes of one core.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from chromogen.checkpoint import Model, load_model
from chromogen.data.cases.prepared import Prepared, PreparedCase, PreparedData
from chromogen.data.cases.prepared_writer import written_prepared
from chromogen.evaluate.reading.segmentation import dice_of_classes
from chromogen.method import Optimizer, Trainable
from chromogen.methods import modality_translator, renderer, segmenter
from chromogen.structure.lines import LineMap, lines
from chromogen.train.loop import train
from chromogen.train.run import Frozen, Loop, Run

SIDE, TRAIN, TEST = 32, 300, 60
LOOP = Loop(steps=150, batch_size=8, select="last", precision="fp32", log_every=50, save_every=250, validate_every=250)
READER = replace(segmenter.METHOD, modalities=2, width=12, optimizer=Optimizer(lr=3e-3))
TRANSLATOR = replace(
    modality_translator.METHOD,
    modalities=2,
    width=12,
    critic_width=12,
    optimizer=Optimizer(lr=2e-3),
    critic_optimizer=Optimizer(lr=1e-3),
)
RENDERER = replace(
    renderer.METHOD, modalities=2, width=12, critic_width=12, optimizer=replace(renderer.METHOD.optimizer, lr=2e-3),
    critic_optimizer=replace(renderer.METHOD.critic_optimizer, lr=5e-4),
)  # fmt: skip


def ellipse(centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    u = (columns - centre[1]) * np.cos(turn) + (rows - centre[0]) * np.sin(turn)
    v = (rows - centre[0]) * np.cos(turn) - (columns - centre[1]) * np.sin(turn)
    return (u / radii[0]) ** 2 + (v / radii[1]) ** 2 < 1


def head(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images of one head, its organ, and a mask of its lesion; six in seven have one."""
    rng = np.random.default_rng([7, number])
    centre, turn = tuple(SIDE / 2 + rng.uniform(-1.5, 1.5, 2)), rng.uniform(-0.3, 0.3)
    radii = (rng.uniform(0.34, 0.42) * SIDE, rng.uniform(0.36, 0.45) * SIDE)
    inner = (radii[0] * rng.uniform(0.68, 0.8), radii[1] * rng.uniform(0.68, 0.8))
    gap = rng.uniform(2.5, 4)
    organ, white = ellipse(centre, radii, turn), ellipse(centre, inner, turn)
    hollow = np.zeros_like(organ)
    for side in (-1, 1):
        hollow |= ellipse((centre[0] + rng.uniform(-1, 1), centre[1] + side * gap), (1.4, rng.uniform(3, 4.5)), turn)
    lesion = np.zeros_like(organ)
    if rng.random() < 6 / 7:
        for _ in range(50):
            at = (centre[0] + rng.uniform(-0.6, 0.6) * radii[1], centre[1] + rng.uniform(-0.6, 0.6) * radii[0])
            radius = rng.uniform(3, 4.5)
            lesion = ellipse(at, (radius, radius * rng.uniform(0.7, 1.2)))
            if (lesion & white).sum() > 0.95 * lesion.sum():
                break
    images = []
    for grey in ((0.45, 0.7, 0.2, 0.98), (0.65, 0.4, 0.9, 0.08)):
        plane = np.zeros(organ.shape)
        for where, value in zip((organ, white, hollow, lesion), grey, strict=True):
            plane[where] = value
        images.append(np.clip(ndimage.gaussian_filter(plane, 0.5) + rng.normal(0, 0.02, plane.shape), 0, 1))
    return np.stack(images)[:, None].astype(np.float32), organ.astype(np.uint8), lesion.astype(np.uint8)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads") / "prepared"
    with written_prepared(folder, "heads", ("bright", "inverted"), "mask", ("none", "lesion")) as writer:
        for number in range(TRAIN + TEST):
            images, organ, lesion = head(number)
            planes = [torch.from_numpy(plane[None, None].astype(np.float32)) for plane in (images[0, 0], organ, lesion)]
            drawn = lines(planes[0], planes[1], LineMap(density=0.18, lesion_margin_px=2), planes[2])
            split = "train" if number < TRAIN else "val"
            case = PreparedCase(f"head-{number}", f"head-{number}", split, (1.0, 1.0), "synthetic")
            writer.add(case, images, drawn[0, 0].numpy().astype(np.uint8), organ, lesion)
    return folder


def trained(method: Trainable, cases: Path, out: Path, loop: Loop = LOOP, guides: tuple[Model, ...] = ()) -> Model:
    frozen = tuple(Frozen(str(out.parent / guide.card.title / "last.safetensors"), guide.sha256) for guide in guides)
    train(Run(method, PreparedData(str(cases)), loop, out.name, frozen=frozen), out, device="cpu", quiet=True)
    return load_model(out / "last.safetensors")


def drawn_anew(model: Model, cases: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Held-out cases rendered from their own lines and label; and the labels."""
    prepared = Prepared(cases)
    batch = prepared.batch(list(prepared.of_split("val")))
    planes = torch.nn.functional.one_hot(batch["mask"], 2).permute(0, 3, 1, 2).float()
    images = model.method.render(model.nets, batch["lines"], batch["organ"], planes, torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    return images, batch["mask"].numpy()


def dice_of_reader(reader: Model, images: torch.Tensor, masks: np.ndarray) -> float:
    found = []
    for modality in range(2):
        called = reader.nets["reader"](images[:, modality], modality).argmax(1).numpy()
        found += [dice_of_classes(one, mask, 2)[1] for one, mask in zip(called, masks, strict=True) if mask.any()]
    return float(np.mean(found))


def disagreement(translator: Model, images: torch.Tensor) -> float:
    """Mean squared difference of each modality and the other one translated into it."""
    pairs = [(images[:, i], translator.nets["translator"](images[:, 1 - i], i)) for i in range(2)]
    return float(np.mean([float((image - made).square().mean()) for image, made in pairs]))


def test_the_lesion_loss_makes_labels_true_and_the_registration_loss_makes_modalities_agree(
    cases: Path, tmp_path: Path
) -> None:
    reader = trained(READER, cases, tmp_path / "reader")
    independent = trained(READER, cases, tmp_path / "check", replace(LOOP, seed=1))
    translator = trained(TRANSLATOR, cases, tmp_path / "translator", replace(LOOP, steps=250))
    prepared = Prepared(cases)
    real = prepared.batch(list(prepared.of_split("val")))
    assert dice_of_reader(independent, real["images"], real["mask"].numpy()) > 0.9

    full = trained(RENDERER, cases, tmp_path / "full", guides=(reader, translator))
    alone = trained(replace(RENDERER, registration=False), cases, tmp_path / "alone", guides=(reader,))
    unread = trained(replace(RENDERER, registration=False, lesion=False), cases, tmp_path / "unread")
    images = {name: drawn_anew(model, cases) for name, model in (("full", full), ("alone", alone), ("unread", unread))}
    dice = {name: dice_of_reader(independent, *made) for name, made in images.items()}
    assert dice["full"] > 0.7 and dice["alone"] > 0.7 and dice["unread"] < 0.3, dice

    apart = {name: disagreement(translator, made) for name, (made, _) in images.items()}
    assert apart["full"] < apart["alone"] / 2, apart
    contrast = {name: float((made[:, 0] - made[:, 1]).abs().mean()) for name, (made, _) in images.items()}
    contrast_of_real = float((real["images"][:, 0] - real["images"][:, 1]).abs().mean())
    assert contrast["full"] > 0.7 * contrast_of_real, (contrast, contrast_of_real)


def test_two_runs_with_one_seed_are_identical(cases: Path, tmp_path: Path) -> None:
    few = replace(LOOP, steps=3)
    reader = trained(READER, cases, tmp_path / "reader", few)
    for name in ("a", "b"):
        trained(replace(RENDERER, registration=False), cases, tmp_path / name, few, guides=(reader,))
    first, second = (load_model(tmp_path / name / "last.safetensors") for name in ("a", "b"))
    assert all(torch.equal(value, second.nets.state_dict()[key]) for key, value in first.nets.state_dict().items())
