"""What does not fit is said before the first stage trains, with the stage and the flag."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from chromogen.data.cases.prepared import Prepared
from chromogen.data.cases.source import CaseSource
from chromogen.methods.classifier import Classifier
from chromogen.methods.detector import Detector
from chromogen.methods.modality_translator import ModalityTranslator
from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.renderer import Renderer
from chromogen.methods.segmenter import Segmenter
from chromogen.phantom.anatomy import Brain, write_anatomy
from chromogen.tensors import CaseBatch
from chromogen.train.chain import Chain, Stage, train_chain
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop
from chromogen.train.step import make_optimizers, train_step
from chromogen.train.suits import check_only, check_sizes, check_stages, told
from tests.bench.prepared_sets import brains, squares

METHODS: dict[str, Any] = {
    "organ": OrganReader(width=2),
    "segmenter": Segmenter(modalities=2, width=2),
    "classifier": Classifier(modalities=2, width=2),
    "detector": Detector(modalities=2, width=2, size_px=64),
    "translator": ModalityTranslator(modalities=2, width=2, critic_width=2),
    "renderer": Renderer(modalities=2, width=2, critic_width=2, lines_from="batch", registration=False, lesion=False),
}


def cases(rows: int, columns: int) -> CaseBatch:
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.rand(2, 2, 1, rows, columns, generator=generator),
        "lines": (torch.rand(2, 1, rows, columns, generator=generator) > 0.8).float(),
        "organ": torch.ones(2, 1, rows, columns),
        "index": torch.arange(2),
        "mask": (torch.rand(2, rows, columns, generator=generator) > 0.9).long(),
        "category": torch.tensor([0, 1]),
        "boxes": torch.tensor([[[1.0, 2, 2, 8, 8]]] * 2),
    }


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [(12, 12), (24, 24), (32, 48), (40, 40), (44, 64), (33, 47)])
def test_a_stage_takes_the_sizes_that_it_says(name: str, size: tuple[int, int]) -> None:
    """Tried by a step of training; the classifier and the detector take any, from a least one."""
    method = METHODS[name]
    torch.manual_seed(0)
    nets = method.networks()
    try:
        train_step(method, nets, make_optimizers(method.players(), nets), [cases(*size)], 0.9)
        takes = True
    except ValueError:
        takes = False
    try:
        check_sizes({name: method}, size)
        says = True
    except ValueError as error:
        says = False
        assert f"stage {name!r}" in str(error) and "set --cases.size-px" in str(error)
    assert says == takes


def test_the_size_that_is_named_suits_all_stages() -> None:
    methods = {name: METHODS[name] for name in ("organ", "translator")}
    with pytest.raises(
        ValueError, match=r"stage 'organ' \(organ_reader\).*cases have 100 x 50 px; set --cases.size-px 48 96, "
    ):
        check_sizes(methods, (50, 100))
    with pytest.raises(ValueError, match=r"stage 'translator' .*have 240 x 248 px; set --cases.size-px 240, which all"):
        check_sizes(methods, (248, 240))
    check_sizes(methods, (240, 240))


def test_modalities_classes_and_labels_are_looked_at_first(tmp_path: Path) -> None:
    masks = Prepared(brains(tmp_path / "masks", size=32))
    boxes = Prepared(squares(tmp_path / "boxes", "boxes"))
    check_stages({"organ": METHODS["organ"], "reader": METHODS["segmenter"], "renderer": METHODS["renderer"]}, masks)
    for methods, prepared, sentence in (
        ({"reader": Segmenter(modalities=4, width=2)}, masks, r"stage 'reader': .*4 modalities.*have 2 \(T1, FLAIR\)"),
        ({"reader": Segmenter(modalities=4, width=2)}, masks, r"set --stages.reader.method.modalities.*--cases.modalities"),
        ({"drawer": Renderer(modalities=4, width=2)}, masks, "stage 'drawer': .*4 modalities"),
        ({"reader": Segmenter(2, classes=5, width=2)}, masks, "stage 'reader': .*5 classes, and the cases have 2"),
        ({"reader": Segmenter(1, width=2)}, boxes, r"stage 'reader' \(segmenter\) learns from the label 'mask'.*have 'boxes'"),
        ({"drawer": Renderer(1, width=2)}, boxes, r"stage 'drawer' \(renderer\) learns from the label 'mask'.*have 'boxes'"),
        ({"reader": METHODS["classifier"]}, masks, "learns from the label 'category'.*have 'mask'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_stages({"organ": METHODS["organ"], **methods}, prepared)


def test_held_out_cases_that_are_missing_are_told(tmp_path: Path) -> None:
    assert not list(told(Prepared(brains(tmp_path / "all"))))
    (validation,) = told(Prepared(brains(tmp_path / "no-val", ("train", "train", "test"))))
    assert "--cases.shares" in validation and "training patients stand in" in validation
    alone = list(told(Prepared(brains(tmp_path / "one", ("train",)))))
    assert "nothing says how alike strangers are" in alone[0] and "utility cannot judge" in alone[1]
    with pytest.raises(ValueError, match=r"no case is for training.*--cases.shares"):
        check_stages({}, Prepared(brains(tmp_path / "no-train", ("val", "test"))))


def test_nothing_is_trained_before_the_last_stage_was_looked_at(tmp_path: Path) -> None:
    write_anatomy(tmp_path / "brains", Brain(size_px=32), patients=4, slices=1, seed=3)
    loop = Loop(steps=1, batch_size=1, select="last")
    source = CaseSource(str(tmp_path / "brains"), classes=("none", "lesion"))
    stages = {"organ": Stage(OrganReader(width=2), loop), "reader": Stage(Segmenter(modalities=3, width=2), loop)}
    chain = Chain(source, Drawing(lines_of="T1"), stages)
    with pytest.raises(ValueError, match="stage 'reader': Segmenter is set up for 3 modalities"):
        train_chain(chain, tmp_path / "run", device="cpu", quiet=True)
    assert not list((tmp_path / "run").glob("organ-*"))
    train_chain(chain, tmp_path / "run", ("organ",), device="cpu", quiet=True)  # what is not wanted is not looked at
    small = dataclasses.replace(chain, cases=dataclasses.replace(source, size_px=50))
    with pytest.raises(ValueError, match="stage 'organ' .*--cases.size-px 48"):
        train_chain(small, tmp_path / "never", device="cpu", quiet=True)
    assert not (tmp_path / "never").exists()  # said before a single case was read


def test_image_classes_that_a_stage_learns_from_are_there(tmp_path: Path) -> None:
    prepared = Prepared(squares(tmp_path / "squares", "category", ("train", "val", "test")))  # the one training case is "none"
    check_only("structure", (), prepared)
    check_only("structure", ("None",), prepared)
    with pytest.raises(
        ValueError, match="stage 'structure': no image class is called 'normal', .* none, square; .*structure.only"
    ):
        check_only("structure", ("normal",), prepared)
    with pytest.raises(ValueError, match="'structure' learns from the image class square alone, and no training case is of it"):
        check_only("structure", ("square",), prepared)
