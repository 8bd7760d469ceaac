"""How the model inside the package, her2-demo, was made: phantom tissue first, then the eight real pairs of BCI.

BCI is a folder with HE/ and IHC/ of the eight pairs, TWO one with the two pairs of HELD_OUT (BCI's licence: non-commercial).

    chromogen train recipes/embedded.py:phantom  --out runs/phantom
    chromogen train recipes/embedded.py:left_out --out runs/left-out --data.root BCI
    chromogen train recipes/embedded.py:final    --out runs/final    --data.root BCI
    chromogen translate -i TWO/HE -o runs/two --model runs/left-out/last.safetensors
    chromogen evaluate --pred runs/two --target TWO/IHC --source TWO/HE --out runs/two-scores
    python recipes/embedded.py runs/final runs/two-scores/metrics.json      # writes chromogen/models/her2-demo.safetensors

`left_out` trains on six pairs and is scored on the other two, chosen before anything was trained: one of a low level, one of
a high one, each with a sister of its level among the six. `final` is the same on all eight; nothing real is left to score it
on, so its card carries the scores of `left_out`.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from chromogen.checkpoint import Card, load_model, save_model
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.files import written_whole
from chromogen.method import Optimizer
from chromogen.methods import pyramid_pix2pix
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.train.run import Loop, Run

HELD_OUT = ("00007_test_1+", "00052_test_3+")
LICENCE = "weights are a derivative of BCI: non-commercial use only, cite Liu et al., CVPRW 2022"

# Aligned phantoms allow L1 at full size. The eight real pairs are neighbouring sections that do not match cell by cell, and
# they taught little: a thousand steps with weights of the usual kind blurred the cells away and drew droplets; three hundred on
# the coarsest octave chased the chance brightness of each slide; two hundred in the light of the source left a pink veil. The
# model of the phantoms stains real tissue better than any of those. So the second stage is a touch: slow, short, colours at
# an eighth of the size. The weights are our choice.
ON_PHANTOMS = replace(pyramid_pix2pix.VARIANTS["narrow"], width=24, discriminator_width=24)
ON_TISSUE = replace(
    ON_PHANTOMS, weight_gan=0.0, weight_l1=0.0, weight_octaves=(0.0, 0.0, 25.0), optimizer=Optimizer(lr=5e-6)
)  # fmt: skip


def phantom() -> Run:
    """A quarter of an hour on two cores."""
    tissue = Phantom(size_px=256, her2_signal=2.0)
    data = PhantomData(phantom=tissue, train_pairs=1000, validation_pairs=16, crop_px=128, stain_jitter=0.15)
    loop = Loop(steps=3_000, batch_size=4, ema=0.998, validate_every=500, save_every=250)
    return Run(ON_PHANTOMS, data, loop, title="her2-demo, first stage: phantom tissue")


def left_out() -> Run:
    """Six real pairs; one minute on one core."""
    data = FolderData(root=Path("BCI"), crop_px=192, held_out=HELD_OUT, same_glass=True, licence=LICENCE)
    loop = Loop(steps=100, batch_size=2, validate_every=50, save_every=50, validation_px=1024, select="last")
    return Run(ON_TISSUE, data, loop, title="her2-demo, six real pairs", start_from="runs/phantom/last.safetensors")


def final() -> Run:
    """All eight real pairs, as long as `left_out`."""
    run = left_out()
    data = replace(run.data, held_out=(), validation_share=0.0)
    return replace(run, data=data, title="her2-demo")


NOTES = (
    "A demonstration: a small network, phantoms and eight patches of BCI. It has not learned to grade HER2, and what it shows "
    "of HER2 must not be believed. Other scanners, stains and tissues were never seen. "
    "Scores: two pairs left out of a first run with the same recipe; the released weights saw all eight."
)


def pack(run: Path, scores: Path, folder: Path) -> None:
    """Write the released file and its model card from the final run and the scores of the run that left two pairs out."""
    model = load_model(run / "last.safetensors")
    measured = json.loads(scores.read_text(encoding="utf-8"))
    rows = {"this model (first run)": measured["overall"]} | {
        f"control: {name.replace('_', ' ')}": control for name, control in measured["controls"].items()
    }
    numbers = {row: {key: round(value[key], 3) for key in ("psnr", "ssim", "sharpness")} for row, value in rows.items()}
    card = Card(
        title="H&E to HER2 IHC, a demonstration",
        data="phantom tissue (1000 pairs), then 8 BCI pairs of 1024x1024 px, from its test split",
        data_licence=LICENCE,
        step=model.card.step,
        scores={"protocol": measured["profile"], "pairs": measured["expected"], "left_out": list(HELD_OUT), **numbers},
        notes=NOTES,
    )
    save_model(folder / "her2-demo.safetensors", model.method, model.nets, card, dtype=torch.float16)
    lines = [
        f"# {card.title}",
        f"**{card.intended_use}**",
        card.notes,
        f"- Method: PyramidPix2pix with {model.method.width} filters and {model.method.blocks} blocks, bilinear upsampling.",
        f"- Data: {card.data}. Phantoms have 0.5 um/px; BCI does not state its own.",
        f"- Licence: {card.data_licence}.",
        "- Made by `recipes/embedded.py`, whose docstring holds the commands.",
        f"Scores on {' and '.join(HELD_OUT)} (n = {measured['expected']}), protocol {measured['profile']}:",
        "| | PSNR (dB) | SSIM | sharpness ratio |\n|---|---|---|---|",
    ]
    table = [f"| {row} | {n['psnr']:.2f} | {n['ssim']:.3f} | {n['sharpness']:.2f} |" for row, n in numbers.items()]
    with written_whole(folder / "her2-demo.md") as partial:
        partial.write_text("\n\n".join(lines) + "\n" + "\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parents[1] / "chromogen" / "models")
