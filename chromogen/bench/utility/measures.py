"""How well a reader finds the labels of cases: the measures of each kind of label, and those of a reader that learned nothing.

mask      dice, iou: means over the classes from 1, cases and modalities, 1 where a class is rightly absent; dice_of_lesions:
          over cases that have the class alone; mse: squared difference of the probability of any class and the mask of any,
          a mean over all pixels and cases (the thesis has it in tables 4 and 5 and does not say of what); sensitivity,
          specificity, accuracy, auc: of all pixels inside the organ, any class against none (of fundi the organ is the
          field of view)
category  accuracy, balanced_accuracy, macro_f1; auc: mean over classes of each against all others
boxes     average_precision (VOC, overlap 0.5), iou of the sure boxes with the true ones they hit, sensitivity_at_1: at one
          false box an image

Every measure is a mean over modalities, each of which has a network of its own.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from chromogen.data.cases.prepared import Prepared
from chromogen.evaluate import agreement
from chromogen.evaluate.reading import detection
from chromogen.evaluate.reading.classification import macro_f1
from chromogen.evaluate.reading.segmentation import PixelCounts, dice_of_classes, iou_of_classes, pixel_counts
from chromogen.tensors import on_device

Numbers = Int[np.ndarray, " cases"]
Measures = dict[str, float]

MEASURES = {
    "mask": ("dice", "dice_of_lesions", "iou", "mse", "sensitivity", "specificity", "accuracy", "auc"),
    "category": ("accuracy", "balanced_accuracy", "macro_f1", "auc"),
    "boxes": ("average_precision", "iou", "sensitivity_at_1"),
}
TOLD = {  # what the means make of cases that lack a class
    "mask": "Where a class is rightly absent, dice and iou count 1; dice_of_lesions leaves it out. Of mse less is better.",
    "category": "auc is a mean over the classes that occur.",
    "boxes": "average_precision is a mean over the classes that occur.",
}
MOST_PIXELS = 2_000_000  # that an AUC sorts; of more, every n-th of each image
SURE = 0.5  # from here on a box counts for its fit


@torch.inference_mode()
def measured(
    method: Any, nets: nn.ModuleDict, prepared: Prepared, numbers: Numbers, device: torch.device, batch: int = 16
) -> Measures:
    """Read the cases of these numbers and score what was read. NaN where the cases do not allow a measure."""
    label = prepared.index.label
    classes = len(prepared.index.classes)
    truth, of_modality = [], defaultdict(list)
    for first in range(0, len(numbers), batch):
        some = prepared.batch([int(k) for k in numbers[first : first + batch]])
        truth += [one.numpy() for one in some[label]]  # type: ignore[typeddict-item]
        moved = on_device(some, device)
        for modality in range(moved["images"].shape[1]):
            for one in method.read(nets, moved["images"][:, modality].contiguous(), modality):
                of_modality[modality].append(_kept(one, label))
    inside = [prepared.arrays["organ"][k] > 0 for k in numbers] if label == "mask" else []
    found = []
    for read in of_modality.values():
        if label == "mask":
            found.append(_of_masks(read, truth, inside, classes))
        elif label == "category":
            found.append(_of_categories(np.stack([one[0] for one in read]), np.array([int(one) for one in truth]), classes))
        else:
            found.append(_of_boxes([detection.Found(*one) for one in read], truth))
    return {name: float(np.mean([one[name] for one in found])) for name in MEASURES[label]}


def floor(prepared: Prepared, train: Numbers, test: Numbers) -> Measures:
    """What a reader scores that learned nothing but the commonest class: no lesion anywhere, no box, one category for all.

    ValueError when the test cases hold nothing that could be read, so that no reader can be told from another.
    """
    label, classes = prepared.index.label, len(prepared.index.classes)
    truth = [prepared.arrays[label][k] for k in test]
    if label == "category":
        known = np.array([int(one) for one in truth if one >= 0])
        if len(np.unique(known)) < 2:
            raise ValueError(f"{prepared.root}: all test cases are of one class, so that no reader can be judged; split anew")
        taught = np.asarray(prepared.arrays["category"])[train]
        counts = np.bincount(taught[taught >= 0], minlength=classes)
        called = np.full(len(known), counts.argmax())
        counted = agreement.confusion(known.tolist(), called.tolist(), range(classes))
        return {
            "accuracy": counted.accuracy,
            "balanced_accuracy": counted.balanced_accuracy,
            "macro_f1": macro_f1(counted),
            "auc": 0.5,
        }
    shown = [bool((one[..., 0] > 0).any()) if label == "boxes" else bool((one > 0).any()) for one in truth]
    if not any(shown):
        raise ValueError(f"{prepared.root}: no test case bears a lesion, so that no reader can be judged; split anew")
    if label == "boxes":
        return dict.fromkeys(MEASURES["boxes"], 0.0)
    inside = [prepared.arrays["organ"][k] > 0 for k in test]
    nothing = np.zeros((classes, *prepared.size_px), np.float32)
    nothing[0] = 1
    return _of_masks([(nothing.argmax(0), nothing[0])] * len(truth), [one.astype(np.int64) for one in truth], inside, classes)


def lacking(prepared: Prepared, numbers: Numbers) -> dict[str, int]:
    """Of each class, in how many of these cases it is nowhere; class 0 of masks and boxes, none, is left out."""
    held = [_held(prepared, int(number)) for number in numbers]
    return {name: sum(k not in one for one in held) for k, name in _of_interest(prepared)}


def lacking_any(prepared: Prepared, numbers: Numbers) -> int:
    """How many of these cases lack some class."""
    wanted = {k for k, _ in _of_interest(prepared)}
    return sum(not wanted <= _held(prepared, int(number)) for number in numbers)


def _held(prepared: Prepared, number: int) -> set[int]:
    truth = prepared.arrays[prepared.index.label][number]
    return {int(k) for k in np.unique(truth[:, 0] if prepared.index.label == "boxes" else truth)}


def _of_interest(prepared: Prepared) -> list[tuple[int, str]]:
    first = 0 if prepared.index.label == "category" else 1
    return list(enumerate(prepared.index.classes))[first:]


def lacking_sentence(prepared: Prepared, numbers: Numbers, what: str) -> str:
    """Such as "Of 12 real test cases 5 lack lesion."; what is in every case is not named."""
    counted = [f"{count} lack {name}" for name, count in lacking(prepared, numbers).items() if count]
    return f"Of {len(numbers)} {what} {', '.join(counted) or 'none lacks a class'}."


def _kept(read: Any, label: str) -> tuple[np.ndarray, ...]:
    """Of what was read of a case, what the measures need: (classes, probability of none), (probabilities,), or boxes."""
    if label == "mask":
        return read.argmax(0).cpu().numpy(), read[0].float().clamp(0, 1).cpu().numpy()
    return (read.float().cpu().numpy(),) if label == "category" else tuple(part.cpu().numpy() for part in read)


def _of_masks(read: Sequence[tuple[np.ndarray, ...]], truth: Sequence[Any], inside: Sequence[Any], classes: int) -> Measures:
    dice, iou, mse, of_lesions, values, lesions = [], [], [], [], [], []
    counts = np.zeros(4, dtype=np.int64)
    stride = max(1, math.ceil(sum(int(one.sum()) for one in inside) / MOST_PIXELS))
    for (called, none), mask, where in zip(read, truth, inside, strict=True):
        each = dice_of_classes(called, mask, classes)[1:]
        dice.append(each.mean())
        iou.append(iou_of_classes(called, mask, classes)[1:].mean())
        mse.append(np.square((1 - none) - (mask > 0)).mean())
        of_lesions += [value for k, value in enumerate(each, start=1) if (mask == k).any()]
        counted = pixel_counts((called > 0).astype(np.float32), mask > 0, where)
        counts += [counted.true_positive, counted.false_positive, counted.false_negative, counted.true_negative]
        values.append(1 - none[where][::stride])
        lesions.append((mask > 0)[where][::stride])
    pixels = PixelCounts(*(int(one) for one in counts))
    return {
        "dice": float(np.mean(dice)),
        "dice_of_lesions": float(np.mean(of_lesions)) if of_lesions else math.nan,
        "iou": float(np.mean(iou)),
        "mse": float(np.mean(mse)),
        "sensitivity": pixels.sensitivity,
        "specificity": pixels.specificity,
        "accuracy": pixels.accuracy,
        "auc": agreement.auc(np.concatenate(lesions), np.concatenate(values)),
    }


def _of_categories(probabilities: np.ndarray, truth: np.ndarray, classes: int) -> Measures:
    known = truth >= 0
    truth, probabilities = truth[known], probabilities[known]
    counts = agreement.confusion(truth.tolist(), probabilities.argmax(1).tolist(), range(classes))
    areas = [agreement.auc(truth == k, probabilities[:, k]) for k in range(classes)]
    defined = [one for one in areas if not math.isnan(one)]
    return {
        "accuracy": counts.accuracy,
        "balanced_accuracy": counts.balanced_accuracy,
        "macro_f1": macro_f1(counts),
        "auc": float(np.mean(defined)) if defined else math.nan,
    }


def _of_boxes(found: Sequence[detection.Found], truth: Sequence[Any]) -> Measures:
    fit = detection.fit_of_matched_boxes(found, truth, SURE)
    return {
        "average_precision": detection.mean_average_precision(found, truth),
        "iou": 0.0 if math.isnan(fit) else fit,  # no sure box hit anything
        "sensitivity_at_1": detection.froc(found, truth, false_per_image=(1.0,))[1.0],
    }
