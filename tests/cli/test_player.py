"""The page of a film from outside a browser: all in one file, safe with any name, small, and the same every time."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from toydiff import checkpoint as checkpoints
from toydiff.cli import player
from toydiff.cli.talk import Talk
from toydiff.config import Model, Run
from toydiff.data import Moons, Shapes
from toydiff.errors import ConfigurationError
from toydiff.names import Found
from toydiff.networks import MLP
from toydiff.runs import Loaded, load
from toydiff.schedules import Linear
from toydiff.viz import reel
from toydiff.viz.frames import Look, Panel
from toydiff.viz.moving import Shot
from toydiff.viz.player import SCRIPTS, WEB

from .conftest import Toydiff

FEW = ("-n", "20", "--frames", "6", "-q")
LIMIT = 3_000_000


class Page(HTMLParser):
    """Parses a page: its film, its words, what it refers to, and that its tags are balanced."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.content = Path(path).read_text(encoding="utf-8")
        self.open: list[str] = []
        self.text: dict[str, str] = {}
        self.addresses: list[str] = []
        self.feed(self.content)
        assert not self.open
        self.film: dict[str, Any] = json.loads(self.text["script application/json"])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.addresses += [given[name] or "" for name in ("src", "href", "srcset", "action", "data") if name in given]
        if tag not in ("meta", "link", "input", "img", "br", "path"):
            self.open.append(f"{tag} {given['type']}" if tag == "script" and "type" in given else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop().split()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data


def points(carried: dict[str, Any]) -> np.ndarray:
    steps = np.frombuffer(b64decode(carried["data"]), "<u2").reshape(-1, 2)
    left, right, low, high = carried["box"]
    return np.array([left, low]) + steps / 65535 * np.array([right - left, high - low])


def test_one_file_that_refers_to_nothing_outside(with_run: Path, toydiff: Toydiff) -> None:
    toydiff("animate", "tiny", "to", "html", *FEW)
    page = Page("tiny.html")
    assert page.addresses == ["data:,"]
    words = re.sub(r'"data":"[^"]*"', "", page.content)
    assert not re.search(r"https?:|[\"'(]//|url\(|@import|\bimport\(|fetch\(|XMLHttp|WebSocket|sendBeacon", words)
    assert "default-src 'none'" in page.content and "<!-- " not in page.content
    assert Path("tiny.html").stat().st_size < LIMIT
    for part in SCRIPTS:
        assert (WEB / f"{part}.js").read_text(encoding="utf-8") in page.content


def test_what_is_carried_is_what_sample_makes(with_run: Path, toydiff: Toydiff) -> None:
    toydiff("animate", "tiny", "-o", "a.html", *FEW, "--seed", "5", "--sampler", "ddim:7")
    toydiff("sample", "tiny", "-o", "x.npz", "-n", "20", "-q", "--seed", "5", "--sampler", "ddim:7")
    page = Page("a.html")
    (panel,) = page.film["panels"]
    with np.load("x.npz") as arrays:
        x, label = arrays["x"], arrays["label"]
    shown = points(panel["shots"][-1]["x"])
    np.testing.assert_allclose(shown, x, atol=np.ptp(x) / 65535)
    assert np.array_equal(np.frombuffer(b64decode(panel["labels"]), "<u2"), label)
    assert panel["shots"][-1]["level"] == [0.0, 1.0, 0.0] and len(panel["order"]) == page.film["frames"] == 6
    weights = page.film["model"]["network"]["tensors"]["first.weight"]
    own = load(Found("checkpoint", "runs/tiny/best.pt", "")).denoiser.network.first.weight  # type: ignore[attr-defined]
    assert weights["shape"] == list(own.shape)
    assert np.array_equal(np.frombuffer(b64decode(weights["data"]), "<f4").reshape(own.shape), own.detach().numpy())


def test_the_same_command_makes_the_same_bytes(with_run: Path, toydiff: Toydiff) -> None:
    for name, words in (("points", ("tiny", "--side-by-side", "data,ddpm:9,ddim:3")), ("images", ("exact:shapes@3",))):
        for k in (1, 2):
            toydiff("animate", *words, "-o", f"{name}-{k}.html", *FEW)
        assert Path(f"{name}-1.html").read_bytes() == Path(f"{name}-2.html").read_bytes()


def test_a_name_cannot_break_out(with_run: Path, toydiff: Toydiff) -> None:
    hostile = "</script><img src=x onerror=alert(1)>\"'&<!-- film -->"
    content = checkpoints.load("runs/tiny/best.pt")
    header = {**content.header, "name": hostile}
    checkpoints.save("odd.pt", header=header, model=content.model, ema=content.ema, optimizer=content.optimizer)
    toydiff("animate", "odd.pt", "-o", "odd.html", *FEW)
    page = Page("odd.html")  # balanced, though the name is not
    assert "<img" not in page.content
    assert page.film["title"] == hostile and page.text["title"] == page.text["h1"] == hostile
    assert unescape(page.text["p"]).startswith("20 points")


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (("tiny", "--style", "density", "--overlay", "data"), ["density", "data"]),
        (("tiny", "--style", "paths", "--what", "forward"), ["paths", "scatter"]),
        (("tiny", "--style", "arrows", "--colour", "t"), ["arrows", "scatter"]),
        (("tiny", "--what", "score"), ["field", "scatter"]),
        (("tiny", "--what", "interpolate"), ["scatter"]),
        (("tiny", "--what", "live"), ["scatter"]),
        (("exact:npy:line.npy@30",), ["scatter"]),
        (("exact:npy:cube.npy@30", "--side-by-side", "data,ddim:4"), ["scatter"]),
        (("exact:shapes@3", "--what", "live"), ["scatter"]),
    ],
)
def test_every_film_has_its_page(words: tuple[str, ...], layers: list[str], with_run: Path, toydiff: Toydiff) -> None:
    for name, size in (("line", 1), ("cube", 3)):
        np.save(f"{name}.npy", np.random.default_rng(0).normal(size=(50, size)))
    said = toydiff("animate", *words, "-o", "a.html", "--json", "-n", "20", "--frames", "5", "--theme", "dark")
    page = Page("a.html")
    assert page.film["layers"] == layers and page.film["theme"] == "dark"
    assert len({len(panel["order"]) for panel in page.film["panels"]}) == 1
    assert (page.film["model"] is None) == (words[0] != "tiny" or "--what" in words)
    assert ("does not sample by itself" in said.stderr) == (words[0] != "tiny" and "--what" not in words)
    if "score" in words:  # learned beside exact; an arrow for every cell
        assert [panel["title"] for panel in page.film["panels"]] == ["learned", "exact"]
        assert points(page.film["panels"][0]["shots"][0]["field"]).size == len(page.film["cells"])


def test_images_lie_in_one_sheet_without_loss_where_they_fit() -> None:
    x = torch.linspace(-1, 1, 4 * 7 * 6 * 5).reshape(4, 7, 1, 6, 5)
    look, moments = Look(), [(Shot(each, str(k)),) for k, each in enumerate(x)]
    still = moments[-1:] * 2

    (carried,) = reel.carried_panels(Shapes(), [Panel("", iter(()))], [*moments, *still], look, 1e6)
    assert carried["order"] == [0, 1, 2, 3, 3, 3] and len(carried["shots"]) == 4
    kind, text = carried["sheet"].split(",")
    assert kind == "data:image/png;base64"
    sheet, tiles = np.asarray(Image.open(BytesIO(b64decode(text)))), carried["tiles"]
    columns, across = tiles["columns"], tiles["across"]
    rows = -(-7 // columns)
    for frame in range(4):
        for k in range(7):
            y = (frame // across * rows + k // columns) * 6
            left = (frame % across * columns + k % columns) * 5
            expected = ((x[frame, k, 0] + 1) * 127.5).round().numpy()
            assert np.array_equal(sheet[y : y + 6, left : left + 5], expected)
    noise = [(Shot(torch.randn(16, 1, 32, 32), ""),)]
    (small,) = reel.carried_panels(Shapes(), [Panel("", iter(()))], noise, look, 14_000)
    assert small["sheet"].startswith("data:image/webp") and len(small["sheet"]) < 14_100


def made(run: Run) -> Loaded:
    denoiser = run.build()
    return Loaded("made", Found("checkpoint", "", ""), run, denoiser, denoiser.shift, float(denoiser.scale))


def test_a_page_carries_what_fits_and_says_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(data=Moons(), network=MLP(widths=(16, 16)))
    room = player.player_room(made(run), "reverse", [], 40, True)
    assert 4000 < room < 8000 and player.player_room(made(run), "reverse", [made(run)] * 2, 40, True) < room / 2
    player.check_room(room, room, 40)
    with pytest.raises(ConfigurationError, match="40 frames of 20,000 samples are more") as refusal:
        player.check_room(20_000, room, 40)
    assert f"Take -n {room:,} or fewer" in refusal.value.hint
    talk = Talk(quiet=False, verbose=False, log_file=None, json=False)
    assert player.carries_model(made(run), "reverse", None, talk)
    wide = made(replace_network(run, MLP(widths=(512, 512, 512))))
    assert not player.carries_model(wide, "reverse", None, talk)
    assert "its weights take 2.9 MB" in capsys.readouterr().err
    assert not player.carries_model(made(run), "reverse", wide, talk)
    assert "two networks are too many" in capsys.readouterr().err


def replace_network(run: Run, network: MLP) -> Run:
    return run.model_copy(update={"network": network})


def test_only_levels_that_the_schedule_has() -> None:
    from toydiff.viz import carried

    run = Run(data=Moons(), network=MLP(widths=(8,)), schedule=Linear(T=30), model=Model(conditional=True))
    options = {"clip": "data", "guidance": 1.0, "interval": (0.0, float("inf")), "seed": 0, "label": None}
    loaded = made(run)
    model = carried.carried_model(loaded, [carried.way_of(loaded)], options)
    assert sorted(map(int, model["grids"])) == list(range(1, 31))
    assert model["shares"][-1] == 1 and model["classes"] == list(run.data.label_names)


def test_even_the_largest_stays_under_3_mb(toydiff: Toydiff) -> None:
    toydiff("animate", "exact:moons", "-o", "a.html", "--what", "forward", "--frames", "150", "-q")
    toydiff("animate", "exact:shapes@3", "-o", "b.html", "--what", "forward", "--frames", "60", "-q")
    for name in ("a.html", "b.html"):
        assert 1_500_000 < Path(name).stat().st_size < LIMIT
