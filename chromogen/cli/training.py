"""`chromogen train`."""

import os
import shlex
from pathlib import Path

from chromogen.cli.console import FINE, INTERRUPTED, err_console, fail, out_console

TRAIN_HELP = (
    "chromogen train recipes/bci.py:pyramid_pix2pix --out RUN trains; --resume continues; --device picks cpu or cuda; --show "
    "prints the resolved run; chromogen train RECIPE --help lists every field that can be changed"
)


def train(words: list[str]) -> int:
    """Train the run of a recipe: `chromogen train recipes/bci.py:pyramid_pix2pix --out RUN [--resume] [--any.field VALUE]`."""
    if words in (["-h"], ["--help"]):
        out_console.print(TRAIN_HELP)
        return FINE
    if not words or words[0].startswith("-"):
        raise ValueError(f"say which recipe. {TRAIN_HELP}")
    from chromogen.train.chain import Chain, train_chain
    from chromogen.train.loop import train as train_run
    from chromogen.train.recipe import changed_from_flags, load_recipe, shown

    recipe, flags = words[0], words[1:]
    own, fields = _own_flags(
        flags, {"--out": True, "-o": True, "--device": True, "--only": True, "--resume": False, "--show": False}
    )
    run = changed_from_flags(
        load_recipe(recipe), fields, f"chromogen train {recipe} --out RUN [--resume] [--show] [--device cpu]"
    )
    if "--show" in own:
        out_console.print(shown(run), soft_wrap=True)
        return FINE
    out = own.get("--out", own.get("-o"))
    if out is None:
        raise ValueError("say where the run goes: --out RUN")
    command = shlex.join(["chromogen", "train", *words])
    if isinstance(run, Chain):
        only = tuple(filter(None, own.get("--only", "").split(",")))
        if train_chain(run, Path(out), only, device=own.get("--device", "auto"), command=command):
            err_console.print(
                f"done: {out}/chain.json; next: chromogen synthesize --model {out} -n 100 --out SET", soft_wrap=True
            )
            return FINE
        return fail(f"stopped, saved; continue with: {command}", INTERRUPTED)
    outcome = train_run(run, Path(out), resume="--resume" in own, device=own.get("--device", "auto"), command=command)
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks
    if outcome.interrupted:
        again = command if "--resume" in own else f"{command} --resume"
        return fail(f"stopped after step {outcome.step}, saved; continue with: {again}" if first else "", INTERRUPTED)
    told = f"done: {out}/best.safetensors; look at {out}/samples, or: chromogen report {out} -o report.html"
    if first:
        err_console.print(told, soft_wrap=True)
    return FINE


def _own_flags(words: list[str], known: dict[str, bool]) -> tuple[dict[str, str], list[str]]:
    """Split the flags that belong to the command (True: takes a value) from those that name fields of the run."""
    own: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag not in known:
            rest.append(word)
        elif not known[flag]:
            own[flag] = ""
        else:
            own[flag] = value if equals else next(remaining, "")
            if not own[flag]:
                raise ValueError(f"{flag} needs a value")
    return own, rest
