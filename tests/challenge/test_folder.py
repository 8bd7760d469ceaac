import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from chromogen import __version__
from chromogen.challenge import container
from chromogen.challenge.folder import Challenge, pinned, write_folder
from chromogen.checkpoint import RESEARCH_USE
from chromogen.judge.folder import score_folder
from tests.challenge.conftest import Places

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = ("do_build.sh", "do_save.sh", "do_test_run.sh", "do_wheel.sh")
WHEEL = f"chromogen-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gc") / "evaluation"
    write_folder(folder, Challenge("gauss11", "he-image", "virtual-ihc"), example=True)
    return folder


def lines(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_everything_is_there_and_no_placeholder_is_left(made: Path) -> None:
    names = {path.name for path in made.iterdir()}
    assert names == {
        *SCRIPTS, "Dockerfile", ".dockerignore", "README.md", "constraints.txt", "ground_truth", "wheels", "example",
    }  # fmt: skip
    for path in made.iterdir():
        if path.is_file():
            assert not re.search(r"@[A-Z_]+@", path.read_text(encoding="utf-8")), path.name
            assert str(REPOSITORY) not in path.read_text(encoding="utf-8")


def test_the_image_runs_as_no_root_and_installs_only_what_is_named(made: Path) -> None:
    instructions = lines(made / "Dockerfile")
    words = [word for word, _ in instructions]
    assert words[0] == "FROM" and words[-1] == "ENTRYPOINT"
    assert instructions[0][1] == f"--platform=linux/amd64 python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    users = [rest for word, rest in instructions if word == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])  # nothing is installed as that user, or after
    assert "ADD" not in words
    (copied,) = [rest.split() for word, rest in instructions if word == "COPY"]
    assert copied[:-1] == ["constraints.txt", f"wheels/{WHEEL}"]
    installs = [rest for word, rest in instructions if word == "RUN" and "pip install" in rest]
    assert f'"torch=={pinned()["torch"]}"' in installs[0] and f"/{WHEEL}" in installs[0]
    environment = dict(re.findall(r'(\w+)="?([^"\s]*)"?', next(rest for word, rest in instructions if word == "ENV")))
    assert environment["CHROMOGEN_PROFILE"] == "gauss11" and environment["CHROMOGEN_OUTPUT_SLUG"] == "virtual-ihc"
    assert quoted(instructions[-1][1]) == ["python", "-I", "-m", container.__name__]


def quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def test_what_docker_may_see_is_what_it_copies(made: Path) -> None:
    assert (made / ".dockerignore").read_text().split() == ["*", "!constraints.txt", f"!wheels/{WHEEL}"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_sound_and_can_be_run(made: Path, script: str) -> None:
    path = made / script
    assert path.stat().st_mode & stat.S_IXUSR
    text = path.read_text()
    assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text and "\r" not in text
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False).stderr == ""


def fake_docker(folder: Path) -> dict[str, str]:
    """A `docker` that writes its words down, one call a line, and does what a run would leave behind."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        '#!/bin/sh\necho "$*" >> "$CALLS"\n'
        'case "$1" in volume) echo scratch ;; save) echo image ;;\n'
        '  run) for word; do case "$word" in *:/output) echo "{}" > "${word%:/output}/metrics.json" ;; esac; done ;; esac\n'
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "CALLS": str(folder / "calls")}


def run(script: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script), *words], env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_the_scripts_give_docker_the_restrictions_of_the_platform(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    write_folder(folder, Challenge(), example=True)
    environment = fake_docker(tmp_path / "bin")
    refused = run(folder / "do_test_run.sh", environment)
    assert refused.returncode == 1 and "do_wheel.sh" in refused.stderr
    (folder / "wheels" / WHEEL).touch()
    done = run(folder / "do_test_run.sh", environment)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "bin" / "calls").read_text().splitlines()
    assert calls[0].startswith("build --platform=linux/amd64") and calls[-1] == "volume rm scratch"
    (ran,) = [call for call in calls if call.startswith("run ")]
    for flag in (
        "--network none", "--read-only", "--cap-drop all", "--security-opt no-new-privileges", "--memory 4g",
        "--memory-swap 4g", "--pids-limit 128", f"{folder}/example/input:/input:ro",
        f"{folder}/example/ground_truth:/opt/ml/input/data/ground_truth:ro", "scratch:/tmp",
    ):  # fmt: skip
        assert f" {flag} " in ran, flag
    assert "--privileged" not in ran and "--cap-add" not in ran

    assert run(folder / "do_save.sh", environment).returncode == 1  # the ground truth is still empty
    (folder / "ground_truth" / "a.PNG").write_bytes(b"x")
    saved = run(folder / "do_save.sh", environment)
    assert saved.returncode == 0, saved.stderr
    assert (folder / "chromogen-evaluation.tar.gz").is_file()
    listed = subprocess.run(["tar", "-tzf", folder / "ground_truth.tar.gz"], capture_output=True, text=True, check=True)
    assert "./a.PNG" in listed.stdout.split()


def test_the_example_is_evaluated_as_documented(made: Path, tmp_path: Path) -> None:
    places = Places(made / "example" / "input", made / "example" / "ground_truth", tmp_path / "output")
    assert places.run("--profile", "gauss11", "--input-slug", "he-image", "--output-slug", "virtual-ihc") == 0
    aggregates = places.metrics["aggregates"]
    assert (aggregates["images_gauss11"], aggregates["failed_gauss11"]) == (4, 1)
    readme = (made / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"aggregates\.(\w+)", readme)
    assert len(named) == 2 and all(isinstance(aggregates[name], float) for name in named)
    assert RESEARCH_USE in readme

    flat = tmp_path / "flat"  # the same three pictures, scored as a plain folder
    flat.mkdir()
    for result in places.metrics["results"][:3]:
        source = places.input / result["file"]
        (flat / f"{result['name']}{source.suffix}").write_bytes(source.read_bytes())
    overall = score_folder(flat, places.truth, None, "gauss11").metrics["overall"]
    for name in ("psnr", "ssim", "psnr_failures_as_zero", "ssim_failures_as_zero", "dab"):
        assert aggregates[f"{name}_gauss11"] == pytest.approx(overall[name])


def test_versions_are_pinned_to_those_that_are_tested_here(made: Path) -> None:
    pins = dict(line.split("==") for line in (made / "constraints.txt").read_text().split())
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(pins) == {re.match(r"[\w.-]+", text)[0] for text in declared}  # type: ignore[index]
    assert pins["numpy"] == version("numpy") and "+" not in pins["torch"]


def test_a_folder_with_anything_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        write_folder(tmp_path, Challenge())
    with pytest.raises(ValueError, match="is not empty"):
        write_folder(tmp_path / "mine.txt", Challenge())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_the_example_nothing_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write_folder(tmp_path / "new", Challenge())
    assert not (tmp_path / "new" / "example").exists() and list((tmp_path / "new" / "ground_truth").iterdir()) == []


@pytest.mark.parametrize(
    "fields", [{"profile": "bci2023"}, {"profile": "ms-ssim"}, {"input_slug": 'x" \\\nRUN evil'}, {"output_slug": "A b"}]
)
def test_fields_are_checked(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no scoring profile|has no PSNR|a slug has"):
        Challenge(**fields)


@pytest.mark.slow
def test_the_wheel_of_the_checkout_holds_the_templates(made: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = run(made / "do_wheel.sh", environment, str(REPOSITORY), "--no-build-isolation")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(made / "wheels" / WHEEL) as wheel:
        inside = {Path(name).name for name in wheel.namelist() if name.startswith("chromogen/challenge/template/")}
    assert inside == {path.name for path in (REPOSITORY / "chromogen" / "challenge" / "template").iterdir()}
