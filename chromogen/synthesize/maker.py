"""What is asked of a synthesis, and the maker of its cases: every batch from the seed and its number alone."""

import base64
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from chromogen.devices import bf16_is_fast
from chromogen.synthesize.audit import Audit, Gate
from chromogen.synthesize.drawing import Drawn, Filters, draw_lines, settled
from chromogen.synthesize.labelling import Label, Labelling, Labels
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.parts import Parts
from chromogen.synthesize.reading import agreement


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What is asked for."""

    count: int
    seed: int = 0
    layout: str = "png"
    batch: int = 8  # cases drawn together; it is part of what decides them
    filters: Filters = Filters()
    labelling: Labelling = Labelling()
    gate: Gate = Gate()
    precision: str = "auto"
    consecutive: bool = False  # classes without a name go, the others are numbered without gaps

    def __post_init__(self) -> None:
        if self.count < 1 or self.batch < 1 or self.seed < 0:
            raise ValueError(f"count and batch start at 1 and seeds at 0, got {self.count}, {self.batch} and {self.seed}")


class Maker:
    """Makes batches of cases, each from the seed and its number alone."""

    def __init__(self, parts: Parts, wanted: Synthesis) -> None:
        self.parts, self.wanted = parts, wanted
        self.filters = settled(parts, wanted.filters)
        self.labels = Labels(parts, wanted.labelling)
        self.audit = Audit(parts.prepared, wanted.gate)
        spacings = Counter(case.spacing_mm for case in parts.prepared.index.cases)
        self.spacing_mm = spacings.most_common(1)[0][0]
        self.bf16 = wanted.precision == "bf16" or (wanted.precision == "auto" and bf16_is_fast(parts.device))

    def batch(self, number: int) -> tuple[list[MadeCase], Counter[str]]:
        """The cases of a batch, audited, and what was refused on the way."""
        words = np.random.SeedSequence([self.wanted.seed, number]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]))
        rng = np.random.default_rng(int(words[1]))
        with torch.autocast(self.parts.device.type, torch.bfloat16, enabled=self.bf16):
            drawn = draw_lines(self.parts, self.filters, self.wanted.batch, generator)
            pairs = zip(drawn.lines, drawn.organ, strict=True)
            labels = [self.labels.draw(_plane(lines), _plane(organ), rng) for lines, organ in pairs]
            placed = [place for place, label in enumerate(labels) if label is not None]
            refused = drawn.refused
            if len(placed) < len(labels):
                refused["the label fits nowhere in the organ"] += len(labels) - len(placed)
            if not placed:
                return [], refused
            given = [label for label in labels if label is not None]
            cases = self._rendered(number, drawn, placed, given, generator)
        for case, found in zip(cases, self.audit.look(cases), strict=True):
            case.facts["audit"] = found
        return cases, refused

    @torch.inference_mode()
    def _rendered(
        self, number: int, drawn: Drawn, placed: list[int], labels: list[Label], generator: torch.Generator
    ) -> list[MadeCase]:
        parts = self.parts
        lines, organ = drawn.lines[placed], drawn.organ[placed]
        planes = self.labels.planes(labels, *parts.prepared.size_px).to(parts.device)
        images = parts.rendering.render(parts.renderer.nets, lines, organ, planes, generator).float().clamp(0, 1)
        read = agreement(parts, images, labels)
        cases = []
        for row, (place, label) in enumerate(zip(placed, labels, strict=True)):
            facts = {
                "batch": number,
                "place": place,
                "seed": self.wanted.seed,
                "latent": base64.b64encode(drawn.latents[place].astype("<f4").tobytes()).decode(),
                "tries": drawn.tries[place],
                "passed_filters": drawn.passed[place],
                "critic": round(drawn.critic[place], 4),
                "outline": round(drawn.outline[place], 4),
                "label_source": label.source,
                "reader": read[row],
                "category": label.category,
                "classes": None if label.mask is None else [int(k) for k in np.unique(label.mask) if k],
                "boxes": None if label.boxes is None else [[round(float(v), 2) for v in box] for box in label.boxes],
            }
            name = case_name(self.wanted.seed, number * self.wanted.batch + place)
            cases.append(
                MadeCase(
                    name, images[row].cpu().numpy(), _plane(lines[row]), _plane(organ[row]), label.mask, label.category,
                    label.boxes, self.spacing_mm, facts,
                )
            )  # fmt: skip
        return cases


def case_name(seed: int, number: int) -> str:
    """Ends in five digits, as the evaluation of BraTS wants names to; what is above 99,999 stands before them."""
    above, rest = divmod(number, 100_000)
    return "-".join(["synthetic", str(seed), *([str(above)] if above else []), f"{rest:05d}"])


def _plane(plane: torch.Tensor) -> np.ndarray:
    return (plane[0] > 0.5).cpu().numpy().astype(np.uint8)
