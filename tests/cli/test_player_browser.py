"""The page of a film in a real browser: every control by mouse and keyboard, and numbers that agree with Python's."""

from __future__ import annotations

import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from toydiff.cli.app import app
from toydiff.config import Model, Run, Sampling
from toydiff.data import Moons
from toydiff.names import Found
from toydiff.networks import MLP
from toydiff.networks.embedding import HalfLogSigma, PlainTime, SinusoidalTime
from toydiff.runs import Loaded, load
from toydiff.samplers import DDIM, DDPM, AnySampler, Euler, Heun
from toydiff.schedules import EDM, Cosine, Flow, Linear, LogLinear, noise_levels
from toydiff.spec import kinds
from toydiff.training import streams
from toydiff.viz import carried

pytestmark = [pytest.mark.browser]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
Open = Callable[..., Any]
COLOURS = np.array([[230, 40, 40], [40, 200, 60], [50, 80, 240]], np.uint8)
"""Of images that are nothing else."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium here")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has none
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pages: points, two panels of points, of data and images, and noise that dwarfs the data."""
    folder = tmp_path_factory.mktemp("pages")
    np.savez(folder / "colours.npz", images=np.broadcast_to(COLOURS[:, None, None], (3, 8, 8, 3)))
    for name, words in {
        "points": ["tiny", "--frames", "9", "-n", "40", "--fps", "10", "--hold", "1,2", "--label", "1"],
        "mixed": ["tiny", "--frames", "9", "-n", "40"],
        "side": ["plain", "--side-by-side", "data,ddpm:20,ddim:5", "--frames", "11", "-n", "40"],
        "score": ["plain", "--what", "score", "--frames", "5", "-n", "40"],
        "images": ["exact:shapes@3", "--frames", "9", "-n", "9"],
        "colours": [f"exact:npz:{folder}/colours.npz@3", "--frames", "9", "-n", "9"],
        "exploding": ["exact:moons", "--what", "forward", "--frames", "5", "-n", "40"],
    }.items():
        words = ["animate", *words, "-o", str(folder / f"{name}.html"), "--runs-dir", str(trained / "runs"), "-q"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def visit(chromium: Any, pages: Path) -> Iterator[Open]:
    """Open a page; at the end, it has asked for nothing and complained of nothing."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def open_page(name: str, clock: bool = False, **options: Any) -> Any:
        options = {"reduced_motion": "reduce", "viewport": {"width": 1280, "height": 900}, **options}
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        address = (pages / f"{name}.html").as_uri()

        def route(route: Any) -> None:
            if route.request.url == address:
                return route.continue_()
            wrong.append(f"asked for {route.request.url}")
            route.abort()

        page.route("**/*", route)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if clock:
            page.clock.install(time=0)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def frame(page: Any) -> int:
    return int(page.evaluate("toydiff.view.frame"))


def pixels(page: Any, panel: int = 0) -> np.ndarray:
    """Return what a panel's canvas shows, (side, side, 3)."""
    script = "k => document.getElementById(`panel-${k}`).toDataURL().split(',')[1]"
    with Image.open(BytesIO(b64decode(page.evaluate(script, panel)))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def ink(page: Any, panel: int = 0) -> float:
    """Return the share of a canvas that is not paper."""
    shown = pixels(page, panel)
    return float((shown != shown[2, 2]).any(axis=-1).mean())


def sampled(page: Any, panel: int = 0) -> np.ndarray:
    """Return the last points of the film that is on."""
    flat = page.evaluate("k => [...toydiff.view.reel.panels[k].shots.at(-1).x]", panel)
    return np.array(flat).reshape(-1, 2)


def finished(page: Any, words: str) -> None:
    """Wait for the page to have sampled."""
    page.wait_for_function("words => document.getElementById('progress').textContent.startsWith(words)", arg=words)


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def made(run: Run) -> Loaded:
    """Return a model whose network is random, and says something other than 0."""
    denoiser = run.build().requires_grad_(False)
    generator = torch.Generator().manual_seed(7)
    denoiser.network.last.weight.normal_(std=0.2, generator=generator)
    denoiser.network.last.bias.normal_(std=0.2, generator=generator)
    return Loaded("made", Found("checkpoint", "", ""), run, denoiser, denoiser.shift, float(denoiser.scale))


PLAIN = MLP(widths=(24, 24), fourier=5, residual=True)
RUNS = {
    "flow": Run(data=Moons(), schedule=Flow(), network=PLAIN, model=Model(target="flow")),
    "edm": Run(data=Moons(), schedule=EDM(), network=PLAIN, model=Model(target="edm"), sampling=Sampling(steps=9)),
    "v to alpha = 0": Run(
        data=Moons(), schedule=Cosine(zero_terminal_snr=True), network=MLP(widths=(20, 10), activation="gelu")
    ),
    "eps of raw x, step numbers": Run(
        data=Moons(),
        schedule=Linear(T=100),
        network=MLP(widths=(16, 16), activation="relu", embedding=SinusoidalTime()),
        model=Model(target="eps", normalize_input=False, standardize=False),
        sampling=Sampling(prior="unit", start=0.9, spacing="leading"),
    ),
    "score, log-linear": Run(
        data=Moons(),
        schedule=LogLinear(sigma_min=0.01, sigma_max=20, N=200),
        network=MLP(widths=(16, 16), embedding=HalfLogSigma()),
        model=Model(target="score"),
        sampling=Sampling(spacing="log_snr:8"),
    ),
    "x0 by class, plain time": Run(
        data=Moons(),
        schedule=Linear(T=None),
        network=MLP(widths=(16, 16), embedding=PlainTime(), label_features=6),
        model=Model(target="x0", conditional=True),
    ),
}
SEEDS = [0, 1, 77, 2**31 + 5, 2**40 + 9]


@pytest.fixture(scope="module")
def in_the_page(chromium: Any, pages: Path) -> Iterator[Callable[..., dict[str, np.ndarray]]]:
    """x and x0 (steps + 1, N, 2) as a page makes them from what it carries."""
    page = chromium.new_page()
    page.goto((pages / "mixed.html").as_uri())

    def ask(loaded: Loaded, sampler: Any, steps: int, **cast: Any) -> dict[str, np.ndarray]:
        options = {"clip": "data", "guidance": 1.0, "interval": (0.0, float("inf")), "seed": 0, "label": None, **cast}
        asked = {"sampler": sampler.kind, "steps": steps, "options": sampler.model_dump(exclude={"kind"})}
        asked |= {"guidance": options["guidance"], "label": options["label"]}
        script = """([model, seeds, way]) => { const lab = new toydiff.Lab(model);
            return seeds.map(seed => { const { x, x0 } = lab.path(seed, way); return [x, x0] }) }"""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(carried, "STEPS", (steps,))
            given = carried.carried_model(loaded, [], {**options, "label": None})
        found = np.array(page.evaluate(script, [given, SEEDS, asked])).transpose(1, 2, 0, 3)
        return {"x": found[0], "x0": found[1]}

    yield ask
    page.close()


def in_python(loaded: Loaded, sampler: Any, steps: int, **cast: Any) -> dict[str, np.ndarray]:
    sampling = loaded.config.sampling
    levels = noise_levels(loaded.schedule, steps, sampling.spacing, sampling.start)
    run = loaded.config.model_copy(update={"sampling": sampling.model_copy(update={"steps": steps})})
    assert run.levels() == levels
    loaded = Loaded("made", loaded.found, run, loaded.denoiser, loaded.shift, loaded.scale)
    seeds = torch.tensor(SEEDS)
    label = cast.pop("label", None)
    labels = loaded.labels("none" if label == loaded.denoiser.classes else label, seeds)  # type: ignore[attr-defined]
    frames = list(loaded.trajectory(seeds, sampler=sampler, label=labels, **cast))
    x0 = [*(each.x0.numpy() for each in frames[1:]), frames[-1].x.numpy()]
    return {"x": np.stack([each.x.numpy() for each in frames]), "x0": np.stack(x0)}


@pytest.mark.parametrize("name", RUNS)
def test_the_page_samples_what_python_samples(name: str, in_the_page: Open) -> None:
    loaded = made(RUNS[name])
    assert {each.kind for each in (DDIM(), Euler(), Heun(), DDPM())} == set(carried.SAMPLERS)
    for sampler in (DDIM(), DDIM(eta=0.7), Euler(), Heun(), DDPM(), DDPM(variance="beta")):
        for steps in (1, 15):
            found, expected = (ask(loaded, sampler, steps) for ask in (in_the_page, in_python))
            for key in ("x", "x0"):
                np.testing.assert_allclose(found[key], expected[key], atol=1e-4, rtol=2e-6, err_msg=f"{sampler} {key}")


@pytest.mark.parametrize(
    "cast",
    [
        {"label": 1},
        {"label": 2},  # none
        {"guidance": 3.0},
        {"guidance": -1.0, "label": 0},
        {"guidance": 4.0, "label": 1, "interval": (0.2, 3.0)},
        {"clip": (-0.5, 1.0)},
    ],
)
def test_the_page_guides_as_python_does(cast: dict[str, Any], in_the_page: Open) -> None:
    loaded = made(RUNS["x0 by class, plain time"])
    for sampler in (Heun(), DDPM()):
        found, expected = (ask(loaded, sampler, 12, **cast) for ask in (in_the_page, in_python))
        np.testing.assert_allclose(found["x"], expected["x"], atol=1e-4)


def test_the_labels_of_seeds_are_pythons(visit: Open) -> None:
    page, loaded = visit("mixed"), made(RUNS["x0 by class, plain time"])
    seeds = torch.arange(300)
    found = page.evaluate("seeds => seeds.map(seed => toydiff.lab.label(seed, null))", seeds.tolist())
    assert found == loaded.labels(None, seeds).tolist()  # type: ignore[union-attr]
    assert set(found) == {0, 1}


# ── playing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_buttons_and_keys_lead_through_the_film(visit: Open) -> None:
    page = visit("points")
    assert frame(page) == 0 and page.locator("#first").is_disabled()
    seen = [pixels(page)]
    for press, expected in [
        (lambda: page.click("#forward"), 1),
        (lambda: page.keyboard.press("ArrowRight"), 2),
        (lambda: page.click("#back"), 1),
        (lambda: page.keyboard.press("ArrowLeft"), 0),
        (lambda: page.click("#last"), 8),
        (lambda: page.keyboard.press("Home"), 0),
        (lambda: page.keyboard.press("End"), 8),
        (lambda: page.click("#first"), 0),
        (lambda: page.locator("#scrub").fill("5"), 5),
        (lambda: page.locator("#scrub").press("ArrowRight"), 6),
        (lambda: page.locator("#scrub").press("ArrowLeft"), 5),
    ]:
        press()
        assert frame(page) == expected
        assert page.locator("#where").inner_text() == f"{expected + 1} / 9"
        assert page.locator("figcaption").inner_text().endswith(f"step {expected} of 8")
        seen.append(pixels(page))
    assert not np.array_equal(seen[0], seen[1]) and np.array_equal(seen[1], seen[3])
    assert "step 5 of 8" in page.locator("#scrub").get_attribute("aria-valuetext")


def test_it_keeps_time(visit: Open) -> None:
    page = visit("points", clock=True)  # 9 frames at 10 a second, the first held for 1 s more, the last for 2 s
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "Pause"

    def after(milliseconds: int) -> int:
        page.clock.run_for(milliseconds)
        return frame(page)

    assert after(1000) == 0 and after(150) == 1 and after(500) == 6
    page.keyboard.press("+")
    assert page.locator("#speed").input_value() == "2"
    assert after(150) == 8 and after(800) == 8
    assert after(300) == 0  # it begins anew
    page.keyboard.press("-")
    page.locator("#speed").select_option("0.25")
    page.click("#play")
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    where = frame(page)
    assert after(9000) == where
    page.locator("#speed").select_option("4")
    page.locator("#loop").uncheck()
    page.click("#play")
    assert after(5000) == 8 and page.locator("#play").get_attribute("aria-label") == "Play"  # and stops at the end
    page.keyboard.press("l")
    assert page.locator("#loop").is_checked()


def test_it_plays_by_itself_unless_motion_is_unwanted(visit: Open) -> None:
    page = visit("images")
    page.wait_for_timeout(400)
    assert frame(page) == 0 and not page.evaluate("toydiff.view.playing")
    page = visit("images", reduced_motion="no-preference")
    assert page.evaluate("toydiff.view.playing")
    page.wait_for_function("() => toydiff.view.frame > 0")


def test_layers_are_drawn_when_asked_for(visit: Open) -> None:
    page = visit("mixed")
    page.locator("#scrub").fill("4")
    dots = ink(page)
    for key, name in (("d", "density"), ("p", "paths"), ("a", "arrows"), ("r", "data")):
        page.keyboard.press(key)
        assert page.locator(f"#{name}").is_checked() and ink(page) > 1.05 * dots
        page.click(f"#{name}")
        assert ink(page) == dots
    page.keyboard.press("s")
    assert ink(page) < dots
    page.keyboard.press("s")
    colours = {}
    for value in ("class", "start", "t"):
        page.locator("#colour").select_option(value)
        colours[value] = len(np.unique(pixels(page).reshape(-1, 3), axis=0))
    assert colours["t"] < colours["class"] < colours["start"]
    assert page.locator("label:has(#field)").is_hidden()
    page = visit("score")
    with_field = ink(page)
    page.keyboard.press("e")
    assert ink(page) < with_field / 2
    assert page.locator("label:has(#arrows)").is_hidden()


def test_theme(visit: Open) -> None:
    dark = visit("mixed", color_scheme="dark")
    light = visit("mixed")
    assert pixels(dark)[2, 2].sum() < pixels(light)[2, 2].sum()
    light.click("summary")
    light.locator("#theme").select_option("dark")
    assert np.array_equal(pixels(light)[2, 2], pixels(dark)[2, 2])
    background = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (light, dark)]
    assert background == [background[0]] * 2
    light.locator("#theme").select_option("auto")
    light.emulate_media(color_scheme="dark")
    light.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    assert np.array_equal(pixels(light)[2, 2], pixels(dark)[2, 2])


def test_images_are_what_they_are(visit: Open) -> None:
    page = visit("images")
    assert page.locator("#layers").is_hidden() and page.locator("#lab").is_hidden()
    noise = pixels(page)[..., 0].astype(float)
    page.keyboard.press("End")
    clean = pixels(page)[..., 0].astype(float)
    neighbours = [np.abs(np.diff(each, axis=1)).mean() for each in (noise, clean)]
    assert neighbours[1] < neighbours[0] / 3
    assert page.locator("#curves .marker").count() == 1


def test_images_have_their_colours(visit: Open) -> None:
    page = visit("colours")
    page.keyboard.press("End")
    shown = pixels(page)
    third = len(shown) // 3
    middles = shown[third // 2 :: third, third // 2 :: third].reshape(-1, 3)
    assert len(middles) == 9 and len(np.unique(middles, axis=0)) > 1
    for colour in middles:
        assert np.abs(COLOURS.astype(int) - colour).sum(axis=1).min() <= 3


def test_the_marker_moves_along_the_curves(visit: Open) -> None:
    page = visit("side")
    markers = page.locator("#curves .marker:visible circle.sigma")
    assert markers.count() == 2  # of the samplers; data have no time
    places = [[float(each.get_attribute("cx")) for each in markers.all()]]
    page.locator("#scrub").fill("7")
    places.append([float(each.get_attribute("cx")) for each in markers.all()])
    assert places[0][0] == places[0][1] and places[1][0] < places[1][1] < places[0][0]  # ten times the steps
    assert "ddpm, 20 steps: t" in page.locator("#level").inner_text().replace("\u00a0", " ")


# ── sampling again ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_samples_again_what_is_asked_for(visit: Open, trained: Path) -> None:
    page = visit("points")
    loaded = load(Found("checkpoint", str(trained / "runs" / "tiny" / "best.pt"), ""))
    assert page.locator("#class").input_value() == "1"
    page.locator("#points").fill("25")
    page.locator("#seed").fill("100")
    page.locator("#class").select_option("")
    page.locator("#sampler").select_option("ddpm")
    page.locator("#guidance").fill("2")
    page.locator("#steps").fill("11")
    finished(page, "25 points of seeds 100 to 124")
    assert page.locator("#steps-said").inner_text() == "12"
    seeds = torch.arange(100, 125)
    levels = noise_levels(loaded.schedule, 12, loaded.config.sampling.spacing, loaded.config.sampling.start)
    frames, labels = loaded.frames(seeds, sampler=DDPM(), levels=levels, guidance=2.0)
    np.testing.assert_allclose(sampled(page), frames[-1].x, atol=1e-4)
    assert page.evaluate("[...toydiff.view.reel.panels[0].labels]") == labels.tolist()  # type: ignore[union-attr]
    assert page.evaluate("toydiff.view.reel.frames") == 13
    page.click("#last")
    page.locator("#original").click()
    assert page.evaluate("toydiff.view.reel.frames") == 9 and frame(page) == 8
    page.click("#sample")
    finished(page, "25 points of seeds 100 to 124")


def test_panels_share_the_noise_and_the_clock(visit: Open, trained: Path) -> None:
    page = visit("side")
    loaded = load(Found("checkpoint", str(trained / "runs" / "plain" / "best.pt"), ""))
    page.locator("#points").fill("10")
    page.locator("#panel").select_option("2")
    assert page.locator("#sampler").input_value() == "ddim"
    page.locator("#sampler").select_option("heun")
    finished(page, "10 points")
    grid = (loaded.config.sampling.spacing, loaded.config.sampling.start)
    for panel, sampler, steps in ((1, DDPM(), 20), (2, Heun(), 5)):
        levels = noise_levels(loaded.schedule, steps, *grid)
        frames, _ = loaded.frames(torch.arange(10), sampler=sampler, levels=levels)  # type: ignore[arg-type]
        np.testing.assert_allclose(sampled(page, panel), frames[-1].x, atol=1e-4)
    orders = page.evaluate("toydiff.view.reel.panels.map(({ order }) => order)")
    assert orders[1] == list(range(21)) and orders[2] == [k // 4 for k in range(21)] and set(orders[0]) == {0}


def ring(page: Any) -> tuple[float, float]:
    return float(page.locator("#start-x").input_value()), float(page.locator("#start-y").input_value())


def test_the_ring_starts_where_it_is_dragged(visit: Open, trained: Path) -> None:
    page = visit("points")
    loaded = load(Found("checkpoint", str(trained / "runs" / "tiny" / "best.pt"), ""))
    first = next(loaded.trajectory([0], label=torch.tensor([1]))).x[0].tolist()
    np.testing.assert_allclose(ring(page), first, atol=6e-5)  # the noise of seed 0
    before, box = pixels(page), page.locator("#panel-0").bounding_box()
    left, right, low, high = page.evaluate("toydiff.film.limits")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25, steps=3)
    page.mouse.up()
    start = ring(page)
    width = right - left
    np.testing.assert_allclose(start, [left + 0.75 * width, high - 0.25 * (high - low)], atol=3 * width / box["width"])
    assert not np.array_equal(pixels(page), before)
    page.locator("#start-x").fill("0.25")
    page.locator("#start-y").fill("-0.5")
    page.locator("#sampler").select_option("euler")
    finished(page, "300 points")
    assert ring(page) == (0.25, -0.5)  # still there
    x = (torch.tensor([[0.25, -0.5]]) - loaded.shift) / loaded.scale
    levels = noise_levels(loaded.schedule, 8, loaded.config.sampling.spacing, loaded.config.sampling.start)
    with torch.no_grad():
        path = list(Euler().trajectory(loaded.denoise(torch.tensor([1])), x, levels, torch.zeros_like))
    end = loaded.to_data(path[-1].x)[0].tolist()
    said = page.locator("#path").inner_text().replace("−", "-")
    assert said == f"euler, 8 steps: (0.250, -0.500) → ({end[0]:.3f}, {end[1]:.3f})"
    page.locator("#seed").fill("3")
    page.locator("#seed").press("Enter")
    eps = streams.normal((2,), seed=torch.tensor([3]), stream="sample", step=1)
    np.testing.assert_allclose(ring(page), loaded.to_data(eps * levels[0].scale)[0], atol=0.05)


def test_touch(visit: Open) -> None:
    page = visit("points", has_touch=True, viewport={"width": 390, "height": 844})
    before, box = ring(page), page.locator("#panel-0").bounding_box()
    page.touchscreen.tap(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"])
    assert ring(page) != before
    page.locator("#forward").tap()
    assert frame(page) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing hangs out
    for button in page.locator("#transport button").all():
        size = button.bounding_box()
        assert size["width"] >= 40 and size["height"] >= 40


# ── for everyone ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["mixed", "side", "images", "score", "exploding"])
def test_every_control_has_a_name_and_is_reached_by_tab(name: str, visit: Open) -> None:
    page = visit(name)
    page.click("summary")
    page.locator("#scrub").fill("1")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "checkbox", "slider", "combobox", "spinbutton", "DisclosureTriangle", "img", "image")
    named = [
        (node["role"]["value"], node["name"]["value"]) for node in tree if node.get("role", {}).get("value") in roles
    ]
    assert len(named) >= 12 and all(words for _, words in named), named
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary")]
            .filter(e => e.checkVisibility() && !e.disabled).map(e => e.id || e.tagName)"""
    )
    assert len(wanted) >= 9
    reached = set()
    for _ in range(len(wanted) + 1):  # all the way around, by the body
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == {*wanted, "BODY"}


def test_a_laptop_shows_the_film_and_what_samples_again_at_once(visit: Open) -> None:
    page = visit("points", viewport={"width": 1280, "height": 800})
    for name in ("panel-0", "play", "curves", "guidance", "sample"):
        box = page.locator(f"#{name}").bounding_box()
        assert box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 800, name
    page.locator("#start-x").fill("-1.2345")
    assert page.locator("#start-x").evaluate("input => input.scrollWidth <= input.clientWidth")  # its number is not cut


def test_typing_a_number_presses_no_key_of_the_player(visit: Open) -> None:
    page = visit("points")
    page.locator("#seed").press("End")
    page.locator("#start-x").press("ArrowUp")
    assert frame(page) == 0
    page.locator("#loop").press("Space")
    assert not page.locator("#loop").is_checked() and not page.evaluate("toydiff.view.playing")


def test_a_sampler_of_another_kind_begins_with_ddim(visit: Open, pages: Path, trained: Path) -> None:
    words = ["animate", "plain", "--sampler", "dpmpp_2m:9", "-n", "9", "--frames", "5", "-o", str(pages / "other.html")]
    assert CliRunner().invoke(app, [*words, "--runs-dir", str(trained / "runs"), "-q"]).exit_code == 0
    page = visit("other")
    assert page.locator("#sampler").input_value() == "ddim" and page.locator("#steps-said").inner_text() == "9"
    assert "dpmpp_2m" in page.locator("#about").inner_text()
    assert set(carried.SAMPLERS) <= set(kinds(AnySampler))
