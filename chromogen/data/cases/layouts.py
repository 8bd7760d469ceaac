"""Which file belongs to which case: the folder layouts that people have, recognised by themselves.

    made            a folder of `chromogen synthesize`: what cases.jsonl lists
    nnunet          imagesTr/NAME_0000.nii.gz with labelsTr/NAME.nii.gz and dataset.json, here or in the one folder that
                    has them; imagesTs with labelsTs is the test split; regions, ignore, channels in one file (Decathlon's
                    four axes, PNG in colours)
    brats2015       a folder a patient: NAME_subtrMeanDivStd.nii.gz and OTMultiClass.nii.gz
    open_ms         a folder a patient: FLAIR, T1, T1POST, T2 and GOLD_STANDARD (.nii.gz)
    brats           a folder a patient: *_t1, *_t1ce, *_t2, *_flair and *_seg (also -t1n, -t1c, -t2w, -t2f)
    bids            sub-NAME/anat/sub-NAME_T1w.nii.gz, the label as _mask, _dseg, _roi or _lesion anywhere below
    volume_masks    images/NAME.nii.gz with labels/NAME.nii.gz; several modalities: a folder of each name
    volumes_beside  NAME.nii.gz with NAME_gt.nii.gz (or _seg, _mask, _label) in one folder: ACDC
    chase           Image_NNL.jpg and Image_NNR.jpg with Image_NNL_1stHO.png: both eyes of patient NN
    stacks          x_train.npy with y_train.npy: many pictures in one array
    image_masks     images with masks (labels, gt, 1st_manual, ...), the files named alike; several modalities: a
                    folder of each name; train_images with train_masks beside test_images with test_masks, too
    dicom_boxes     DICOM slices with or without .dcm; boxes in NAME.xml beside them, or in SOPInstanceUID.xml anywhere
    image_boxes     pictures with COCO's JSON or with Pascal VOC's XML
    masks_beside    NAME.png with NAME_mask.png in one folder: BUSI
    class_folders   NORMAL, PNEUMONIA, ...: a folder a class

Volumes are .nii, .nii.gz, .mha, .mhd, .nrrd and .nhdr. Folders called train, val and test (Training, Testing, test_set)
on the way say the split. Hidden files are passed over.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from chromogen.config import nearest
from chromogen.data.cases.box_layouts import find_dicom, find_image_boxes
from chromogen.data.cases.mask_layouts import find_image_masks, find_masks_beside
from chromogen.data.cases.nnunet import find_nnunet
from chromogen.data.cases.picture_layouts import find_chase, find_class_folders, find_made, find_stacks
from chromogen.data.cases.studies import Found
from chromogen.data.cases.unread import unread_in
from chromogen.data.cases.volume_layouts import find_brats, find_brats2015, find_open_ms
from chromogen.data.cases.volume_sets import find_bids, find_volume_masks, find_volumes_beside
from chromogen.data.images import is_clutter, natural_order

LAYOUTS: dict[str, Callable[[Path, Sequence[str], str], Found | None]] = {
    "made": find_made,
    "nnunet": find_nnunet,
    "bids": find_bids,
    "brats2015": find_brats2015,
    "open_ms": find_open_ms,
    "brats": find_brats,
    "volume_masks": find_volume_masks,
    "volumes_beside": find_volumes_beside,
    "chase": find_chase,
    "stacks": find_stacks,
    "image_masks": find_image_masks,
    "dicom_boxes": find_dicom,
    "image_boxes": find_image_boxes,
    "masks_beside": find_masks_beside,
    "class_folders": find_class_folders,
}


class UnknownLayoutError(ValueError):
    """A folder is in no layout of cases; any other ValueError is a fault of one that is."""


def find_studies(
    root: Path | str, layout: str = "auto", modalities: Sequence[str] = (), pattern: str = ""
) -> tuple[str, Found]:
    """The name of the layout of `root`, and what it holds. `modalities` () takes all; `pattern` finds the patient in a name.

    What does not fit together is among the problems of what is found. Raises ValueError for an unknown or unrecognised layout
    and for faults that leave no case; FileNotFoundError when `root` is not there.
    """
    root = Path(root).expanduser()
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(f"no layout is called {layout!r}; {nearest(layout, ('auto', *LAYOUTS))}")
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; give the folder that holds the cases")
    tried = LAYOUTS if layout == "auto" else {layout: LAYOUTS[layout]}
    for name, find in tried.items():
        found = find(root, modalities, pattern)
        if found is not None:
            if not found.studies and not found.problems:
                raise ValueError(f"{root} ({name} layout) holds no case; add the images")
            _check_names(found)
            return name, found
    raise UnknownLayoutError(_not_recognised(root, tried))


def _check_names(found: Found) -> None:
    """Two studies of one name (a.png and a.tif) are a problem of both; none is quietly preferred."""
    counts = Counter(study.name for study in found.studies)
    for study in found.studies:
        if counts[study.name] > 1:
            found.problems.append(f"{study.images[0][1]} has the same name as another case ({study.name}); rename one of them")
    found.studies = [study for study in found.studies if counts[study.name] == 1]


def _not_recognised(root: Path, tried: Iterable[str]) -> str:
    entries = sorted((path for path in root.iterdir() if not is_clutter(path)), key=natural_order)
    shown = ", ".join(path.name for path in entries[:6]) + (", ..." if len(entries) > 6 else "") or "nothing"
    why = unread_in(root)
    return (
        f"{root} holds no cases in a known layout. It holds {shown}; looked for: {', '.join(tried)} (see the docs on layouts)"
        + (f"; {why}" if why else "")
    )
