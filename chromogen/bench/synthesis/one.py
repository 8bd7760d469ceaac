"""One system of a bench of synthesis in a process of its own: train, make the cases, score them.

    python -m chromogen.bench.synthesis.one OUT SYSTEM

Reads OUT/bench.json, works in OUT/SYSTEM, and ends by writing OUT/SYSTEM/result.json. Killed, it continues where it was.
"""

import json
import sys
from pathlib import Path

import torch

from chromogen.bench.one import folder_of
from chromogen.bench.synthesis.making import make
from chromogen.bench.synthesis.plan import Plan
from chromogen.bench.synthesis.scores import score
from chromogen.config import from_fields
from chromogen.data.cases.prepared import Prepared
from chromogen.files import write_json


def main(out: Path, system: str) -> int:
    """Everything one system needs; its exit code (130 when interrupted)."""
    plan = from_fields(Plan, json.loads((out / "bench.json").read_text(encoding="utf-8"))["plan"])
    folder = folder_of(out, system)
    try:
        cost = make(plan, system, folder)
    except KeyboardInterrupt:
        return 130
    scores = score(plan, system, out, Prepared(folder / "made"))
    write_json(folder / "result.json", {"system": system, "judged": plan.judged(), "cost": cost, "scores": scores})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
    except (ValueError, OSError, FloatingPointError, torch.OutOfMemoryError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
