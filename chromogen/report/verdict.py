"""What the numbers of a `metrics.json` say, in plain words: how the predictions stand beside each control."""

import math
from typing import Any

from chromogen.judge.table import number


def verdicts(metrics: dict[str, Any]) -> list[str]:
    """One sentence of sum, then one for each control. Failures count as zero, so nobody gains by leaving images out."""
    ours = {name: _value(metrics["overall"][f"{name}_failures_as_zero"]) for name in ("psnr", "ssim")}
    lines, beaten = [], []
    for name, control in metrics["controls"].items():
        theirs = {measure: _value(control[measure]) for measure in ours}
        if control["scored"] == 0:
            lines.append(f"Not compared with {control['meaning']}: {'; '.join(control.get('missing_because', ['no image']))}.")
            continue
        if not _comparable(control):
            lines.append(
                f"Not comparable with {control['meaning']}: its mean PSNR is infinite, because a target of one uniform colour, "
                "or a copy of a target, equals it."
            )
            continue
        wins = {measure: ours[measure] > theirs[measure] for measure in ours}
        beaten += [name] if all(wins.values()) else []
        lines.append(_sentence(wins, ours, theirs, control, metrics["complete"]))
    return [_sum(metrics, beaten), *lines]


def _sum(metrics: dict[str, Any], beaten: list[str]) -> str:
    overall, controls = metrics["overall"], metrics["controls"]
    compared = [name for name, control in controls.items() if _comparable(control)]
    count = f"{metrics['expected']} image" + ("" if metrics["expected"] == 1 else "s")
    text = f"On {count} the predictions score {number(overall['psnr'], 2)} dB PSNR and {number(overall['ssim'], 3)} SSIM"
    if not metrics["complete"]:
        text += (
            f" over the {metrics['scored']} that could be scored, {number(overall['psnr_failures_as_zero'], 2)} dB and "
            f"{number(overall['ssim_failures_as_zero'], 3)} with failures as zero"
        )
    if not compared:
        return f"{text}. No control can be compared with them."
    if len(beaten) == len(compared):
        return f"{text}. They beat all {len(compared)} controls on both measures."
    if not beaten:
        return f"{text}. They beat no control on both measures."
    return f"{text}. They beat {len(beaten)} of {len(compared)} controls on both measures."


def _sentence(
    wins: dict[str, bool], ours: dict[str, float], theirs: dict[str, float], control: dict[str, Any], complete: bool
) -> str:
    if all(wins.values()):
        opening = "Better than"
    elif not any(wins.values()):
        opening = "Not better than"
    else:
        opening = f"Better in {'PSNR' if wins['psnr'] else 'SSIM'} only than"
    better, of = control["model_better"], control["scored"]
    gap = f"{_signed(ours['psnr'] - theirs['psnr'], 2)} dB, {_signed(ours['ssim'] - theirs['ssim'], 3)} SSIM"
    images = f"higher PSNR on {better['psnr']} of {of} images, higher SSIM on {better['ssim']}"
    basis = "" if complete else "with failures as zero, "
    return f"{opening} {control['meaning']}: {basis}{gap}; {images}."


def _comparable(control: dict[str, Any]) -> bool:
    return bool(control["scored"]) and math.isfinite(_value(control["psnr"]))


def _value(value: float | str | None) -> float:
    """JSON has no infinity; where nothing could be scored there is no credit."""
    return 0.0 if value is None else float(value)


def _signed(difference: float, digits: int) -> str:
    return f"{difference:+.{digits}f}".replace("-", "\N{MINUS SIGN}").replace("inf", "\N{INFINITY}")
