"""Weights of published networks from files that users name. No code in a file is run, and every weight must fit."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

COUNTER = ".num_batches_tracked"  # which files of older PyTorch versions lack, and which no frozen network reads


def load_weights(net: nn.Module, path: Path, unused: str | None = None) -> str:
    """Put the weights of `path` into `net`, freeze it, and return the file's sha256.

    The file is .safetensors, or a PyTorch state dict: that is a pickle, of which only tensors and plain containers are read
    (`weights_only`). ValueError when the file is not there, is damaged, holds anything else, or when names or shapes
    differ from those of `net` in any place; names that begin with `unused` are left out.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no weight file {path}; chromogen downloads none, name one that is on this machine")
    tensors = {key: value for key, value in _read(path).items() if unused is None or not key.startswith(unused)}
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items() if not key.endswith(COUNTER)}
    found = {key: tuple(value.shape) for key, value in tensors.items() if not key.endswith(COUNTER)}
    if expected != found:
        wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise ValueError(
            f"{path} does not hold the weights of {type(net).__name__}: {len(wrong)} differ, first {wrong[0]}: "
            f"expected {expected.get(wrong[0], 'nothing')}, found {found.get(wrong[0], 'nothing')}"
        )
    net.load_state_dict({key: tensors[key].float() for key in expected}, strict=False, assign=True)
    broken = [key for key, value in net.state_dict().items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"{path} holds weights that are not finite, first {broken[0]}; copy or download it again")
    net.eval().requires_grad_(False)
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats of old files; whether they can be read is told below
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError) as error:
        why = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} is damaged, or holds more than weights and was therefore not opened ({why}); "
            "ask for the weights as .safetensors"
        ) from error
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise ValueError(f"{path} holds a {type(held).__name__}, not weights by name; save the network's state_dict()")
    return dict(held)
