"""What a synthesis is made with: the trained parts of a chain, and the real cases they were trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chromogen.checkpoint import Model, load_model
from chromogen.data.cases.prepared import Prepared
from chromogen.data.cases.volumes import Axis
from chromogen.method import Renderer, StructureSampler
from chromogen.methods import name_of
from chromogen.train.chain import read_chain

READERS = ("segmenter", "classifier", "detector")
LABELS = {"segmentation": "mask", "category": "category", "boxes": "boxes", "none": "none"}  # the renderer's words: the cases'
INDEPENDENT = "check"  # the stage whose reader guided no other


@dataclass(frozen=True)
class Parts:
    """The models of one chain, on one device. `independent`: the reader guided nobody, so that its agreement is evidence."""

    sampler: Model
    organ: Model
    renderer: Model
    reader: Model | None
    independent: bool
    prepared: Prepared
    lines_are_label: bool  # what is drawn is the label
    device: torch.device
    axis: Axis = "axial"  # of the slices it was trained on; pictures count as axial

    @property
    def lines_of(self) -> StructureSampler:
        assert isinstance(self.sampler.method, StructureSampler)
        return self.sampler.method

    @property
    def rendering(self) -> Renderer:
        assert isinstance(self.renderer.method, Renderer)
        return self.renderer.method

    @property
    def label(self) -> str:
        """mask, category, boxes or none: what made cases are labelled with."""
        return LABELS[self.renderer.method.label]  # type: ignore[attr-defined]

    def hashes(self) -> dict[str, str]:
        models = {"sampler": self.sampler, "organ": self.organ, "renderer": self.renderer, "reader": self.reader}
        return {name: model.sha256 for name, model in models.items() if model is not None}


def load_parts(run: Path, device: torch.device) -> Parts:
    """The parts in the folder of a chain. ValueError names the stage that is missing."""
    chain = read_chain(run)
    models = {stage: load_model(file) for stage, file in chain["models"].items()}
    by_kind: dict[str, list[str]] = {}
    for stage, model in models.items():
        model.nets.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        by_kind.setdefault(name_of(model.method), []).append(stage)
    found: dict[str, Any] = {}
    for part, kind in (("sampler", "structure_sampler"), ("organ", "organ_reader"), ("renderer", "renderer")):
        if kind not in by_kind:
            raise ValueError(
                f"{run}: its chain has no trained stage with {kind}; train it first: chromogen train RECIPE --out {run}"
            )
        found[part] = models[by_kind[kind][-1]]
    readers = [stage for kind in READERS for stage in by_kind.get(kind, [])]
    chosen = INDEPENDENT if INDEPENDENT in readers else (readers[-1] if readers else None)
    reader = models[chosen] if chosen else None
    fields = chain["fields"]
    return Parts(
        **found,
        reader=reader,
        independent=chosen == INDEPENDENT,
        prepared=Prepared(chain["prepared"]),
        lines_are_label=bool(fields["drawing"]["lines_are_label"]),
        device=device,
        axis=fields["cases"]["slices"]["axis"],
    )
