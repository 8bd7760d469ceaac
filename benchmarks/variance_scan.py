"""What the weight of the variance penalty does, on phantom tissue; prints a Markdown table.

    OMP_NUM_THREADS=1 python benchmarks/variance_scan.py            # five weights, 64 px: about three minutes on one free core
    OMP_NUM_THREADS=1 python benchmarks/variance_scan.py --steps 3000 --size-px 128 --narrow 4 --seeds 0 1 2

variance_pyramid, its widths divided by --narrow, trains with each weight on the same phantoms (levels in turn) from the same
first weights; then it translates held-out phantoms, equally many of each level. Weight 0 is PyramidPix2pix. With several seeds
each number is the mean over them. How to read the columns:

- share at the start: of the penalty, in the sum of the generator's terms at its first step
- sharpness: energy of fine detail relative to the real image; blur is below 1
- diversity: standard deviation over the images at each pixel, averaged, relative to the real images; collapse is below 1
- DAB of 3+: mean DAB density over the 3+ images, relative to the real ones
- violations: pairs of levels, of 6, whose mean DAB stands in the wrong order
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from chromogen import methods
from chromogen.checkpoint import load_model
from chromogen.color import background
from chromogen.data.pairs.sets import PhantomData
from chromogen.evaluate.pixels.likeness import psnr, sharpness_ratio, ssim
from chromogen.evaluate.staining.amounts import mean_dab, ordering_violations
from chromogen.method import Method
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.tensors import Uint8Images, signed_from_uint8, uint8_from_signed
from chromogen.train.loop import train
from chromogen.train.run import Loop, Run

WEIGHTS = (0.0, 0.1, 1.0, 10.0, 100.0)
COLUMNS = ("share at the start", "PSNR", "SSIM", "sharpness", "diversity", "DAB of 3+", "violations")
FORMATS = ("{:.1%}", "{:.2f}", "{:.3f}", "{:.2f}", "{:.2f}", "{:.2f}", "{:.1f}")


def trained(method: Method, data: PhantomData, loop: Loop, folder: Path) -> tuple[Uint8Images, float]:
    """The held-out images as translated after training, and the share of the penalty in the generator's first loss."""
    train(Run(method, data, loop, title="variance scan"), folder, device="cpu", quiet=True)
    first = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    terms = {key: value for key, value in first.items() if key.startswith("generator/")}
    model = load_model(folder / "last.safetensors")
    pairs = data.open("val")
    with torch.inference_mode():
        made = [uint8_from_signed(model.method.translate(model.nets, signed_from_uint8(pair.source)))[0] for pair in pairs]
    return np.stack(made), terms["generator/variance"] / sum(terms.values())


def scores(made: Uint8Images, real: Uint8Images, levels: Sequence[int | None]) -> list[float]:
    """The columns after the first."""
    matched = list(zip(made, real, strict=True))
    dab = [mean_dab(image, background(target)) for image, target in matched]
    dab_real = [mean_dab(target, background(target)) for target in real]
    positive = [index for index, level in enumerate(levels) if level == 3]
    return [
        float(np.mean([psnr(image, target) for image, target in matched])),
        float(np.mean([ssim(image, target) for image, target in matched])),
        float(np.mean([sharpness_ratio(image, target) for image, target in matched])),
        float(made.std(axis=0, dtype=np.float64).mean() / real.std(axis=0, dtype=np.float64).mean()),
        sum(dab[k] for k in positive) / sum(dab_real[k] for k in positive),
        float(ordering_violations(levels, dab).violations),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--system", default="variance_pyramid:smooth", help="which of the method's presets gets the weights")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size-px", type=int, default=64)
    parser.add_argument("--narrow", type=int, default=8, help="divides the widths of the networks")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--train-pairs", type=int, default=256)
    parser.add_argument("--test-pairs", type=int, default=32)
    parser.add_argument("--displacement-um", type=float, default=0.0, help="how far the sections of a pair are apart")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    chosen = parser.parse_args()
    if chosen.test_pairs < 4 or chosen.test_pairs % 4:
        parser.error(f"--test-pairs {chosen.test_pairs} is no multiple of 4; each level is scored equally often")

    phantom = Phantom(
        size_px=chosen.size_px, mpp=1.0, her2_signal=2.0, white_spread=0.0, stain_spread=0.0,
        displacement_um=chosen.displacement_um,
    )  # fmt: skip
    data = PhantomData(
        phantom=phantom, train_pairs=chosen.train_pairs, validation_pairs=chosen.test_pairs, class_balanced=True
    )  # fmt: skip
    pairs = data.open("val")
    real = np.stack([pair.target for pair in pairs])  # type: ignore[misc]  # phantoms come in pairs
    method = replace(methods.narrowed(methods.load(chosen.system), chosen.narrow, chosen.size_px), blocks=chosen.blocks)

    began = time.monotonic()
    print("| weight | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for weight in chosen.weights:
        rows = []
        for seed in chosen.seeds:
            loop = Loop(
                steps=chosen.steps, batch_size=chosen.batch_size, precision="fp32", seed=seed, log_every=1,
                save_every=chosen.steps, validate_every=10 * chosen.steps, validation_images=1, select="last",
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                made, share = trained(replace(method, weight_variance=weight), data, loop, Path(folder) / "run")
            rows.append([share, *scores(made, real, pairs.levels)])
        means = np.mean(rows, axis=0)
        print(
            f"| {weight:g} | " + " | ".join(f.format(value) for f, value in zip(FORMATS, means, strict=True)) + " |", flush=True
        )
    print(
        f"\n{chosen.system}, widths divided by {chosen.narrow}, {chosen.blocks} blocks; {chosen.steps} steps of "
        f"{chosen.batch_size} phantoms of {chosen.size_px} px, sections {chosen.displacement_um:g} um apart; "
        f"{chosen.test_pairs} held-out phantoms; seeds {', '.join(map(str, chosen.seeds))}; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
