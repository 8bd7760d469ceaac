"""`chromogen models` and `chromogen methods`."""

from chromogen import checkpoint, methods
from chromogen.cli.console import FINE, out_console


def list_models() -> int:
    """The models inside the package, with what they were trained on."""
    for name in checkpoint.shipped():
        card = checkpoint.load_model(name).card
        out_console.print(f"{name}: {card.title}\n  data: {card.data}\n  licence: {card.data_licence}")
    return FINE


def list_methods(markdown: bool = False) -> int:
    """The methods that ship with the package: paper, year, what each learns from, and its variants.

    Args:
        markdown: Print the table of README.md.
    """
    if markdown:
        out_console.print("| method | paper | year | learns from | variants |\n|---|---|---|---|---|", soft_wrap=True)
    for name in methods.available("staining"):
        source, variants = methods.source_of(name), methods.variants(name)
        if markdown:
            cells = (f"`{name}`", source.paper, str(source.year), source.supervision, ", ".join(f"`{v}`" for v in variants))
            out_console.print(f"| {' | '.join(cells)} |", soft_wrap=True)
            continue
        others = f"\n  variants: {', '.join(f'{name}:{variant}' for variant in variants)}" if variants else ""
        line = f"{name} ({source.year}): {source.paper}\n  learns from: {source.supervision}{others}"
        out_console.print(line, soft_wrap=True)
    return FINE
