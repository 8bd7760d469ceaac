"""The section of a stained folder without real images to compare with: shown, said to be unscored."""

from pathlib import Path

from chromogen.report.gallery import View, evenly, image_row
from chromogen.report.markup import tag
from chromogen.report.section import Section, counted, found_path, inside, notice, origin, read_record


def stained_section(folder: Path, name: str) -> Section:
    """What `chromogen translate` left in `folder`: translation.json and the images it names.

    Raises OSError, ValueError or KeyError where the file is not what `translate` writes.
    """
    record = read_record(folder / "translation.json")
    made = [file for file in record["files"] if file["status"] != "failed"]
    failed = [(file["source"], str(file.get("reason", ""))) for file in record["files"] if file["status"] == "failed"]
    given = found_path(record["source"], folder)
    sources = given.parent if given.is_file() else given
    rows = []
    for rank in evenly(len(made)):
        source, output = made[rank]["source"], made[rank]["output"]
        views = [View("H&E", inside(sources, source)), View("virtual IHC", inside(folder, output))]
        rows.append(image_row(source, [], [], views))
    summary = f"{counted(len(made), 'image')} stained by {record['model']}, unscored: no real IHC was compared."
    left_out = len(made) - len(rows)
    body = [
        notice("Could not be stained", failed),
        tag("p", f"{counted(left_out, 'image')} more are in the folder.", class_="quiet") if left_out else [],
        rows,
        origin("", {}, f"Model {record['model']}, sha256 {record.get('model_sha256', 'not recorded')}."),
    ]
    return Section(f"Stained, unscored: {name}", summary, body)
