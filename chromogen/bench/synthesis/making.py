"""How each system makes its cases: into a folder of prepared cases of origin synthetic, which `chromogen utility` reads too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromogen.bench.synthesis.plan import CHAIN_PREFIX, CONTROL_PREFIX, Plan, held_out, renders_untrained
from chromogen.checkpoint import SUFFIX, load_model
from chromogen.data.cases.prepared import Prepared, PreparedCase
from chromogen.data.cases.prepared_writer import written_prepared
from chromogen.devices import pick_device
from chromogen.structure import labels
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.maker import Maker, Synthesis
from chromogen.synthesize.parts import load_parts
from chromogen.train.chain import read_chain
from chromogen.train.loop import STATE, train

KINDS: dict[str, labels.LabelKind] = {"mask": "segmentation", "category": "category", "boxes": "boxes", "none": "none"}
DRAWN = 16  # cases made at once; part of what decides them
Cost = dict[str, Any]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while training: the state is saved and the same command goes on."""


def make(plan: Plan, system: str, folder: Path) -> Cost:
    """Train where there is something to train, and make the cases into `folder`/made; what it took.

    Nothing is done again that is there. ValueError when the system does not suit the cases.
    """
    real, target = plan.prepared(), folder / "made"
    if system.startswith(CONTROL_PREFIX):
        cases, labelled, cost = _control(plan, system.removeprefix(CONTROL_PREFIX), real)
    elif system.startswith(CHAIN_PREFIX):
        cases, labelled, cost = _of_chain(plan, plan.chain(system), real)
    elif renders_untrained(method := plan.method(system)):
        cases, labelled, cost = _untrained(plan, method, real), real.index.label != "none", {"steps": 0, "parameters": 0}
    else:
        cases, labelled, cost = _sampled(plan, system, folder / "run", real)
    if not target.is_dir():
        _write(target, cases, real, labelled, system)
    return cost


def _write(target: Path, cases: Iterator[MadeCase], real: Prepared, labelled: bool, system: str) -> None:
    label = real.index.label if labelled else "none"
    origin: Any = "real" if system == f"{CONTROL_PREFIX}held-out" else "synthetic"
    with written_prepared(target, system, real.index.modalities, label, real.index.classes) as writer:
        for case in cases:
            facts = PreparedCase(case.name, case.name, "train", case.spacing_mm, origin)
            writer.add(facts, case.images, case.lines, case.organ, case.mask, case.category, case.boxes)


def _sampled(plan: Plan, system: str, folder: Path, real: Prepared) -> tuple[Iterator[MadeCase], bool, Cost]:
    run, model = plan.run(system), folder / f"last{SUFFIX}"
    if not (folder / "finished").is_file():
        if train(run, folder, (folder / STATE).is_file(), plan.device, quiet=True).interrupted:
            raise Interrupted
        (folder / "finished").touch()
    loaded = load_model(model)
    device = pick_device(plan.device)
    nets = loaded.nets.to(device)
    with_classes = hasattr(run.method, "categories")
    return _samples(plan, run.method, nets, real, with_classes), with_classes, _cost(plan.steps, folder, run.method)


def _samples(plan: Plan, method: Any, nets: nn.ModuleDict, real: Prepared, with_classes: bool) -> Iterator[MadeCase]:
    """Whole images; of categories in the shares of the training cases, where the method knows them."""
    generator, rng = torch.Generator().manual_seed(plan.seed), np.random.default_rng(plan.seed)
    shares = np.bincount(_categories(real), minlength=len(real.index.classes)) if with_classes else np.zeros(0)
    wanted = (
        [int(k) for k in rng.choice(len(shares), plan.count, p=shares / shares.sum())] if with_classes else [None] * plan.count
    )
    plane = np.zeros(real.size_px, np.uint8)
    for category in dict.fromkeys(wanted):
        numbers = [number for number, one in enumerate(wanted) if one == category]
        for first in range(0, len(numbers), DRAWN):
            some = numbers[first : first + DRAWN]
            images = _fitted(method.sample(nets, len(some), generator, category), real.size_px)
            for number, image in zip(some, images, strict=True):
                yield MadeCase(f"made-{number:06d}", image, plane, plane + np.uint8(1), category=category)


def _untrained(plan: Plan, method: Any, real: Prepared) -> Iterator[MadeCase]:
    """Drawn from the lines, organs and labels of training cases, which are passed through in a random order."""
    generator, rng = torch.Generator().manual_seed(plan.seed), np.random.default_rng(plan.seed)
    members, kind = real.of_split("train"), KINDS[real.index.label]
    order = np.concatenate([rng.permutation(members) for _ in range(-(-plan.count // len(members)))])[: plan.count]
    for first in range(0, plan.count, DRAWN):
        some = [int(k) for k in order[first : first + DRAWN]]
        batch = real.batch(some)
        planes = labels.planes(batch, kind, len(real.index.classes))
        images = method.render(nn.ModuleDict(), batch["lines"], batch["organ"], planes, generator).numpy()
        for place, (number, image) in enumerate(zip(some, images, strict=True), start=first):
            yield _like(real, number, f"made-{place:06d}", image)


def _of_chain(plan: Plan, chain: Path, real: Prepared) -> tuple[Iterator[MadeCase], bool, Cost]:
    """What `chromogen synthesize` draws, before copies are set aside: they are counted here as everybody's are."""
    parts = load_parts(chain, pick_device(plan.device))
    record = read_chain(chain)
    stage = next(name for name, file in record["models"].items() if load_model(file).sha256 == parts.renderer.sha256)
    folder = Path(record["models"][stage]).parent
    steps = int(record["fields"]["stages"][stage]["loop"]["steps"])
    cost = _cost(steps, folder, parts.renderer.method)
    made = sum(p.numel() for part in (parts.sampler, parts.organ, parts.renderer) for p in part.nets.parameters())
    return (
        _drawn(plan, Maker(parts, Synthesis(count=plan.count, seed=plan.seed))),
        real.index.label != "none",
        cost | {"parameters": made},
    )


def _drawn(plan: Plan, maker: Maker) -> Iterator[MadeCase]:
    number = done = empty = 0
    while done < plan.count:
        cases, refused = maker.batch(number)
        empty = 0 if cases else empty + 1
        if empty == 10:
            raise ValueError(f"10 batches in a row gave no case: {', '.join(refused)}")
        yield from cases[: plan.count - done]
        done, number = done + len(cases), number + 1


def _control(plan: Plan, name: str, real: Prepared) -> tuple[Iterator[MadeCase], bool, Cost]:
    if name == "held-out":
        numbers = held_out(real)
        chosen = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), plan.count)).round().astype(int)]
        cases = (
            _like(real, int(k), real.index.cases[k].name, np.asarray(real.arrays["images"][k], np.float32)) for k in chosen
        )
        return cases, real.index.label != "none", {}
    mean = np.zeros(real.arrays["images"].shape[1:], np.float64)
    members = real.of_split("train")
    for number in members:
        mean += np.asarray(real.arrays["images"][number], np.float64) / len(members)
    plane = np.zeros(real.size_px, np.uint8)
    image = mean.clip(0, 1).astype(np.float32)
    return (MadeCase(f"made-{k:06d}", image, plane, plane + np.uint8(1)) for k in range(plan.count)), False, {}


def _like(real: Prepared, number: int, name: str, images: np.ndarray) -> MadeCase:
    """Images with the lines, organ and label of a real case."""
    case = MadeCase(
        name, images, np.asarray(real.arrays["lines"][number]), np.asarray(real.arrays["organ"][number]),
        spacing_mm=real.index.cases[number].spacing_mm,
    )  # fmt: skip
    if real.index.label == "mask":
        case.mask = np.asarray(real.arrays["mask"][number])
    elif real.index.label == "category":
        category = int(real.arrays["category"][number])
        case.category = None if category < 0 else category
    elif real.index.label == "boxes":
        boxes = np.asarray(real.arrays["boxes"][number])
        case.boxes = boxes[boxes[:, 0] > 0]
    return case


def _categories(real: Prepared) -> np.ndarray:
    known = np.asarray(real.arrays["category"])[real.of_split("train")]
    return known[known >= 0]


def _fitted(images: Tensor, size_px: tuple[int, int]) -> np.ndarray:
    """Made images at the size of the cases."""
    height, width = images.shape[-2:]
    if (height, width) != size_px:
        planes = F.interpolate(images.flatten(1, 2), size=size_px, mode="bilinear", antialias=height > size_px[0])
        images = planes.unflatten(1, images.shape[1:3])
    return images.float().clamp(0, 1).cpu().numpy()


def _cost(steps: int, run: Path, method: Any) -> Cost:
    """Steps; seconds a step of the fastest stretch of the log; parameters that make images, and all that train."""
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    times = [line["seconds_per_step"] for line in lines if "seconds_per_step" in line]
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in method.networks().items()}
    return {
        "steps": steps,
        "seconds_per_step": min(times[1:] or times) if times else None,
        "parameters": sum(count[name] for name in method.released),
        "parameters_in_training": sum(count.values()),
    }
