"""`chromogen models` and `chromogen methods`."""

from typing import Literal, get_args

from chromogen import checkpoint, methods
from chromogen.cli.console import FINE, out_console
from chromogen.foreign.model import importable
from chromogen.method import Task

WHAT: dict[Task, str] = {
    "staining": "H&E to IHC",
    "synthesis": "labelled radiology images, or parts of their making",
    "reading": "find in radiology images what a label says",
}


def list_models() -> int:
    """The models inside the package, with what they were trained on."""
    for name in checkpoint.shipped():
        card = checkpoint.load_model(name).card
        out_console.print(f"{name}: {card.title}\n  data: {card.data}\n  licence: {card.data_licence}")
    return FINE


def list_methods(task: Task | Literal["all"] = "all", markdown: bool = False) -> int:
    """The methods that ship with the package, by task: paper, year, what each learns from, and its variants.

    Args:
        task: Which ones.
        markdown: Print the tables of README.md.
    """
    show = _print_table if markdown else _print_list
    for number, one in enumerate(get_args(Task) if task == "all" else [task]):
        if number:
            out_console.print()
        show(one)
    return FINE


def _print_list(task: Task) -> None:
    out_console.print(f"{task}: {WHAT[task]}", style="bold")
    foreign = importable()
    for name in methods.available(task):
        source, variants = methods.source_of(name), methods.variants(name)
        others = f"\n    variants: {', '.join(f'{name}:{variant}' for variant in variants)}" if variants else ""
        taken = f"\n    chromogen import takes weights of: {foreign[name].code}" if name in foreign else ""
        line = f"  {name} ({source.year}): {source.paper}\n    learns from: {source.supervision}{others}{taken}"
        out_console.print(line, soft_wrap=True)


def _print_table(task: Task) -> None:
    out_console.print(f"**{task.capitalize()}**: {WHAT[task]}\n", soft_wrap=True)
    out_console.print("| method | paper | year | learns from | variants |\n|---|---|---|---|---|", soft_wrap=True)
    for name in methods.available(task):
        source, variants = methods.source_of(name), methods.variants(name)
        cells = (f"`{name}`", source.paper, str(source.year), source.supervision, ", ".join(f"`{v}`" for v in variants))
        out_console.print(f"| {' | '.join(cells)} |", soft_wrap=True)
