"""`chromogen import`."""

import json
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from chromogen import checkpoint
from chromogen.cli.console import FINE, err_console


def import_weights(
    file: Positional[Path],
    /,
    method: Annotated[str, arg(name="as")],
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
    network: str = "",
    set: tuple[str, ...] = (),
    source: str = "",
    licence: str | None = None,
    source_stain: str = "H&E",
    target_stain: str | None = None,
    data: str = "",
    mpp: float | None = None,
    overwrite: bool = False,
) -> int:
    """Make a model file of weights that others trained (docs/published_weights.md).

    Args:
        file: A state dict of PyTorch (.pth, .pt) or safetensors; read in a process apart, weights alone, with limits.
        method: The method, or method:variant, whose network it is; `chromogen methods` says which take weights of others.
        output: The model file; FILE's name with .safetensors in this folder if not given.
        network: Which network to take where the file holds several, such as G_A.
        set: Fields of the method that weights do not tell, as NAME=VALUE: statistics=image averaged_views=7.
        source: Where the file is from: an address, a paper, a person.
        licence: Of the weights; otherwise what their authors say, where that is known.
        source_stain: What it stains from.
        target_stain: What it makes.
        data: What it was trained on.
        mpp: Micrometres per pixel of the training images.
        overwrite: Replace a file that is there.
    """
    from chromogen.foreign.model import Statement, import_model, told_fields

    out = output or Path(f"{file.stem}{checkpoint.SUFFIX}")
    if out.suffix != checkpoint.SUFFIX:
        raise ValueError(f"{out} must end in {checkpoint.SUFFIX}, as model files do")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already; add --overwrite, or name another with -o")
    statement = Statement(source, licence, source_stain, target_stain, data, mpp)
    done = import_model(file, method, out, _fields(set), network, statement)
    err_console.print(
        f"{done.path}: {done.card.title}; licence: {done.card.data_licence}\n{method}: {told_fields(done.method, method)}\n"
        f"{done.card.notes}\n{done.card.intended_use}\n"
        f"next: chromogen translate he.png --model {done.path}",
        soft_wrap=True,
    )
    return FINE


def _fields(words: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE as a field and its JSON value; a bare word is a text."""
    fields: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"--set takes NAME=VALUE, got {word!r}; for example: --set statistics=image")
        try:
            fields[name.replace("-", "_")] = json.loads(value.lower() if value in ("True", "False") else value)
        except ValueError:
            fields[name.replace("-", "_")] = value
    return fields
