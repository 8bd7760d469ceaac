"""`chromogen challenge init`."""

from pathlib import Path

from tyro.conf import Positional

from chromogen.cli.console import FINE, err_console, out_console


def init_challenge(
    folder: Positional[Path],
    /,
    profile: str = "bci2022",
    input_slug: str = "",
    output_slug: str = "",
    example: bool = False,
) -> int:
    """Write the folder of an evaluation container for grand-challenge.org: Dockerfile, scripts, README.

    Args:
        folder: A new or empty folder.
        profile: The protocol that scores.
        input_slug: The socket whose image names the test image, where jobs have several image inputs.
        output_slug: The socket that holds the prediction, where jobs have several image outputs.
        example: Also draw a small example submission on phantom tissue, for do_test_run.sh.
    """
    from chromogen.challenge.folder import Challenge, write_folder

    write_folder(folder, Challenge(profile, input_slug, output_slug), example)
    out_console.print(f"{folder}", soft_wrap=True)
    checkout = Path(__file__).resolve().parents[2]
    source = checkout if (checkout / "pyproject.toml").is_file() else "CHECKOUT"
    steps = f"{folder}/do_wheel.sh {source}, then the steps of {folder}/README.md"
    err_console.print(f"next: {steps}", soft_wrap=True)
    return FINE


ABOUT = "Run a challenge: the evaluation container."
COMMANDS = {"init": init_challenge}
