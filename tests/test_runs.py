"""From a NAME to samples: the right weights, the right units, and each sample the business of its own seed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from toydiff import checkpoint as checkpoints
from toydiff.arrays import write_csv, write_npz
from toydiff.config import Model, Run, Sampling
from toydiff.data import AnyData, Batch, Gaussians, Moons, Shapes
from toydiff.errors import ConfigurationError, ToydiffError
from toydiff.names import FILE_KINDS, Found
from toydiff.networks import MLP
from toydiff.published import OFFICIAL
from toydiff.runs import Loaded, load, run_of
from toydiff.samplers import DDIM, DDPM, Heun, Sampler
from toydiff.schedules import Level, Linear, LogLinear
from toydiff.spec import kinds
from toydiff.training import streams

RUN = Run(data=Gaussians(), network=MLP(widths=(16, 16)), model=Model(conditional=True), sampling=Sampling(steps=5))


def saved(folder: Path, run: Run = RUN, **changes: object) -> Path:
    """Write a checkpoint whose averaged weights are half the raw ones."""
    weights = run.build().state_dict()
    ema = {key: value / 2 if key.startswith("network.") else value for key, value in weights.items()}
    header = {"name": "made", "config": run.model_dump(mode="json"), "step": 1, "total": 1, **changes}
    checkpoints.save(folder / "made.pt", header=header, model=weights, ema=ema, optimizer={})
    return folder / "made.pt"


@pytest.fixture
def made(tmp_path: Path) -> Loaded:
    return load(str(saved(tmp_path)))


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_needs_nothing_beside_it(made: Loaded) -> None:
    assert (made.name, made.config, made.schedule, made.data) == ("made", RUN, RUN.schedule, RUN.data)
    assert made.sample(3).x.shape == (3, 2)


def test_a_pretrained_checkpoint_is_called_what_one_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found("checkpoint", str(saved(tmp_path, name="a run long gone")), "")
    assert load(found).name == "a run long gone"
    monkeypatch.setattr("toydiff.runs.loading.pretrained_dir", lambda: tmp_path)
    assert load(found).name == "made"  # so that `toydiff sample made`, in a hint, does something


def test_averaged_weights_unless_raw_ones_are_asked_for(tmp_path: Path) -> None:
    path = str(saved(tmp_path))
    weights = RUN.build().state_dict()
    for which, factor in (("ema", 0.5), ("raw", 1.0)):
        loaded = load(path, weights=which).denoiser.state_dict()  # type: ignore[attr-defined]
        for key in weights:
            assert torch.equal(loaded[key], weights[key] * (factor if key.startswith("network.") else 1)), key


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": None}, "its configuration is not valid here: config"),
        ({"config": {"data": {"kind": "dragon"}}}, "its configuration is not valid here: data"),
        ({"config": {"seed": -1}}, "its configuration is not valid here: seed"),
        ({"config": {"\x1b[31m": 1}}, r"not valid here: \x1b[31m"),
        ({"config": Run().model_dump(mode="json")}, "the weights do not fit the network"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ToydiffError) as error:
        load(str(saved(tmp_path, **changes)))
    assert words in error.value.message
    assert error.value.exit_code == 1


def test_a_configuration_survives_its_header() -> None:
    assert run_of(json.loads(json.dumps({"config": RUN.model_dump(mode="json")})), Path("x")) == RUN


# ── sampling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sampler", [Heun(), DDIM(), DDIM(eta=1), DDPM()])
def test_a_sample_is_its_seeds_alone_whatever_the_batch(made: Loaded, sampler: object) -> None:
    whole = made.sample(50, sampler=sampler)
    parts = made.sample(50, sampler=sampler, batch_size=7)
    assert whole.label is not None
    assert torch.equal(whole.label, parts.label)  # type: ignore[arg-type]
    torch.testing.assert_close(parts.x, whole.x, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.sample(10, seed=20, sampler=sampler).x, whole.x[20:30], atol=1e-5, rtol=0)


def test_the_way_is_one_frame_a_step_after_the_noise(made: Loaded) -> None:
    frames = list(made.trajectory(range(6), label=torch.zeros(6, dtype=torch.long)))
    assert [float(frame.level.t) for frame in frames] == [float(level.t) for level in made.config.levels()]
    noise = streams.normal((2,), seed=torch.arange(6), stream="sample", step=1)
    torch.testing.assert_close(frames[0].x, noise * made.scale + made.shift)  # flow and cosine start from pure noise
    assert all(frame.x.shape == (6, 2) for frame in frames)


def test_raw_data_start_from_the_noise_of_their_scale_unless_from_a_unit_one(tmp_path: Path) -> None:
    schedule = Linear(T=1000)
    parts = {"data": Gaussians(radius=50), "network": MLP(widths=(8,)), "schedule": schedule}
    run = Run(**parts, model=Model(standardize=False), sampling=Sampling(steps=5))
    loaded, end = load(str(saved(tmp_path, run))), schedule(1.0)
    noise = streams.normal((2,), seed=torch.arange(4), stream="sample", step=1)
    rms = (end.alpha**2 * run.sigma_data**2 + end.sigma**2).sqrt().float()
    torch.testing.assert_close(next(loaded.trajectory(range(4))).x, noise * rms)
    unit = replace(loaded, config=run.model_copy(update={"sampling": Sampling(steps=5, prior="unit")}))
    torch.testing.assert_close(next(unit.trajectory(range(4))).x, noise)


def test_frames_are_those_asked_for(made: Loaded) -> None:
    everything, _ = made.frames(torch.arange(9), keep=range(6), batch_size=4)
    some, labels = made.frames(torch.arange(9), keep=(0, 3, -1))
    assert len(everything) == 6
    for frame, same in zip(some, (everything[0], everything[3], everything[5]), strict=True):
        torch.testing.assert_close(frame.x, same.x, atol=1e-5, rtol=0)
    assert labels is not None
    assert torch.equal(made.sample(9).label, labels)  # type: ignore[arg-type]


def test_labels_come_by_training_frequency_or_as_told(tmp_path: Path) -> None:
    weights = (1.0, 2.0, 5.0)
    run = RUN.model_copy(update={"data": Gaussians(modes=3, weights=weights)})
    loaded = load(str(saved(tmp_path, run)))
    drawn = loaded.labels(None, torch.arange(20_000))
    assert drawn is not None
    shares = drawn.bincount(minlength=3) / 20_000
    torch.testing.assert_close(shares, torch.tensor(weights) / 8, atol=0.015, rtol=0)  # 4 standard deviations
    assert torch.equal(loaded.labels(None, torch.arange(5, 9)), drawn[5:9])  # type: ignore[arg-type]
    assert loaded.labels("2", torch.arange(4)).tolist() == [2, 2, 2, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("label", ["3", "-1", "", "one", "٣"])
def test_labels_there_are_not_are_refused(label: str, tmp_path: Path) -> None:
    loaded = load(str(saved(tmp_path, RUN.model_copy(update={"data": Gaussians(modes=3)}))))
    with pytest.raises(ConfigurationError, match="unknown label"):
        loaded.labels(label, torch.arange(4))


def test_a_number_that_is_not_finite_stops_sampling(made: Loaded) -> None:
    broken = replace(made, denoiser=lambda x, level, label=None: x * torch.nan)
    with pytest.raises(ToydiffError, match="not finite on the way to") as error:
        broken.sample(3)
    assert error.value.exit_code == 1


# ── guidance by a weaker model ───────────────────────────────────────────────────────────────────────────────────────


def another(folder: Path, **parts: object) -> Loaded:
    """Return a model of other parts than RUN, with a seed of its own."""
    folder.mkdir(exist_ok=True)
    return load(str(saved(folder, RUN.model_copy(update={"seed": 1, **parts}))))


def test_a_weaker_checkpoint_guides(made: Loaded, tmp_path: Path) -> None:
    schedule, network = LogLinear(), MLP(widths=(8, 8))
    for conditional in (True, False):
        model = Model(conditional=conditional, target="edm")
        weak = another(tmp_path / str(conditional), schedule=schedule, network=network, model=model)
        level, x, label = made.config.levels()[1], torch.randn(5, 2), torch.arange(5)
        theirs = weak.denoiser(x, level, label if conditional else None)
        expected = theirs + 3 * (made.denoiser(x, level, label) - theirs)
        guided = made.denoise(label, guidance=3, guide=weak)(x, level)
        torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-4)
        plain = made.sample(8)
        assert torch.equal(made.sample(8, guidance=1, guide=weak).x, plain.x)
        assert not torch.equal(made.sample(8, guidance=3, guide=weak).x, plain.x)
        outside = made.sample(8, guidance=3, guide=weak, interval=(0.0, 1e-9))
        assert torch.equal(outside.x, plain.x)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Gaussians(modes=3), "its labels are 0, 1, 2, not 0, 1, 2, 3, 4, 5, 6, 7"),
        (Gaussians(std=0.3), "its data have scale"),
        (Gaussians(weights=(4, 1, 1, 1, 1, 1, 1, 4)), "its data"),
    ],
)
def test_a_guide_of_other_data_is_refused(made: Loaded, tmp_path: Path, data: Gaussians, words: str) -> None:
    guide = another(tmp_path / "other", data=data)
    with pytest.raises(ConfigurationError, match="cannot guide `made`") as error:
        made.sample(3, guidance=2, guide=guide)
    assert words in error.value.message


def test_a_guide_of_another_shape_is_refused(made: Loaded) -> None:
    with pytest.raises(ConfigurationError, match=r"samples have shape \(1, 32, 32\), not \(2,\)"):
        made.denoise(guidance=2, guide=load("exact:shapes@3"))


# ── exact denoisers ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [kind for kind in kinds(AnyData) if kind not in ("shapes", *OFFICIAL, *FILE_KINDS)])
def test_exact_denoisers_are_the_data_sets_own_in_model_units(kind: str) -> None:
    loaded = load(f"exact:{kind}")
    data = kinds(AnyData)[kind]()
    x_t = data.draw(20, torch.Generator().manual_seed(0)).x.double() + 0.3  # type: ignore[attr-defined]
    level = Level.at(torch.tensor(1.0, dtype=torch.float64))
    # x_t = alpha x_0 + sigma eps in data units is (x_t − alpha·shift)/scale in the model's, with sigma/scale for sigma.
    inside = Level(level.t, level.alpha, level.sigma / loaded.scale)
    in_model = (x_t - level.alpha * loaded.shift.double()) / loaded.scale
    expected = (data.exact()(x_t, level) - loaded.shift.double()) / loaded.scale  # type: ignore[attr-defined]
    torch.testing.assert_close(loaded.denoiser(in_model, inside), expected, atol=1e-5, rtol=0)


def test_ways_that_cross_or_are_left_halfway_leave_gradients_on() -> None:
    loaded = load("exact:moons@9")
    one, other = (loaded.trajectory(torch.arange(2)) for _ in range(2))
    next(one), next(other), next(one)
    assert torch.is_grad_enabled()
    list(one), list(other)
    abandoned = loaded.trajectory(torch.arange(2))
    next(abandoned)
    assert torch.is_grad_enabled()


def test_likelihoods_come_in_data_units() -> None:
    """The exact denoiser's flow has the data's own density: the logarithm of the scale is in it."""
    loaded = load("exact:gaussians")
    batch = loaded.data.draw(50, torch.Generator().manual_seed(0))
    x, truth = batch.x, loaded.data.log_prob(batch.x)
    torch.testing.assert_close(loaded.log_prob(x), truth, atol=0.01, rtol=0)
    conditional = loaded.log_prob(x[:5], batch.label[:5], steps=50)  # type: ignore[index]
    torch.testing.assert_close(conditional, truth[:5] + math.log(8), atol=0.05, rtol=0)  # the modes lie well apart
    guess, exact = (loaded.log_prob(x, steps=20, probes=probes) for probes in (4, None))
    assert abs((guess - exact).mean()) < 3 * (guess - exact).std() / 50**0.5
    assert torch.equal(guess, loaded.log_prob(x, steps=20, probes=4))
    assert not torch.equal(guess, loaded.log_prob(x, steps=20, probes=4, seed=1))


@pytest.mark.parametrize("sampler", [Heun(), DDIM(), DDPM()], ids=lambda sampler: sampler.kind)
def test_the_exact_denoiser_of_points_samples_those_points(sampler: Sampler) -> None:
    """It has memorised them: nothing else comes out, whatever the sampler, and it says so."""
    loaded, points = load("exact:moons@200"), Moons(n=200).fixed()
    assert "it has memorised them" in loaded.found.why and loaded.denoiser.memorises  # type: ignore[attr-defined]
    assert not load("exact:moons").denoiser.memorises  # type: ignore[attr-defined]
    away = torch.cdist(loaded.sample(300, sampler=sampler).x.double(), points.x.double())
    assert away.amin(1).max() < 1e-5
    assert len(away.argmin(1).unique()) > 100  # and all of them may: 200 · (1 − e^−1.5) = 155 are expected
    for label in (0, 1):
        near = loaded.sample(30, label=str(label), sampler=sampler).x
        assert (points.label[torch.cdist(near, points.x).argmin(1)] == label).all()  # type: ignore[index]


def test_the_exact_denoiser_of_pictures_samples_those_pictures() -> None:
    loaded = load("exact:shapes@100")
    pictures = Shapes(n=100).fixed()
    x, label = loaded.sample(20)
    away = torch.cdist(x.flatten(1), pictures.x.flatten(1))
    assert away.amin(1).max() < 0.05 and label is not None and pictures.label is not None
    assert torch.equal(pictures.label[away.argmin(1)], label)
    other_way = loaded.sample(5, label="triangle+line:2")
    assert [loaded.data.label_names[k] for k in other_way.label] == ["line+triangle"] * 5  # type: ignore[union-attr]


def test_the_number_of_labels_is_the_data_sets_own_where_the_last_are_not_drawn() -> None:
    """Of three pictures none has the last label: "none" must stay the one after it."""
    loaded = load("exact:shapes@3")
    drawn = Shapes(n=3).fixed().label
    assert drawn is not None and drawn.max() < 27
    free = loaded.sample(50, label="none")
    assert free.label is not None and (free.label == 28).all()
    assert len(torch.unique(free.x.sign(), dim=0)) == 3
    with pytest.raises(ConfigurationError, match="no point of `exact:shapes@3` has the label `line"):
        loaded.sample(1, label="27")


def test_labels_of_a_few_points_are_those_of_their_data_set() -> None:
    loaded = load("exact:moons@1")  # its point is an upper one
    points, seeds = Moons(n=1).fixed(), torch.arange(4)
    assert points.label is not None and points.label.tolist() == [0]
    for label, number in ((None, 0), ("upper", 0), ("0", 0), ("none", 2)):
        assert loaded.labels(label, seeds).tolist() == [number] * 4  # type: ignore[union-attr]
        x = loaded.sample(4, label=label, sampler=DDIM()).x
        torch.testing.assert_close(x, points.x.expand(4, 2), atol=1e-3, rtol=0)
    with pytest.raises(ConfigurationError, match="no point of `exact:moons@1` has the label `lower`") as error:
        loaded.labels("lower", seeds)
    assert error.value.hint == "Labels there are: upper, none."


def test_the_data_beside_samples_are_the_points_of_an_exact_denoiser_that_has_some(made: Loaded) -> None:
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(load("exact:moons@3").real(500, generator).x, Moons(n=3).fixed().x)
    drawn = load("exact:moons").real(500, torch.Generator().manual_seed(0)).x
    assert torch.equal(drawn, Moons().draw(500, torch.Generator().manual_seed(0)).x)
    finite = replace(made, config=RUN.model_copy(update={"data": Gaussians(n=3)}))
    assert len(finite.real(500, generator).x) == 500  # a trained model is held against data it has not seen


def test_data_are_no_model() -> None:
    with pytest.raises(ConfigurationError, match="is a data set, not a model"):
        load(Found("data", "moons", ""))


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_csv_keeps_every_digit_of_float32_and_refuses_images(tmp_path: Path) -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-30, 1e30])
    write_csv(tmp_path / "a.csv", Batch(x, None))
    read = [[float(cell) for cell in line.split(",")] for line in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert torch.equal(torch.tensor(read, dtype=torch.float64).float(), x)
    with pytest.raises(ConfigurationError, match="csv holds points"):
        write_csv(tmp_path / "b.csv", Batch(torch.zeros(2, 1, 8, 8), None))
    write_npz(tmp_path / "b.npz", Batch(torch.zeros(2, 1, 8, 8), None))
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b.npz"}
