"""One file that explains itself: weights as safetensors, and in their header what made them, as JSON.

Nothing that can run code is read. A header is believed only as far as it can be checked: the method must be one that ships,
its fields must be possible, and the weights must have exactly the names and shapes of the networks they describe.
"""

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import chromogen
from chromogen import methods
from chromogen.config import from_fields, nearest, to_fields
from chromogen.files import written_whole
from chromogen.method import Method, Trainable

FORMAT = 1  # raised when an older chromogen could not read the file
HEADER = "chromogen"
VALUE_RANGES = {"staining": "signed", "synthesis": "unit", "reading": "unit"}  # of a task's images; chromogen.tensors
SUFFIX = ".safetensors"
DEFAULT_MODEL = "her2-demo"

RESEARCH_USE = (
    "Research use only. Not for diagnosis. A virtual stain is a model's prediction, not a measurement; confirm with IHC/ISH."
)


@dataclass(frozen=True)
class Card:
    """What a person or a program must know before using the weights."""

    title: str = "unnamed model"
    source_stain: str = "H&E"
    target_stain: str = "HER2 IHC"
    mpp: float | None = None  # um per pixel of the training images; None: not known
    data: str = "not stated"
    data_licence: str = "not stated"
    step: int = 0
    scores: dict[str, Any] = field(default_factory=dict)  # {"protocol": ..., "psnr": ..., ...}, as measured, on what
    notes: str = ""
    modalities: tuple[str, ...] = ()  # of a model that makes or reads radiology images, in the order of its planes
    classes: tuple[str, ...] = ()  # what a label's numbers mean, from 0
    frozen: dict[str, Any] = field(default_factory=dict)  # sha256 of each model that guided the training, by name
    intended_use: str = RESEARCH_USE


@dataclass(frozen=True)
class Model:
    """A method with trained networks, in evaluation mode, and its card."""

    name: str
    method: Trainable
    nets: nn.ModuleDict
    card: Card
    sha256: str


def shipped() -> dict[str, Path]:
    """The models inside the package: name -> file."""
    folder = Path(str(resources.files("chromogen") / "models"))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def save_model(path: Path, method: Trainable, nets: nn.ModuleDict, card: Card, dtype: torch.dtype = torch.float32) -> None:
    """Write the networks that `translate` uses, and the card. Same weights and card, same bytes."""
    header = {
        "kind": "model",
        "method": methods.name_of(method),
        "fields": to_fields(method),
        "value_range": _value_range(method),
        "card": to_fields(card),
    }
    kept = {f"{name}.{key}": value for name in method.released for key, value in nets[name].state_dict().items()}
    write_tensors(path, {k: v.to(dtype) if v.is_floating_point() else v for k, v in kept.items()}, header)


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """Load a shipped model by name, or a model file. Every way a file can be wrong is a ValueError that says which."""
    path = _find(name_or_path)
    header, tensors = read_tensors(path)
    if header.get("kind") != "model":
        raise ValueError(
            f"{path} holds a {header.get('kind', 'thing of no kind')}, not a model; use best{SUFFIX} of the same run"
        )
    method = method_from(header, path)
    value_range = _value_range(method)
    if header.get("value_range") != value_range:
        raise ValueError(
            f"{path} is for images in the range {header.get('value_range')!r}; this chromogen computes in {value_range!r}"
        )
    with torch.device("meta"):  # shapes cost nothing there, so a header cannot make us allocate what the file does not hold
        nets = nn.ModuleDict({name: net for name, net in method.networks().items() if name in method.released})
    weights = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    fit_or_explain(nets, weights, path)
    broken = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"{path} holds weights that are not finite, first {broken[0]}; its training failed")
    nets.load_state_dict(weights, assign=True)
    nets.eval().requires_grad_(False)
    try:
        card = from_fields(Card, header.get("card", {}))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: its card does not read: {error}") from error
    return Model(path.stem, method, nets, card, file_sha256(path))


def interpolated(a: Model, b: Model, share: float) -> Model:
    """A model between two: every weight of the translating networks is (1 - share) of a's and `share` of b's.

    Wang et al. (CVPR 2019, arXiv:1811.10515) so tune between an exact and a lifelike picture without training again. It needs
    parents that stem from one: train b from a (`Run.start_from`), since weights found apart have no middle worth having. The
    result has the method of `a`; knobs of training may differ in `b`, and count buffers are a's. Its card names both parents,
    and as no file holds it yet, its sha256 is empty. Raises ValueError for a share outside [0, 1], and for models of another
    method, stain, scale or shape, or with another field that changes the picture.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of {b.name} is {share}; it must be from 0 (all {a.name}) to 1 (all {b.name})")
    _check_kin(a, b)
    nets = copy.deepcopy(a.nets)
    with torch.no_grad():
        other = b.nets.state_dict()
        for key, value in nets.state_dict().items():
            if value.is_floating_point():
                value.mul_(1 - share).add_(other[key].to(value.device), alpha=share)
    return Model(f"{a.name}-{b.name}-{share:g}", a.method, nets.eval(), _child_card(a, b, share), sha256="")


def method_from(header: Mapping[str, Any], path: Path) -> Trainable:
    """The method a header names, with the header's fields."""
    name = str(header.get("method"))
    if name not in methods.available():
        raise ValueError(
            f"{path} was made by a method named {name!r}, which this chromogen does not have; "
            f"{nearest(name, methods.available())}"
        )
    try:
        return from_fields(type(methods.load(name)), header.get("fields", {}))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: its fields do not fit {name}: {error}") from error


def _value_range(method: Trainable) -> str:
    return VALUE_RANGES[methods.source_of(methods.name_of(method)).task]


def fit_or_explain(nets: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """ValueError unless `weights` has exactly the names, shapes and types of `nets`.

    What is empty in fresh networks (a pool of images that were not made yet) may have any shape.
    """
    fresh = nets.state_dict()
    empty = {key for key, value in fresh.items() if not value.numel()} & weights.keys()
    expected = {key: _shape(value) for key, value in fresh.items() if key not in empty}
    found = {key: _shape(value) for key, value in weights.items() if key not in empty}
    if expected == found:
        return
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    key = wrong[0]
    raise ValueError(
        f"{path}: {len(wrong)} weights do not fit the networks it describes, first {key}: "
        f"expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}; the file was altered"
    )


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors with `header` as JSON beside them, whole or not at all."""
    text = json.dumps({"format": FORMAT, "version": chromogen.__version__, **header}, sort_keys=True)
    with written_whole(path) as partial:
        try:
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, partial, {HEADER: text})
        except SafetensorError as error:
            raise OSError(*_system_error(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_tensors` made; ValueError for anything else."""
    path = Path(path)
    with path.open("rb") as handle:
        start = handle.read(9)
    if start[8:] != b"{" and (start[:1] == b"\x80" or start[:4] == b"PK\x03\x04"):  # 8 bytes of length, then JSON, is ours
        raise ValueError(
            f"{path} is a pickled PyTorch file; as a model chromogen does not open those, because a pickle can run any code. "
            "Make a model of its weights with: chromogen import FILE --as METHOD"
        )
    try:
        with safe_open(path, framework="pt") as handle:
            header = _header(handle.metadata(), path)
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or cut short, or not a safetensors file ({error}); copy or download it again"
        ) from error
    return header, tensors


def file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_kin(a: Model, b: Model) -> None:
    """ValueError unless the weights of the two models can stand in each other's place."""
    pair = f"{a.name} and {b.name}"
    if type(a.method) is not type(b.method):
        kinds = [methods.name_of(model.method) for model in (a, b)]
        raise ValueError(f"{pair} are of different methods, {kinds[0]} and {kinds[1]}; there is nothing between them")
    for what in ("source_stain", "target_stain", "mpp"):
        values = [getattr(model.card, what) for model in (a, b)]
        if values[0] != values[1] and None not in values:
            raise ValueError(f"{pair} differ in {what}: {values[0]} and {values[1]}; a mixture would fit neither")
    mine, other = (to_fields(model.method) for model in (a, b))
    assert isinstance(mine, dict) and isinstance(other, dict)
    changed = ", ".join(f"{key} ({mine[key]} and {other[key]})" for key in mine if mine[key] != other[key])
    shapes, others = ({key: _shape(value) for key, value in model.nets.state_dict().items()} for model in (a, b))
    for key in [*shapes, *others]:
        if shapes.get(key) != others.get(key):
            raise ValueError(
                f"the networks of {pair} differ: {key} is {shapes.get(key, 'absent')} and {others.get(key, 'absent')}; "
                f"their methods differ in {changed or 'nothing'}"
            )
    if not changed:
        return
    if not (isinstance(a.method, Method) and isinstance(b.method, Method)):
        raise ValueError(f"{pair} differ in {changed}, and only models that stain can be compared by their pictures")
    # A field such as a padding or a window shows in no shape: so both methods translate a picture with the same weights.
    side = math.ceil(128 / a.method.tiling.multiple_px) * a.method.tiling.multiple_px
    device = next(a.nets.parameters()).device
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
    with torch.inference_mode():
        twin = copy.deepcopy(b.nets).to(device)
        twin.load_state_dict(a.nets.state_dict())
        if not torch.equal(a.method.translate(a.nets, noise), b.method.translate(twin, noise)):
            raise ValueError(f"{pair} make different pictures of the same weights: their methods differ in {changed}")


def _child_card(a: Model, b: Model, share: float) -> Card:
    """What the cards of two parents say, joined; scores are not inherited."""

    def joined(what: str) -> str:
        return "; ".join(dict.fromkeys(getattr(model.card, what) for model in (a, b)))

    parents = [
        f"{part:g} of {model.name} ({model.card.title}, step {model.card.step}, "
        f"sha256 {model.sha256 or 'not known'}, data licence: {model.card.data_licence})"
        for model, part in ((a, 1 - share), (b, share))
    ]
    notes = [f"Interpolated: {' and '.join(parents)}. Its scores were not measured."]
    return Card(
        title=f"between {a.card.title} and {b.card.title}",
        source_stain=a.card.source_stain,
        target_stain=a.card.target_stain,
        mpp=b.card.mpp if a.card.mpp is None else a.card.mpp,
        data=joined("data"),
        data_licence=joined("data_licence"),
        notes=" ".join([*notes, *dict.fromkeys(model.card.notes for model in (a, b) if model.card.notes)]),
        intended_use=joined("intended_use"),
    )


def _header(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    try:
        header = json.loads((metadata or {})[HEADER])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} was not written by chromogen: it does not say which method its weights belong to") from error
    if not isinstance(header, dict) or type(header.get("format")) is not int or header["format"] < 1:
        raise ValueError(f"{path} was not written by chromogen: its header has no format number")
    if header["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by a newer chromogen ({header.get('version', '?')}, format {header['format']}; "
            f"this is {chromogen.__version__}, format {FORMAT}); upgrade with: pip install -U chromogen"
        )
    return header


def _shape(tensor: Tensor) -> tuple[int | str, ...]:
    return (*tensor.shape, str(tensor.dtype).removeprefix("torch."))


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.is_dir() and (path / f"best{SUFFIX}").is_file():  # a run folder
        return path / f"best{SUFFIX}"
    if str(name_or_path) in shipped():
        return shipped()[str(name_or_path)]
    raise ValueError(
        f"no model {str(name_or_path)!r}: not a file, and not a shipped model; {nearest(str(name_or_path), shipped())}"
    )


def _system_error(error: SafetensorError) -> tuple[int, str]:
    """safetensors hides the system's error number in its text ("... (os error 28) ...")."""
    text = str(error)
    number = text.partition("os error ")[2].partition(")")[0]
    return (int(number) if number.isdigit() else 5), text
