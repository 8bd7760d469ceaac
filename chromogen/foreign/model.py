"""A file that others trained becomes a model of ours, with a card that says where it is from and what nobody knows of it."""

import importlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from chromogen import methods
from chromogen.checkpoint import Card, file_sha256, save_model
from chromogen.config import from_fields, nearest, to_fields
from chromogen.foreign.fit import Fit, converted, fitted
from chromogen.foreign.pickles import as_weight, opened
from chromogen.foreign.wrappers import Candidate, candidates
from chromogen.published import Published

MOST_MPP = 1000.0
SHOWN = 3  # problems that a sentence names


@dataclass(frozen=True)
class Statement:
    """What the person who imports a file knows of it. None and empty: as the code's authors say, or not known."""

    source: str = ""  # where the file is from: an address, a paper, a person
    licence: str | None = None
    source_stain: str = "H&E"
    target_stain: str | None = None
    data: str = ""  # what it was trained on
    mpp: float | None = None


@dataclass(frozen=True)
class Imported:
    """What became of a file: the model's file, its method and card, and which network of the file it is."""

    path: Path
    method: Any
    card: Card
    network: str
    notes: tuple[str, ...]


def importable() -> dict[str, Published]:
    """The methods that take weights of others, with the code those are of."""
    found = {name: importlib.import_module(f"chromogen.methods.{name}") for name in methods.available()}
    return {name: module.PUBLISHED for name, module in found.items() if hasattr(module, "PUBLISHED")}


def import_model(
    path: Path, name: str, out: Path, fields: dict[str, Any], network: str = "", statement: Statement | None = None
) -> Imported:
    """Write the weights of `path`, read as the method `name` (or `name:variant`), to the model file `out`.

    `fields` are of the method, as JSON values, and go over what shapes tell and the preset says. `network` picks one where the
    file holds several. ValueError, in one sentence, for a file that is not taken or does not fit.
    """
    known = importable()
    plain = name.partition(":")[0]
    if plain not in known:
        raise ValueError(f"no weights of others are known for a method {plain!r}; {nearest(plain, known)}")
    preset, statement = methods.load(name), statement or Statement()
    if statement.mpp is not None and not 0 < statement.mpp < MOST_MPP:
        raise ValueError(f"um per pixel are above 0 and below {MOST_MPP:g}, got {statement.mpp}")
    with opened(path) as file:
        found = candidates(file.groups)
        chosen, fit = _chosen(path, name, preset, known[plain], found, network)
        fit = _with_fields(fit, fields, chosen, name)

        def tensor(theirs: str) -> Tensor:
            group, original = chosen.origins[theirs]
            return as_weight(file.tensor(group, original))

        try:
            nets = converted(fit, tensor)
        except ValueError as error:
            raise ValueError(f"{path} is not taken: {error}") from error
    notes = (*chosen.notes, *fit.notes)
    card = _card(path, chosen.label, known[plain], statement, notes)
    save_model(out, fit.method, nets, card)
    return Imported(out, fit.method, card, chosen.label, notes)


def _chosen(
    path: Path, name: str, preset: Any, published: Published, found: list[Candidate], network: str
) -> tuple[Candidate, Fit]:
    """The one set of weights that fits; ValueError when there is none, or more than one."""
    tried = [(one, *_tried(preset, published, one)) for one in found]
    good = [(one, fit) for one, fit, _ in tried if fit is not None and not fit.problems]
    if not good:
        raise ValueError(_misfit(path, name, tried, found))
    labels = ", ".join(one.label or "bare weights" for one, _ in good)
    if network:
        wanted = [pair for pair in good if network.casefold() in (pair[0].label.casefold(), *_parts(pair[0].label))]
        if not wanted:
            raise ValueError(f"{path} holds no network {network!r} that fits {name}; those that fit are: {labels}")
        good = wanted
    good = [pair for pair in good if pair[0].averaged] or good
    if len(good) > 1:
        hint = " (of CycleGAN, G_A makes stain B of stain A)" if any("G_A" in one.label for one, _ in good) else ""
        raise ValueError(f"{path} holds several networks that fit {name}: {labels}; pick one with --network{hint}")
    return good[0]


def _parts(label: str) -> list[str]:
    return [part.casefold() for part in label.split(".")]


def _tried(preset: Any, published: Published, one: Candidate) -> tuple[Fit | None, str]:
    """A fit with or without problems; or none, and the sentence why."""
    try:
        return fitted(published.read(preset, one.shapes), one.shapes), ""
    except ValueError as error:
        return None, str(error)


def _misfit(path: Path, name: str, tried: list[tuple[Candidate, Fit | None, str]], found: list[Candidate]) -> str:
    """Why no weights of a file fit: the first differences of those that come nearest, and what they would fit."""
    near = [(one, fit) for one, fit, _ in tried if fit is not None]
    if near:
        one, fit = min(near, key=lambda pair: len(pair[1].problems))
        more = f", and {len(fit.problems) - SHOWN} more" if len(fit.problems) > SHOWN else ""
        why = f"{len(fit.problems)} of its weights do not fit: {'; '.join(fit.problems[:SHOWN])}{more}"
        why += f" (read as {told_fields(fit.method, name)})"
    else:
        one, _, why = max(tried, key=lambda each: len(each[0].shapes))
        first = ", ".join([*one.shapes][:SHOWN])
        why += f"; its first names are {first}"
    guesses = _guesses(name, found)
    cure = f"it fits --as {' or --as '.join(guesses)}" if guesses else f"no method here fits it{_other_network(found)}"
    return f"{path} holds no {name}: {why}; {cure}"


def _other_network(found: list[Candidate]) -> str:
    """What else of the published codes the weights may be, as the end of a sentence; they are not needed for a picture."""
    for one in found:
        first = one.shapes.get("model.0.weight", one.shapes.get("model.0.weight_orig", ()))
        if first[1:] in ((3, 4, 4), (6, 4, 4)):
            return ": it looks like a discriminator (net_D); the generator is in another file (net_G)"
        if "mlp_0.0.weight" in one.shapes:
            return ": it looks like CUT's head of features (net_F); the generator is in another file (net_G)"
    return "; if it is a training state of several networks, try the generator's own file"


def _guesses(name: str, found: list[Candidate]) -> list[str]:
    """The methods that some weights of a file fit, with the fields that they tell."""
    guesses = []
    for other, published in importable().items():
        if other == name:
            continue
        for one in found:
            fit, _ = _tried(methods.load(other), published, one)
            if fit is not None and not fit.problems:
                guesses.append(f"{other} ({told_fields(fit.method, other)})")
                break
    return guesses


def told_fields(method: Any, name: str) -> str:
    """The fields that say how a network is built, with their values."""
    told = (
        "width",
        "blocks",
        "depth",
        "norm",
        "downsampling",
        "upsampling",
        "spectral",
        "modulation",
        "attention",
        "statistics",
    )
    return ", ".join(f"{field} {getattr(method, field)}" for field in told if hasattr(method, field)) or name


def _with_fields(fit: Fit, fields: dict[str, Any], chosen: Candidate, name: str) -> Fit:
    """The fit with fields that the person names; ValueError when the weights do not allow one."""
    if not fields:
        return fit
    told = to_fields(fit.method)
    assert isinstance(told, dict)
    method = from_fields(type(fit.method), told | fields)
    reading = importable()[name.partition(":")[0]].read(fit.method, chosen.shapes)
    again = fitted(replace(reading, method=method), chosen.shapes)
    if again.problems:
        words = ", ".join(f"{key}={value}" for key, value in fields.items())
        raise ValueError(f"the weights do not allow {words}: {'; '.join(again.problems[:SHOWN])}")
    return again


def _card(path: Path, network: str, published: Published, statement: Statement, notes: tuple[str, ...]) -> Card:
    """Who trained it, whence it is, under which licence, and what is not known."""
    source = statement.source or "not stated"
    known = {"the training data": statement.data, "um/px": statement.mpp, "where the file is from": statement.source}
    unknown = [word for word, value in known.items() if not value]
    licence = statement.licence or published.licence
    if licence == "not stated":
        unknown.append("the licence")
    told = [
        f"Imported on {datetime.now(UTC):%Y-%m-%d} from {path.name} (sha256 {file_sha256(path)}), weights of {published.code}.",
        f"Source: {source}.",
        *([f"Network in the file: {network}."] if network else []),
        *notes,
        f"Not known: {', '.join([*unknown, 'its scores'])}. Chromogen did not train it and has not judged it.",
    ]
    return Card(
        title=f"{path.stem}, weights of {published.code}",
        source_stain=statement.source_stain,
        target_stain=statement.target_stain or published.target_stain,
        mpp=statement.mpp,
        data=statement.data or "not stated",
        data_licence=licence,
        notes=" ".join(told),
    )
