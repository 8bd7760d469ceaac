"""Trained models that guide a training without being changed by it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from chromogen.checkpoint import load_model
from chromogen.train.run import Frozen


def load_frozen(wanted: Sequence[Frozen], taken: set[str], device: torch.device) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The networks of the models `wanted`, by name, in evaluation mode and without gradients; each network's file's sha256.

    Raises ValueError for a file that is not the one named (its sha256 differs), and for two networks of one name, be the other
    among `taken`, the names of the method's own.
    """
    networks: dict[str, nn.Module] = {}
    hashes: dict[str, str] = {}
    for one in wanted:
        model = load_model(Path(one.path))
        if one.sha256 not in ("", model.sha256):
            raise ValueError(
                f"{one.path} is not the model this run was set up with (its sha256 begins {model.sha256[:12]}, not "
                f"{one.sha256[:12]}); bring the file back, or run the stage that makes it again"
            )
        for name, net in model.nets.items():
            if name in taken or name in networks:
                raise ValueError(f"{one.path} brings a network called {name!r}, and there is one already")
            networks[name] = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            hashes[name] = model.sha256
    return networks, hashes
