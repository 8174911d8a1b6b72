"""What the README promises: its Python runs, and a sampler is one class and one name."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from toydiff.metrics.points import energy_distance
from toydiff.oracle import Gaussian
from toydiff.samplers import AnySampler, noise_levels
from toydiff.schedules import Flow
from toydiff.spec import kinds

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_ten_lines_train_and_sample():
    torch.manual_seed(0)
    code = BLOCKS[0]
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    names = {}
    exec(code.replace("steps=1000", "steps=600").replace("print(", "("), names)
    x = names["trajectory"][-1].x
    real = names["data"].draw(500, torch.Generator().manual_seed(0)).x
    assert x.shape == (500, 2)
    # 600 steps already resemble the roll more than noise of the same variance does, by far
    assert energy_distance(x, real) < 0.2 * energy_distance(torch.randn(500, 2), real)


@pytest.fixture
def consistency():
    names = {"__name__": "somebody_elses_module"}
    exec(BLOCKS[1], names)
    return names["Consistency"]


def test_a_sampler_from_outside_the_package(consistency):
    exact = Gaussian(torch.tensor([1.0, -2.0]), std=0.5)
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 2, generator=noise)
    levels = noise_levels(Flow(), 10)
    frames = list(consistency().trajectory(exact, x, levels, lambda like: torch.randn(like.shape, generator=noise)))
    assert [frame.level for frame in frames] == levels[1:]
    assert torch.allclose(frames[-1].x.mean(0), torch.tensor([1.0, -2.0]), atol=0.02)
    total = 1.0  # the variance of x_t, pushed through the gain of each estimate and the fresh noise
    for t, s in pairwise(levels):
        gain = t.alpha * 0.25 / (t.alpha**2 * 0.25 + t.sigma**2)
        total = float((s.alpha * gain) ** 2 * total + s.sigma**2)
    assert frames[-1].x.var(0).tolist() == pytest.approx([total] * 2, rel=0.05)


def test_one_class_and_one_name_reach_the_command_line(tmp_path, consistency):
    """A copy of the package with the README's class in a file and its name in the union: everything knows it."""
    shutil.copytree(ROOT / "src" / "toydiff", tmp_path / "toydiff")
    shutil.copytree(ROOT / "presets", tmp_path / "toydiff" / "_presets")
    (tmp_path / "toydiff" / "samplers" / "consistency.py").write_text(
        BLOCKS[1].replace(
            "from toydiff.samplers import Frame, Sampler", "from toydiff.samplers.base import Frame, Sampler"
        )
    )
    union = tmp_path / "toydiff" / "samplers" / "__init__.py"
    text = re.sub(
        r"AnySampler = Annotated\[\s*DDPM",
        "from toydiff.samplers.consistency import Consistency\nAnySampler = Annotated[Consistency | DDPM",
        union.read_text(),
    )
    union.write_text(text)

    def python(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def run(*words):
        return python("-m", "toydiff", *words)

    assert "Estimates x_0 and adds fresh noise" in run("inspect", "samplers")
    assert "consistency, 5 steps" in run(
        "sample", "exact:moons", "--sampler", "consistency:5", "-n", "50", "-o", "x.npz"
    )
    complete = "from toydiff.cli.options import complete_sampler; print(complete_sampler('cons'))"
    assert python("-c", complete).strip() == "['consistency']"
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    shutil.copy(ROOT / "tests" / "samplers" / "test_every_sampler.py", tmp_path)
    tests = python("-m", "pytest", "--collect-only", "-q", "test_every_sampler.py").split("\n")
    for oracle in ("one_frame_a_step", "a_trajectory_is_lazy", "the_variance_converges", "a_mixture_keeps"):
        assert any(oracle in test and "consistency" in test for test in tests), oracle


def test_the_readme_names_every_sampler():
    (row,) = re.findall(r"^\| samplers \|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert all(f"`{kind}`" in row for kind in kinds(AnySampler))
