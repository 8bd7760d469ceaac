"""The program inside the evaluation container: /input and the ground truth in, /output/metrics.json out.

    python -m chromogen.challenge.container [--input DIR] [--ground-truth DIR] [--output DIR] [--profile NAME]

Every test image has one result. A prediction that is missing or cannot be scored has an `error`, counts as 0 dB and SSIM 0 in
the aggregates "failures as zero", and stops nothing. Exit codes: 0 metrics were written, 1 the submission was refused (the
last line on stderr says why, which the platform shows to the participant), 2 the container is set up wrongly. Needs no
network, no home folder and no writable place but the output and TMPDIR; the same input gives the same bytes.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen.challenge.candidates import Candidate, HandedIn, Sockets, handed_in
from chromogen.challenge.mha import SUFFIX as MHA
from chromogen.challenge.scoring import ImageScore, aggregates, check_profile, row, score_one, stem_of_prediction, together
from chromogen.checkpoint import RESEARCH_USE
from chromogen.data.images import image_facts, is_clutter, list_images
from chromogen.evaluate.pixels.protocols import profile_named
from chromogen.files import write_json
from chromogen.judge.files import comparable, shown

FINE, REFUSED, SET_UP_WRONGLY = 0, 1, 2


@dataclass(frozen=True)
class Evaluation:
    """Where everything is, and how it is scored."""

    input: Path = Path("/input")
    ground_truth: Path = Path("/opt/ml/input/data/ground_truth")
    output: Path = Path("/output")
    profile: str = "bci2022"
    sockets: Sockets = Sockets()


def main(words: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Evaluate one submission as the flags say, or the variables CHROMOGEN_..., or the platform's places."""
    evaluation = _evaluation(words, environment)
    try:
        check_profile(evaluation.profile)
        targets = ground_truth(evaluation.ground_truth)
    except (ValueError, OSError) as error:
        return _said(f"the evaluation is set up wrongly: {error}", SET_UP_WRONGLY)
    try:
        metrics = evaluate(evaluation, targets)
    except (ValueError, OSError) as error:
        return _said(f"the submission was refused: {error}", REFUSED)
    try:
        write_json(evaluation.output / "metrics.json", metrics)
    except OSError as error:
        return _said(f"the evaluation is set up wrongly: {error}", SET_UP_WRONGLY)
    failed = sum("error" in result for result in metrics["results"])
    return _said(f"{len(metrics['results'])} results, {failed} of them failed", FINE)


def ground_truth(folder: Path) -> dict[str, Path]:
    """The real images by name, in natural order; ValueError unless each can be opened and has a name of its own."""
    if not folder.is_dir():
        raise ValueError(f"the ground truth {folder} is not there; upload it as a tarball of images")
    named: dict[str, Path] = {}
    for path in list_images(folder):
        name = comparable(stem_of_prediction(path.stem))
        if name in named:
            raise ValueError(f"{named[name].name} and {path.name} have one name; keep one of them")
        image_facts(path)
        named[name] = path
    unread = [path.name for path in folder.iterdir() if path.suffix.lower() == MHA and not is_clutter(path)]
    if unread:
        raise ValueError(f"the ground truth holds {unread[0]}; save real images as PNG or TIFF")
    if not named:
        raise ValueError(f"the ground truth {folder} holds no images; put the real images at its top level")
    return named


def evaluate(evaluation: Evaluation, targets: Mapping[str, Path]) -> dict[str, Any]:
    """Everything `metrics.json` holds. ValueError when the submission as a whole cannot be read."""
    with handed_in(evaluation.input, evaluation.sockets) as handed:
        by_name: dict[str, list[Candidate]] = {}
        for candidate in handed.candidates:
            by_name.setdefault(comparable(candidate.name), []).append(candidate)
        if not by_name.keys() & targets.keys() and not any(candidate.job for candidate in handed.candidates):
            raise ValueError("no image has the name of a test image; predictions are called like the images they predict")
        images, results = [], []
        for name, target in targets.items():
            candidate = _only(by_name.pop(name, []), name)
            score = score_one(candidate.path, candidate.reason, target, evaluation.profile)
            images.append(score)
            results.append(_result(name, candidate, score, evaluation.profile, handed))
            sys.stderr.write(f"{len(results)} of {len(targets)}: {name}{': failed' if score.reason else ''}\n")
        left = [candidate for candidates in by_name.values() for candidate in candidates]
    results += [_stray(candidate, handed) for candidate in left if candidate.job]
    metrics = together(tuple(images), evaluation.profile)
    return {
        "results": results,
        "aggregates": aggregates(metrics, evaluation.profile),
        "validity": metrics.get("validity"),
        "profile": evaluation.profile,
        "profile_description": profile_named(evaluation.profile).description,
        "ignored": sorted({shown(name) for name in (*handed.ignored, *(c.path.name for c in left if c.path and not c.job))}),
        "versions": metrics["versions"],
        "notice": RESEARCH_USE,
    }


def _only(candidates: list[Candidate], name: str) -> Candidate:
    """The one prediction of a test image, or a failed one that says why there is none."""
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        return Candidate(name, None, reason="no prediction was handed in")
    what = [candidate.job or (candidate.path.name if candidate.path else candidate.name) for candidate in candidates]
    return Candidate(name, None, reason=f"several predictions are for this image: {', '.join(sorted(what))}")


def _result(name: str, candidate: Candidate, score: ImageScore, profile: str, handed: HandedIn) -> dict[str, Any]:
    """The entry of one test image in `results`: its numbers, or its error."""
    entry: dict[str, Any] = {"name": name}
    if candidate.job:
        entry["pk"] = candidate.job
    if candidate.path:
        entry["file"] = str(candidate.path.relative_to(handed.folder))
    return entry | ({"error": score.reason.replace(f"{handed.folder}/", "")} if score.reason else row(score, profile))


def _stray(candidate: Candidate, handed: HandedIn) -> dict[str, Any]:
    """A job without a test image: it is told, and enters no mean."""
    reason = candidate.reason or "no test image has this name"
    return {"name": candidate.name, "pk": candidate.job, "error": reason.replace(f"{handed.folder}/", "")}


def _evaluation(words: Sequence[str] | None, environment: Mapping[str, str]) -> Evaluation:
    usual = Evaluation()

    def variable(name: str, otherwise: object) -> str:
        return environment.get(f"CHROMOGEN_{name}") or str(otherwise)

    parser = argparse.ArgumentParser(prog="python -m chromogen.challenge.container", description=RESEARCH_USE)
    parser.add_argument("--input", type=Path, default=variable("INPUT", usual.input))
    parser.add_argument("--ground-truth", type=Path, default=variable("GROUND_TRUTH", usual.ground_truth))
    parser.add_argument("--output", type=Path, default=variable("OUTPUT", usual.output))
    parser.add_argument("--profile", default=variable("PROFILE", usual.profile))
    parser.add_argument("--input-slug", default=variable("INPUT_SLUG", ""))
    parser.add_argument("--output-slug", default=variable("OUTPUT_SLUG", ""))
    flags = parser.parse_args(words)
    sockets = Sockets(flags.input_slug, flags.output_slug)
    return Evaluation(flags.input, flags.ground_truth, flags.output, flags.profile, sockets)


def _said(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
