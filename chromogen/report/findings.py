"""What can be said of an evaluation in words, staining before PSNR and SSIM.

Every part may be missing from a `metrics.json`, in files of pixels only and in those of earlier versions; nothing is then said.
"""

from dataclasses import dataclass
from typing import Any

from chromogen.judge.table import number
from chromogen.report.section import counted
from chromogen.report.verdict import verdicts

NAMES = {
    "constant": "flat mean colour of each real image",
    "training_mean": "flat mean colour of the training images",
    "source": "H&E, not translated",
    "blurred_target": "real IHC, blurred",
}
BLIND = {  # the controls that have not seen the real image
    "training_mean": "the flat mean colour of the training images",
    "source": "the H&E itself",
}
FEW = 20  # images below which correlations and orderings say little
FLAT = 0.8  # slope of virtual against real stain from which on down it is said to be too flat


@dataclass(frozen=True)
class Finding:
    """One thing that can be said, under the name of what it is about."""

    topic: str
    sentence: str


def findings(metrics: dict[str, Any]) -> list[Finding]:
    """What can be said of the predictions: stain, its order, HER2 levels, nuclei, blur, and PSNR and SSIM last."""
    found = [
        Finding("Amount of stain", _amount(metrics)),
        Finding("Within classes", _within(metrics)),
        Finding("Order of classes", _order(metrics)),
        Finding("Few images", _few(metrics)),
        Finding("HER2 level", _level(metrics)),
        Finding("Nuclei", _nuclei(metrics)),
        Finding("Blur", _blur(metrics)),
        Finding("PSNR and SSIM", _pixels(metrics)),
    ]
    return [one for one in found if one.sentence]


def summary(metrics: dict[str, Any]) -> str:
    """One sentence or two for the list of contents, staining before PSNR and SSIM."""
    pearson = metrics.get("staining", {}).get("pearson", {}).get("within")
    error, flag = metrics["overall"].get("dab_error"), metrics.get("validity", {}).get("flag")
    said = [] if error is None else [f"Mean DAB is {number(error, 3)} OD off the real one."]
    said += [] if pearson is None else [f"Within classes virtual stain follows the real with r {number(pearson, 2)}."]
    said += [f"The images are flagged as {flag}."] if flag in ("blurry", "noisy") else []
    return " ".join([*said, verdicts(metrics)[0]])


def spread(interval: dict[str, Any] | None, digits: int) -> str:
    """An interval of `metrics.json` as `1.20 to 1.40`; empty where there is none."""
    if not interval or None in (interval["low"], interval["high"]):
        return ""
    return f"{number(interval['low'], digits)} to {number(interval['high'], digits)}"


def _amount(metrics: dict[str, Any]) -> str:
    overall = metrics["overall"]
    error = overall.get("dab_error")
    if error is None:
        return ""
    real, between = overall.get("dab_target"), spread(metrics.get("intervals", {}).get("dab_error"), 3)
    text = f"The mean DAB of an image is {number(error, 3)} OD off that of the real one"
    text += f" (95 % interval {between})" if between else ""
    text += f"; real images hold {number(real, 3)} OD." if real is not None else "."
    controls = metrics["controls"]
    beside = {name: row["dab_error"] for name in BLIND if (row := controls.get(name)) and row.get("dab_error") is not None}
    if beside:
        nearer = all(error < value for value in beside.values())
        opening = "Nearer than what has not seen the answer" if nearer else "No nearer than what has not seen the answer"
        text += f" {opening}: {' and '.join(f'{BLIND[name]} is {number(value, 3)} off' for name, value in beside.items())}."
    return text + ("" if metrics["complete"] else f" Over the {metrics['scored']} images that could be scored.")


def _within(metrics: dict[str, Any]) -> str:
    staining = metrics.get("staining", {})
    pearson, line = staining.get("pearson", {}), staining.get("calibration", {})
    if pearson.get("within") is None:
        return ""
    text = (
        f"Virtual stain follows real stain with r {number(pearson['within'], 2)} among images of one HER2 class, where "
        f"guessing the class earns nothing ({number(pearson.get('overall'), 2)} over all images)."
    )
    if line.get("slope") is not None:
        text += f" For each OD that real stain rises, virtual stain rises by {number(line['slope'], 2)}"
        text += ": weak and strong cases differ less than they should." if line["slope"] < FLAT else "."
    return text


def _order(metrics: dict[str, Any]) -> str:
    staining = metrics.get("staining", {})
    ours, real = staining.get("ordering_prediction"), staining.get("ordering_target")
    if not ours or not real or not ours["pairs"]:
        return ""
    return (
        f"Pairs of HER2 classes in the wrong order by mean DAB: {ours['violations']} of {ours['pairs']} in the virtual images, "
        f"{real['violations']} of {real['pairs']} in the real ones."
    )


def _few(metrics: dict[str, Any]) -> str:
    if metrics["scored"] >= FEW or not metrics.get("staining"):
        return ""
    return f"With {counted(metrics['scored'], 'image')}, orderings and correlations say little."


def _level(metrics: dict[str, Any]) -> str:
    level = metrics.get("level", {})
    if "virtual" not in level:
        return f"Not read: {level['missing_because']}." if level.get("missing_because") else ""
    shares = [level[kind]["balanced_accuracy"] for kind in ("virtual", "real")]
    made, real = ("an unknown share" if share is None else f"{100 * share:.0f} %" for share in shares)
    kappas = [number(level[kind]["kappa"], 2) for kind in ("virtual", "real")]
    return (
        f"A reader trained on {level['trained_on']} real images reads {made} of the virtual images as the level of their slide "
        f"(classes weighed alike); on real images, the ceiling, {real}. Quadratic kappa {kappas[0]}, ceiling {kappas[1]}."
    )


def _nuclei(metrics: dict[str, Any]) -> str:
    kept, chance = (metrics["overall"].get(f"nuclei_{name}") for name in ("f1", "chance"))
    if kept is None:
        return ""
    between = spread(metrics.get("intervals", {}).get("nuclei_f1"), 2)
    interval = f" (95 % interval {between})" if between else ""
    return (
        f"Nuclei of the H&E are found at their places in the virtual stain with F1 {number(kept, 2)}{interval}; scattered at "
        f"random, as many would reach {number(chance, 2)}."
    )


def _blur(metrics: dict[str, Any]) -> str:
    validity = metrics.get("validity", {})
    flag, reasons = validity.get("flag"), "; ".join(validity.get("reasons", []))
    if flag is None:
        return ""
    if flag == "valid":
        flagged = len(validity.get("images", []))
        return "As sharp as PSNR and SSIM need it" + (f"; {flagged} single images are flagged." if flagged else ".")
    if flag == "unjudged":
        return f"Not judged: {reasons}."
    meaning = {"blurry": "Blur raises PSNR and SSIM.", "noisy": "Noise may hide blur, which raises PSNR and SSIM."}
    return f"Flagged as {flag}: {reasons}. {meaning.get(flag, '')}".rstrip()


def _pixels(metrics: dict[str, Any]) -> str:
    ranges = [spread(metrics.get("intervals", {}).get(name), digits) for name, digits in (("psnr", 2), ("ssim", 3))]
    between = f" 95 % intervals: {ranges[0]} dB and {ranges[1]}." if all(ranges) else ""
    rows = [
        f"{NAMES.get(name, name)} {number(row['psnr'], 2)} dB and {number(row['ssim'], 3)}"
        for name, row in metrics["controls"].items()
        if row["scored"]
    ]
    return verdicts(metrics)[0] + between + (f" Controls: {'; '.join(rows)}." if rows else "")
