"""Does the true HER2 level reach the generator of `chromogen` in training? What its graders believe of it, seen and unseen.

    python benchmarks/grades.py BENCH SYSTEM [SYSTEM ...]

BENCH is the finished folder of a `chromogen bench staining`, SYSTEM one of its chromogen systems. Prints the mean probability
of the true level, as the generator is told it while it trains, on the images that trained and, as it is told it afterwards, on
the test images; and the share of images whose likeliest level is the true one. 0.25 is what one knows who sees nothing.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from chromogen import methods
from chromogen.bench.one import folder_of
from chromogen.bench.plan import Plan
from chromogen.config import from_fields
from chromogen.methods.chromogen import Chromogen
from chromogen.tensors import signed_from_uint8
from chromogen.train.loop import STATE
from chromogen.train.state import read


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("systems", nargs="+")
    chosen = parser.parse_args()
    plan = from_fields(Plan, json.loads((chosen.bench / "bench.json").read_text(encoding="utf-8"))["plan"])
    print(f"{plan.title()}\n")
    print("| system | true level, training images | true level, test images | right, training | right, test | images |")
    print("|---|---:|---:|---:|---:|---:|")
    for system in chosen.systems:
        method = plan.run(system, 1).method
        if not isinstance(method, Chromogen) or not method.graded:
            parser.error(f"{system} has no grader")
        nets = method.networks().eval()
        _, tensors = read(folder_of(chosen.bench, system) / "run" / STATE)
        nets.load_state_dict({key.removeprefix("nets/"): value for key, value in tensors.items() if key.startswith("nets/")})
        found = []
        for training in (True, False):
            pairs = plan.training_data(methods.practice_of(system)).open("train") if training else plan.test_pairs()
            groups = np.unique(np.array(pairs.groups), return_inverse=True)[1]
            believed, right = [], []
            for index in range(len(pairs)):
                source = signed_from_uint8(pairs[index].source)
                source = source[..., : source.shape[2] // 16 * 16, : source.shape[3] // 16 * 16]
                if training:
                    levels = method.training_level_map(nets, source, torch.tensor([int(groups[index])]))[0]
                else:
                    levels = method.level_map(nets, source)
                mean = levels.mean(dim=(0, 2, 3))
                believed.append(float(mean[pairs.levels[index]]))
                right.append(int(mean.argmax()) == pairs.levels[index])
            found.append((np.mean(believed), np.mean(right), len(pairs)))
        (seen, seen_right, count), (unseen, unseen_right, test) = found
        print(f"| {system} | {seen:.2f} | {unseen:.2f} | {seen_right:.2f} | {unseen_right:.2f} | {count} + {test} |")


if __name__ == "__main__":
    main()
