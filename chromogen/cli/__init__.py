"""The command `chromogen`. Exit codes: 0 fine, 1 some items failed (they are listed), 2 usage, 130 interrupted (resumable)."""

import sys
from collections.abc import Callable, Sequence

import torch
import tyro

import chromogen
from chromogen.cli import benches, challenge, data, lists, staining
from chromogen.cli.console import FINE, INTERRUPTED, SOME_FAILED, USAGE, fail, out_console
from chromogen.cli.foreign import import_weights
from chromogen.cli.her2 import her2
from chromogen.cli.rank import rank
from chromogen.cli.synthesis import synthesize, utility
from chromogen.cli.training import train

ABOUT = """One kind of tissue image from another. Research use only; not for diagnosis.

To train: chromogen train RECIPE --out RUN. To look at a data set or draw phantoms: chromogen data. To compare systems:
chromogen bench staining."""

Commands = dict[str, Callable[..., int]]
COMMANDS: Commands = {
    "translate": staining.translate,
    "evaluate": staining.evaluate,
    "report": staining.report,
    "her2": her2,
    "rank": rank,
    "interpolate": staining.interpolate,
    "import": import_weights,
    "synthesize": synthesize,
    "utility": utility,
    "models": lists.list_models,
    "methods": lists.list_methods,
}
GROUPS: dict[str, tuple[str, Commands]] = {
    "bench": (
        "Compare systems under equal conditions.",
        {"staining": benches.bench_staining, "synthesis": benches.bench_synthesis},
    ),
    "challenge": (challenge.ABOUT, challenge.COMMANDS),
    "data": (
        "Look at data, or make some.",
        {"check": data.check_data, "phantom": data.write_phantoms, "anatomy": data.write_anatomy},
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line; every expected error becomes one sentence on stderr."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        return _dispatch(words)
    except ValueError as error:
        return fail(str(error), USAGE)
    except FileNotFoundError as error:
        return fail(f"there is no {error.filename}; check the path" if error.filename else str(error), USAGE)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return fail(f"{error.strerror or error}{where}", SOME_FAILED)
    except torch.OutOfMemoryError:
        return fail(
            "the GPU's memory is full; lower loop.batch-size or data.crop-px, or --tile-px when translating", SOME_FAILED
        )
    except FloatingPointError as error:
        return fail(str(error), SOME_FAILED)
    except KeyboardInterrupt:
        return fail("interrupted; the same command continues (a training: with --resume)", INTERRUPTED)


def _dispatch(words: list[str]) -> int:
    if words in (["--version"], ["version"]):
        out_console.print(f"chromogen {chromogen.__version__}")
        return FINE
    if words[:1] == ["train"]:
        return train(words[1:])
    if words and words[0] in GROUPS:
        about, commands = GROUPS[words[0]]
        return _subcommands(commands, f"chromogen {words[0]}", words[1:], about)
    return _subcommands(COMMANDS, "chromogen", words, ABOUT)


def _subcommands(commands: Commands, program: str, words: list[str], about: str) -> int:
    config = (tyro.conf.OmitArgPrefixes,)
    code: int = tyro.extras.subcommand_cli_from_dict(
        commands, prog=program, args=words or ["--help"], description=about, config=config
    )
    return code
