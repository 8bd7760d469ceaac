import base64
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.judge.folder import score_folder
from chromogen.judge.judging import Judging
from chromogen.judge.written import write_scores
from chromogen.report.figures import curve, ticks
from chromogen.report.gallery import SHOWN_ROWS, evenly
from chromogen.report.markup import Html, markup, tag
from chromogen.report.page import BANNER, write_report
from chromogen.report.pictures import DETAIL_PX, detail, detail_corner, overview
from chromogen.report.swipe import SCRIPT

PIXELS = Judging(staining=False)
EVIL = "<img src=x onerror=alert(1)>_test_3+"


class Reader(HTMLParser):
    """What a browser makes of a page: its elements, its text, and whether every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attributes}))
        if name not in ("img", "meta"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture
def demo(folders: Any, tmp_path: Path) -> Path:
    """Everything the page can show: an evaluation with a failure, a stained folder, a run cut short."""
    (folders.prediction / "00001_test_1+.virtual-her2.png").unlink()
    write_scores(score_folder(folders.prediction, folders.target, folders.source), tmp_path / "demo" / "scores")
    stained = tmp_path / "demo" / "stained"
    folders.save(stained / "a.virtual-her2.png", np.full((30, 20, 3), 200, dtype=np.uint8))
    folders.save(tmp_path / "slides" / "a.png", np.full((30, 20, 3), 100, dtype=np.uint8))
    files = [
        {"source": "a.png", "output": "a.virtual-her2.png", "status": "ok", "reason": None},
        {"source": "b.png", "output": None, "status": "failed", "reason": "b.png is empty"},
    ]
    record = {"source": str(tmp_path / "slides"), "model": "her2-demo", "model_sha256": "c0ffee", "files": files}
    write(stained / "translation.json", record)
    run = tmp_path / "demo" / "run"
    write(run / "run.json", {"command": "chromogen train here", "method_name": "pix2pix", "loop": {"steps": 900}})
    lines = [
        json.dumps({"step": step, "generator/l1": 40 - step / 50, "validation/psnr": step / 40}) for step in range(50, 701, 50)
    ]
    (run / "log.jsonl").write_text("\n".join([*lines, '{"step": 750, "gen']), encoding="utf-8")
    for step in (100, 9, 1000, 300, 200):
        folders.save(run / "samples" / f"step_{step:06d}.png", np.full((24, 36, 3), step % 255, dtype=np.uint8))
    return tmp_path / "demo"


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_the_page_shows_everything_and_needs_nothing(demo: Path) -> None:
    write_report(demo, demo / "report.html", "A demonstration")
    page = Reader(demo / "report.html")
    assert page.text.startswith(f"A demonstration {BANNER}")
    for name, attributes in page.elements:
        assert name not in ("link", "iframe", "object") and (name != "script" or not attributes)
        for address in (attributes.get(key) for key in ("src", "href", "srcset") if key in attributes):
            assert address is not None and address.startswith(("data:image/jpeg;base64,", "#part-"))
        assert not any(key.startswith("on") for key in attributes)
    assert page.scripts == [SCRIPT]
    assert not re.search(r"fetch|import|http|src|innerHTML|eval|storage|cookie", SCRIPT)
    assert not re.search(r"url\(|@import|https?:", (demo / "report.html").read_text(encoding="utf-8"))
    images = page.all("img")
    assert len(images) == 3 * 3 + 2 + 3  # three scored rows, one stained, three sample grids
    assert all(image["alt"] for image in images)
    assert base64.b64decode(images[0]["src"].partition(",")[2])[:3] == b"\xff\xd8\xff"


def test_the_page_says_what_the_files_say(demo: Path) -> None:
    write_report(demo, demo / "report.html", "A demonstration")
    text = Reader(demo / "report.html").text
    metrics = json.loads((demo / "scores" / "metrics.json").read_text(encoding="utf-8"))
    for row in (metrics["overall"], *metrics["controls"].values()):
        assert f"{row['psnr']:.2f}" in text and f"{row['ssim']:.3f}" in text
    for sentence in (
        "Failures: targets without a usable prediction (1)",
        "there is no prediction of this name",
        "By HER2 class",
        "DAB distance to the best",
        "worst HER2",
        "best HER2",
        "Better than the source image itself",
        "stroma included; it is no HER2 score. ",
        "Pairs of HER2 classes in the wrong order by mean DAB: ",
        "With 3 images, orderings and correlations say little.",
        metrics["command"],
        "1 image stained by her2-demo, unscored",
        "b.png : b.png is empty",
        "pix2pix trained for 700 of 900 steps",
        "1 line of log.jsonl could not be read",
        "step 9",
        "step 200",
        "step 1,000",
        "chromogen train here",
    ):
        assert sentence in text, sentence
    assert "step 300" not in text and "step 100 " not in text  # first, middle and last only


def test_rows_go_from_the_worst_stain_to_the_best(demo: Path) -> None:
    write_report(demo, demo / "report.html", "x")
    found = [float(value) for value in re.findall(r"DAB distance ([\d.]+) DAB virtual", Reader(demo / "report.html").text)]
    assert len(found) == 3 and found == sorted(found, reverse=True)


def test_names_cannot_inject(folders: Any, tmp_path: Path) -> None:
    for folder, mark in ((folders.prediction, ".virtual-her2"), (folders.target, ""), (folders.source, "")):
        folders.save(folder / f"{EVIL}{mark}.png", np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8))
    folders.save(folders.prediction / "\"><script>alert('extra').png", np.zeros((9, 9, 3), dtype=np.uint8))
    (folders.prediction / "00001_test_1+.virtual-her2.png").rename(folders.prediction / "<b>bold.png")
    write_scores(score_folder(folders.prediction, folders.target, folders.source), tmp_path / "demo" / "<i>scores")
    write(tmp_path / "demo" / "run" / "run.json", {"command": "</code><script>", "method_name": "<u>net", "loop": {"steps": 5}})
    (tmp_path / "demo" / "run" / "log.jsonl").write_text('{"step": 1, "<svg onload=x>": 2}', encoding="utf-8")
    write_report(tmp_path / "demo", tmp_path / "report.html", "</title><script>alert('title')</script>")
    page = Reader(tmp_path / "report.html")
    assert page.scripts == [SCRIPT] and not {"i", "u"} & {name for name, _ in page.elements}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    for name in (EVIL, "\"><script>alert('extra').png", "<b>bold.png", "<i>scores", "<u>net", "</code><script>"):
        assert name in page.text  # shown as it is, letter by letter


def test_what_cannot_be_read_is_said(demo: Path) -> None:
    (demo / "scores" / "metrics.json").write_text('{"accuracy": 1}', encoding="utf-8")
    (demo / "run" / "run.json").write_text('{"cut', encoding="utf-8")
    (demo / "stained" / "a.virtual-her2.png").unlink()
    write_report(demo, demo / "report.html", "x")
    text = Reader(demo / "report.html").text
    assert "Could not be shown (2)" in text
    assert "was not written by this version of chromogen: 'source' is missing" in text
    assert "run.json is not readable JSON" in text
    assert "cannot be shown: " in text and "No such file" in text


def changed(path: Path, **fields: object) -> None:
    write(path, json.loads(path.read_text(encoding="utf-8")) | fields)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("scores/metrics.json", {"controls": []}),
        ("scores/metrics.json", {"prediction": 5}),
        ("scores/metrics.json", {"overall": None}),
        ("stained/translation.json", {"files": [{"source": "a.png", "output": None, "status": "ok"}]}),
        ("stained/translation.json", {"files": 3}),
        ("run/run.json", {"loop": []}),
        ("run/run.json", {"versions": [1]}),
    ],
)
def test_one_foreign_file_costs_its_own_section_only(demo: Path, file: str, fields: dict[str, object]) -> None:
    changed(demo / file, **fields)
    write_report(demo, demo / "report.html", "x")
    text = Reader(demo / "report.html").text
    assert f"Could not be shown (1) {file.partition('/')[0]} : was not written by chromogen: " in text
    assert len(re.findall(r"Scores: scores|Stained, unscored: stained|Training: run", text)) >= 4  # of two whole sections


def test_nested_brackets_and_endless_cells_cost_their_own_section_only(demo: Path) -> None:
    (demo / "run" / "run.json").write_text("[" * 100_000, encoding="utf-8")
    with (demo / "scores" / "per_image.csv").open("a", encoding="utf-8") as handle:
        handle.write("x" * 140_000)
    write_report(demo, demo / "report.html", "x")
    text = Reader(demo / "report.html").text
    assert "Could not be shown (2)" in text and "run.json is not readable JSON" in text and "field larger than" in text


def test_huge_values_in_a_log_are_counted_not_drawn(demo: Path) -> None:
    lines = [json.dumps({"step": step, "loss": value}) for step, value in ((1, 1e308), (2, -1e308), (3, 0.5), (4, 0.25))]
    (demo / "run" / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    write_report(demo, demo / "report.html", "x")
    text = Reader(demo / "report.html").text
    assert "loss 0.5 → 0.25, 2 values not finite" in text and "Could not be shown" not in text


def test_a_source_of_another_size_has_no_detail(folders: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (700, 900, 3), dtype=np.uint8)
    image[:500, :880] = 240  # so that the structure, and the detail, lie at the lower right
    for path in (*folders.prediction.iterdir(), *folders.target.iterdir()):
        folders.save(path, image)
    write_scores(score_folder(folders.prediction, folders.target, folders.source, PIXELS), tmp_path / "demo" / "scores")
    write_report(tmp_path / "demo", tmp_path / "report.html", "x")
    page = Reader(tmp_path / "report.html")
    assert "Could not be shown" not in page.text
    details = [image["alt"] for image in page.all("img") if "detail" in image["alt"]]
    assert len(details) == 4 * 2 and not any("H&E" in alt for alt in details)


@pytest.mark.parametrize("name", ["../secret.png", "{outside}/secret.png", "deep/../../secret.png", "..", ""])
def test_a_record_cannot_bring_in_an_image_from_elsewhere(demo: Path, folders: Any, tmp_path: Path, name: str) -> None:
    name = name.format(outside=tmp_path)
    folders.save(tmp_path / "secret.png", np.full((8, 8, 3), 7, dtype=np.uint8))
    (demo / "stained" / "deep").mkdir()
    record = json.loads((demo / "stained" / "translation.json").read_text(encoding="utf-8"))
    for role in ("source", "output"):
        files = [{"source": "a.png", "output": "a.virtual-her2.png", "status": "ok", role: name}]
        write(demo / "stained" / "translation.json", record | {"files": files})
        write_report(demo, demo / "report.html", "x")
        text = Reader(demo / "report.html").text
        assert f"stained : {name!r} is not the plain name of a file in" in text


def test_a_table_cannot_bring_in_an_image_from_elsewhere(demo: Path, folders: Any, tmp_path: Path) -> None:
    folders.save(tmp_path / "secret.png", np.full((8, 8, 3), 7, dtype=np.uint8))
    table = demo / "scores" / "per_image.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",00003_test_3+.png,", ",../secret.png,"), encoding="utf-8")
    write_report(demo, demo / "report.html", "x")
    assert "scores : '../secret.png' is not the plain name of a file in" in Reader(demo / "report.html").text


def test_moved_images_are_found_beside_the_scores(demo: Path, folders: Any) -> None:
    for folder in (folders.prediction, folders.target, folders.source):
        folder.rename(demo / folder.name)
    write_report(demo, demo / "report.html", "x")
    assert "cannot be shown" not in Reader(demo / "report.html").text


def test_a_scored_folder_is_not_shown_again_as_unscored(demo: Path, folders: Any) -> None:
    made = demo / "predicted"
    folders.prediction.rename(made)
    write_scores(score_folder(made, folders.target, None), demo / "scores")
    write(made / "translation.json", {"source": str(folders.source), "model": "net-7", "model_sha256": "f00d", "files": []})
    write_report(demo, demo / "report.html", "x")
    text = Reader(demo / "report.html").text
    assert text.count("Stained, unscored") == 2  # of `stained`: in the contents and as a heading
    assert "Predictions by net-7, sha256 f00d" in text
    assert text.count("no source image was given") == 3


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing under .* can be reported"):
        write_report(tmp_path, tmp_path / "report.html", "x")
    with pytest.raises(ValueError, match="there is no folder"):
        write_report(tmp_path / "nowhere", tmp_path / "report.html", "x")
    assert not (tmp_path / "report.html").exists()


@given(text=st.text(), key=st.text())
def test_any_text_stays_text(text: str, key: str) -> None:
    parser = HTMLParser(convert_charrefs=True)
    seen: list[Any] = []
    parser.handle_starttag = lambda name, attributes: seen.append((name, attributes))  # type: ignore[method-assign]
    parser.feed(tag("p", text, title=key))
    assert seen == [("p", [("title", key)])]
    assert not re.search(r"[<>]", markup(text))
    assert markup([Html("<b>"), ["&", Html("</b>")]]) == "<b>&amp;</b>"


def test_ticks_by_hand() -> None:
    assert ticks(0, 10) == [0, 5, 10]
    assert ticks(0.13, 0.92) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert ticks(-3, 1) == [-3, -2, -1, 0, 1]


@given(st.lists(st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=600))
def test_curves_stay_inside_their_frame(values: list[float]) -> None:
    drawn = curve(list(enumerate(values)), "step", "loss")
    assert "nan" not in drawn.replace("finite", "") and "inf" not in drawn.replace("finite", "")
    found = re.search(r'points="([^"]*)"', drawn)
    assert (found is None) == (not any(map(math.isfinite, values)))
    if found:
        places = [tuple(map(float, place.split(","))) for place in found[1].split()]
        assert len(places) <= 240
        assert all(0 <= x <= 320 and 0 <= y <= 200 for x, y in places)


def test_a_curve_places_points_by_hand() -> None:
    """The frame runs from x 46 to 308 and from y 166 up to 18; the data fill it, with 6 % room above and below."""
    places = re.search(r'points="([^"]*)"', curve([(0, 1.0), (10, 2.0)], "step", "loss"))
    assert places is not None
    room = 0.06 / 1.12 * (166 - 18)
    assert places[1] == f"46.0,{166 - room:.1f} 308.0,{18 + room:.1f}"


@pytest.mark.parametrize("count", [0, 1, SHOWN_ROWS, SHOWN_ROWS + 1, 977])
def test_shown_rows_hold_both_ends(count: int) -> None:
    shown = evenly(count)
    assert len(shown) == len(set(shown)) == min(count, SHOWN_ROWS)
    if count:
        assert (shown[0], shown[-1]) == (0, count - 1)


def test_the_detail_lies_where_the_structure_is() -> None:
    image = np.full((700, 900, 3), 220, dtype=np.uint8)
    image[400:480:4, 500:700] = 0
    corner = detail_corner(image)
    assert corner is not None
    assert detail(image, corner).shape == (DETAIL_PX[1], DETAIL_PX[0], 3)
    assert (detail(image, corner) == 0).sum() > 0.5 * (image == 0).sum()
    assert detail_corner(image[:400, :400]) is None
    assert overview(image).shape == (373, 480, 3)
    assert overview(image[:50, :60]).shape == (50, 60, 3)
