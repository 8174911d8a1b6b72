"""inspect --summary and --html: every panel says what it should, and the page stands alone."""

from __future__ import annotations

import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from toydiff.cli import summary
from toydiff.data import GaussianMixture, Shapes
from toydiff.names import Found
from toydiff.samplers import Frame, noise_levels
from toydiff.schedules import EDM, AnySchedule, Cosine, Flow, Level
from toydiff.viz import style
from toydiff.viz.report import report_page
from toydiff.viz.style import pixels
from toydiff.viz.summary import Results, run_summary

from .conftest import Toydiff

METRICS = [{"step": k, "loss": 2 / k, "lr": 1e-3} for k in range(1, 6)] + [{"step": 5, "validation": 0.5}]
SCORES = [("sliced W2 ↓", "0.065", "0.068 ± 0.024", "-0.2")]


def made_up(data: GaussianMixture | Shapes, schedule: AnySchedule, real: bool = True) -> Results:
    """Results whose samples are data, and whose way is straight."""
    batch = data.draw(40, torch.Generator().manual_seed(0))
    levels, noise = noise_levels(schedule, 7), torch.randn(6, *data.shape, generator=torch.Generator().manual_seed(1))

    def frame(level: Level) -> Frame:
        return Frame(level, (level.alpha * batch.x[:6] + level.sigma * noise).float(), batch.x[:6])

    way = [frame(level) for level in levels]
    return Results(data, schedule, levels[:-1], METRICS, batch if real else None, batch, way, SCORES, "of 40")


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text")))


@pytest.mark.parametrize(
    ("data", "schedule"),
    [(GaussianMixture(means=[[0.0] * d, [2.0] * d]), s) for d, s in ((1, Cosine()), (2, EDM()), (10, Flow()))]
    + [(Shapes(), Flow())],
)
def test_six_panels_of_any_data(data: GaussianMixture | Shapes, schedule: AnySchedule) -> None:
    with style.themed("dark"):
        figure = run_summary(made_up(data, schedule), "title")
        drawn = pixels(figure)
    ground = np.array([int(style.DARK.paper[k : k + 2], 16) for k in (1, 3, 5)])
    edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert (edge == ground).all()  # nothing is cut off, and all is on dark paper
    said = words(figure)
    for word in ("title", "learning", "data and samples", "quality", f"{schedule.kind} schedule", "0.068 ± 0.024"):
        assert word in said
    flat = [(ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) for ax in figure.axes if ax.get_title() == "data"]
    if data.shape in ((2,), (10,)):
        assert flat[0][2] == 1  # a unit across is a unit up


def test_what_is_missing_is_said() -> None:
    results = made_up(GaussianMixture(means=[[0.0, 0.0], [2.0, 2.0]]), Flow(), real=False)._replace(
        metrics=[], scores=[], note="the data are away"
    )
    said = words(run_summary(results))
    assert "no metrics.jsonl" in said.replace("\n", " ")
    assert "the data are away" in said and "data and samples" not in said


def test_a_summary_of_a_run(toydiff: Toydiff, with_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("SCORED", {False: 40}), ("DRAWS", 2), ("FLOOR_DRAWS", 2), ("POINTS", 50)):
        monkeypatch.setattr(summary, name, few)
    told = toydiff("inspect", "tiny", "--summary", "-o", "a.png", "--size", "900", "--json").stdout
    assert '"sliced W2"' in told
    with Image.open("a.png") as picture:
        assert picture.width == 900 and "toydiff" in picture.info
    shutil.copy("runs/plain/best.pt", "alone.pt")
    toydiff("inspect", "alone.pt", "--summary")  # no metrics beside it
    assert Path("alone-summary.png").is_file()
    toydiff("inspect", "tiny", "--html")
    page = Page(Path("runs/tiny/report.html").read_text(encoding="utf-8"))
    assert page.titles == [
        "Loss", "Learning rate", "Samples", "Histograms", "From noise to samples", "Schedule",
        "Result", "Quality", "Configuration", "Environment",
    ]  # fmt: skip
    assert len(page.pictures) == 6
    text = page.text
    for expected in ("30 of 30", "sliced W2", "[training.optimizer]", "torch", "2 draws of 40 samples by heun"):
        assert expected in text


class Page(HTMLParser):
    """Parses a report, checks that tags are balanced and that nothing is fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.titles, self.pictures, self.tags = "", [], [], set[str]()
        self.open: list[str] = []
        self.feed(page)
        assert not self.open
        assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", page))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        assert not [key for key, _ in attributes if key.startswith("on") or key in ("href", "srcset")]
        if tag == "img":
            source = str(dict(attributes)["src"])
            assert source.startswith("data:image/png;base64,")
            with Image.open(BytesIO(b64decode(source.partition(",")[2]))) as picture:
                self.pictures.append(picture.size)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self.titles.append(data)
        self.text += data


def test_markup_in_names_stays_text() -> None:
    wicked = '</pre></h1><script src="https://x">alert(1)</script>&amp;"\''
    table = {wicked: [(wicked, wicked)], "a": [("x", "y", wicked), (wicked, "", "")], "b": wicked}
    page = Page(report_page(wicked, {wicked: Image.new("RGB", (4, 4))}, table).replace("https://x", "x"))
    assert "script" not in page.tags
    assert page.text.count("alert(1)") == 9  # <title>, heading, the picture's, and six in the tables


def test_a_report_never_replaces_anything(tmp_path: Path) -> None:
    found = Found("checkpoint", str(tmp_path / "best.pt"), "")
    (tmp_path / "config.toml").touch()
    assert summary.check_report(None, found) == tmp_path / "report.html"
    (tmp_path / "report.html").touch()
    assert summary.check_report(None, found) == tmp_path / "report-2.html"
