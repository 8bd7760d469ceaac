"""The perception-distortion knob: models between a fidelity-trained and an adversarially trained generator.

    python benchmarks/knob.py --data DIR --out DIR [--steps 800] [--narrow 4] [--crop-px 128] [--batch-size 2]

Trains chromogen:fidelity, goes on from it as chromogen:adversarial for half as long, mixes their weights in five shares, stains
the test split with each and prints PSNR, SSIM (bci2022), sharpness ratio and DAB error. DIR is as for `chromogen bench`.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from chromogen.bench.plan import Budget, Plan
from chromogen.bench.staining import write_test
from chromogen.checkpoint import interpolated, load_model, save_model
from chromogen.infer.folder import translate_folder
from chromogen.infer.stainer import load
from chromogen.judge.folder import score_folder
from chromogen.judge.written import write_scores
from chromogen.train.loop import train

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--narrow", type=int, default=4)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    chosen = parser.parse_args()
    plan = Plan(
        chosen.data, Budget(chosen.steps, "steps"), crop_px=chosen.crop_px, batch_size=chosen.batch_size, narrow=chosen.narrow
    )
    write_test(plan.test_pairs(), chosen.out / "test")
    ends = [chosen.out / name for name in ("fidelity", "adversarial")]
    first = plan.run("chromogen:fidelity", chosen.steps)
    second = replace(plan.run("chromogen:adversarial", chosen.steps // 2), start_from=str(ends[0] / "last.safetensors"))
    for run, out in zip((first, second), ends, strict=True):
        if not (out / "last.safetensors").is_file():
            train(run, out)
    parents = [load_model(out / "last.safetensors") for out in ends]
    print(f"{chosen.steps} + {chosen.steps // 2} steps, {plan.title()}\n")
    print("| share of the adversarial model | PSNR (dB) | SSIM | sharpness ratio | DAB error |\n|---:|---:|---:|---:|---:|")
    for share in SHARES:
        folder = chosen.out / f"share-{share:g}"
        model = interpolated(*parents, share)
        save_model(folder / "model.safetensors", model.method, model.nets, model.card)
        translate_folder(load(folder / "model.safetensors", precision="fp32"), chosen.out / "test" / "HE", folder / "made")
        scores = score_folder(folder / "made", chosen.out / "test" / "IHC", chosen.out / "test" / "HE")
        write_scores(scores, folder)
        with (folder / "per_image.csv").open(newline="", encoding="utf-8") as handle:
            error = np.mean([abs(float(row["dab"]) - float(row["dab_target"])) for row in csv.DictReader(handle)])
        found = scores.metrics["overall"]
        print(f"| {share:g} | {found['psnr']:.2f} | {found['ssim']:.3f} | {found['sharpness']:.2f} | {error:.3f} |", flush=True)
    _picture(chosen.out)


def _picture(out: Path) -> None:
    """One row a test image of each class: H&E, the five shares, real IHC."""
    names = sorted(path.stem for path in (out / "test" / "IHC").iterdir())[:4]
    rows = []
    for name in names:
        files = [out / "test" / "HE" / f"{name}.png"]
        files += [next((out / f"share-{share:g}" / "made").glob(f"{name}.virtual-*.png")) for share in SHARES]
        files += [out / "test" / "IHC" / f"{name}.png"]
        rows.append(np.hstack([np.asarray(Image.open(file))[:192, :192] for file in files]))
    Image.fromarray(np.vstack(rows)).save(out / "picture.jpg", quality=85, subsampling=0)


if __name__ == "__main__":
    main()
