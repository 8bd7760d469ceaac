"""What a bench of synthesis holds equal for all systems, and the method that each system becomes on the cases at hand."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen import methods
from chromogen.bench.plan import NEVER
from chromogen.config import nearest, to_fields
from chromogen.data.cases.prepared import Prepared, PreparedData
from chromogen.train.chain import FILE as CHAIN
from chromogen.train.chain import read_chain
from chromogen.train.run import Loop, Precision, Run

CONTROLS = {
    "held-out": "real cases of patients that nobody trained on: what a perfect system would score",
    "training-mean": "the mean of the training images, again and again",
}
CHAIN_PREFIX, CONTROL_PREFIX = "chain:", "control:"


@dataclass(frozen=True)
class Plan:
    """Equal for all systems: cases, budget, number of made cases, batch, widths, seed, device, extractors.

    `chains` are folders of trained chains; each is a system `chain:NAME` with a budget of its own, which the table states.
    """

    data: Path  # prepared cases, or the folder of a chain
    steps: int = 1000
    count: int = 200
    batch_size: int = 16
    narrow: int = 1  # every width of every network divided by this
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    extractors: tuple[str, ...] = ("efficientnet-lite0", "radiomics")
    reader_steps: int = 400  # of the reader that looks for the labels
    reader_width: int = 16
    chains: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "narrow", "reader_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got {self.count}; a distribution of one image says nothing")
        names = [path.name for path in self.chains]
        if len(set(names)) < len(names):
            raise ValueError(f"two chains have one name ({', '.join(names)}); rename a folder")

    def title(self) -> str:
        """The conditions in one line, for the heading of a table."""
        width = "published widths" if self.narrow == 1 else f"widths divided by {self.narrow}"
        return (
            f"{self.steps} steps each, batches of {self.batch_size} cases, {width}, seed {self.seed}, {self.count} made cases"
        )

    def fields(self) -> dict[str, Any]:
        found = to_fields(self)
        assert isinstance(found, dict)
        return found

    def prepared(self) -> Prepared:
        """The real cases. ValueError without training or held-out ones, or with made ones among them."""
        prepared = Prepared(self.root())
        if any(case.origin == "synthetic" for case in prepared.index.cases):
            raise ValueError(f"{self.data} holds synthetic cases; a bench compares with real ones")
        if not len(prepared.of_split("train")) or not len(held_out(prepared)):
            raise ValueError(f"{self.data} needs cases in train and in val or test; prepare it with other shares")
        return prepared

    def root(self) -> Path:
        return Path(read_chain(self.data)["prepared"]) if (self.data / CHAIN).is_file() else self.data

    def judged(self) -> dict[str, Any]:
        """What of it decides a result; chains decide only their own."""
        free = ("device", "precision", "chains", "data")
        return {key: value for key, value in self.fields().items() if key not in free} | {"cases": self.prepared().identity}

    def chain(self, system: str) -> Path:
        """The folder of a system `chain:NAME`."""
        by_name = {path.name: path for path in self.chains}
        name = system.removeprefix(CHAIN_PREFIX)
        if name not in by_name:
            raise ValueError(f"no chain {name!r}; {nearest(name, by_name)}")
        return by_name[name]

    def run(self, system: str) -> Run:
        """The training of a sampler under this plan."""
        practice = methods.practice_of(system)
        loop = Loop(
            steps=self.steps, batch_size=self.batch_size, precision=self.precision, ema=practice.ema, seed=self.seed,
            log_every=20, save_every=200, validate_every=NEVER, validation_images=8, select="last",
        )  # fmt: skip
        return Run(self.method(system), PreparedData(str(self.root())), loop, title=f"{system}, {self.title()}")

    def method(self, system: str) -> Any:
        """The method, as large as the plan says and shaped for the cases."""
        prepared = self.prepared()
        side = prepared.size_px[0]
        shape = {
            "size_px": 2 ** round(math.log2(side)),
            "modalities": len(prepared.index.modalities),
            "channels": prepared.channels,
            "categories": max(2, len(prepared.index.classes)),
        }
        method = methods.narrowed(methods.load(system), self.narrow, side)
        known = {field.name for field in dataclasses.fields(method)}
        return dataclasses.replace(method, **{key: value for key, value in shape.items() if key in known})


def held_out(prepared: Prepared) -> Any:
    """The numbers of the cases that nobody trains on and nobody chose by: those of test; of val where there are none."""
    return prepared.of_split("test") if len(prepared.of_split("test")) else prepared.of_split("val")


def systems_for(prepared: Prepared) -> list[str]:
    """The shipped methods that make whole images by themselves, on cases with this label."""
    found = []
    for name in methods.available("synthesis"):
        method = methods.load(name)
        needs_classes = hasattr(method, "categories") and prepared.index.label != "category"
        if (hasattr(method, "sample") or renders_untrained(method)) and not needs_classes:
            found.append(name)
    return found


def renders_untrained(method: Any) -> bool:
    """Whether a method draws from lines and labels without having learned anything."""
    return hasattr(method, "render") and not method.players()


def check_system(system: str, plan: Plan) -> None:
    """ValueError for a system that cannot take part."""
    if system.startswith(CHAIN_PREFIX):
        made_by = Prepared(read_chain(plan.chain(system))["prepared"]).index.made_by
        if made_by != plan.prepared().index.made_by:
            raise ValueError(
                f"{plan.chain(system)} was trained on other cases than {plan.data} holds; take those, or train anew"
            )
    elif not system.startswith(CONTROL_PREFIX):
        method = methods.load(system)
        if not hasattr(method, "sample") and not renders_untrained(method):
            raise ValueError(f"{system} makes no images by itself; {nearest(system, systems_for(plan.prepared()))}")


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Names of the plan's fields that differ, leaving out those that change no result of another system."""
    return [name for name in new if name not in ("device", "chains") and old.get(name) != new[name]]
