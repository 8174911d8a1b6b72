"""train and resume, the right way: what they write, what they print, and where each value comes from."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toydiff import checkpoint as checkpoints
from toydiff.config import Run
from toydiff.layers import resolve, table_layer

from .conftest import Toydiff
from .program import TINY


def rows(file: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# ── what a run folder holds ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_folder_holds_what_the_design_says(with_run: Path) -> None:
    run = with_run / "runs" / "tiny"
    assert {path.name for path in run.iterdir()} == {
        "config.toml", "env.json", "metrics.jsonl", "timing.jsonl", "latest.pt", "latest.prev.pt", "best.pt",
        "samples", "loss.png", "tensorboard",
    }  # fmt: skip
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-20.png", "step-30.png"]
    for picture in (*run.glob("samples/*.png"), run / "loss.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_configuration_reloads_to_the_same_run(with_run: Path) -> None:
    run = with_run / "runs" / "tiny"
    table = tomllib.loads((run / "config.toml").read_text())
    saved = Run.model_validate(checkpoints.load(run / "best.pt").header["config"])
    assert resolve([table_layer("file", table)]).run == saved
    assert (saved.data.kind, saved.training.steps, saved.model.conditional) == ("moons", 30, True)


def test_a_configuration_file_trains_the_same_weights(with_run: Path, toydiff: Toydiff) -> None:
    toydiff("train", "--config", "runs/tiny/config.toml", "--name", "again", "-q")
    first, again = (checkpoints.load(with_run / "runs" / name / "latest.pt") for name in ("tiny", "again"))
    assert all((first.model[key] == again.model[key]).all() for key in first.model)


def test_env_json_says_where_it_was_made(with_run: Path) -> None:
    facts = json.loads((with_run / "runs" / "tiny" / "env.json").read_text())
    assert (facts["name"], facts["preset"], facts["device"]) == ("tiny", "moons", "cpu")
    assert {"toydiff", "torch", "python", "system", "threads"} <= facts.keys()


def test_metrics_have_losses_and_no_times(with_run: Path) -> None:
    metrics = rows(with_run / "runs" / "tiny" / "metrics.jsonl")
    assert [row["step"] for row in metrics if "loss" in row] == [5, 10, 15, 20, 25, 30]
    assert [row["step"] for row in metrics if "validation" in row] == [10, 20, 30]
    assert {key for row in metrics for key in row} == {"step", "loss", "lr", "grad_norm", "validation", "by_log_snr"}
    assert [row["step"] for row in rows(with_run / "runs" / "tiny" / "timing.jsonl")] == [5, 10, 15, 20, 25, 30]


def test_best_is_the_lowest_validation_loss(with_run: Path) -> None:
    run = with_run / "runs" / "tiny"
    lowest = min((row for row in rows(run / "metrics.jsonl") if "validation" in row), key=lambda r: r["validation"])
    header = checkpoints.load(run / "best.pt").header
    assert header["best"] == {"step": lowest["step"], "loss": lowest["validation"]}
    assert header["step"] == lowest["step"]


def test_the_previous_checkpoint_is_kept(with_run: Path) -> None:
    steps = [checkpoints.load(with_run / "runs" / "tiny" / f"latest{p}.pt").header["step"] for p in (".prev", "")]
    assert steps == [20, 30]


def test_tensorboard_has_the_scalars_and_both_pictures(with_run: Path) -> None:
    board = EventAccumulator(str(with_run / "runs" / "tiny" / "tensorboard"))
    board.Reload()
    bins = {f"loss_by_noise_level/{k}_of_10" for k in range(10)}
    expected = {"loss/training", "loss/validation", "learning_rate", "gradient_norm"} | bins
    assert expected <= set(board.Tags()["scalars"])
    assert set(board.Tags()["images"]) == {"samples/ema_and_raw"}
    metrics = rows(with_run / "runs" / "tiny" / "metrics.jsonl")
    logged = [(event.step, event.value) for event in board.Scalars("loss/training")]
    assert logged == [(row["step"], pytest.approx(row["loss"])) for row in metrics if "loss" in row]


def test_a_kept_step_has_a_file_of_its_own(here: Path, toydiff: Toydiff) -> None:
    toydiff("train", "moons", "--name", "kept", *TINY, "--steps", "6", "--set", "record.keep=[4]", "-q")
    assert checkpoints.load(here / "runs" / "kept" / "step-4.pt").header["step"] == 4


# ── order of layers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_layers_apply_in_order_and_say_so(here: Path, toydiff: Toydiff) -> None:
    Path("mine.toml").write_text("seed = 1\n[training]\nbatch_size = 10\nsteps = 10\n[training.optimizer]\nlr = 0.1\n")
    words = ["train", "moons", "--config", "mine.toml", "--set", "training.batch_size=20", "--lr", "0.3"]
    words += ["--set", "training.optimizer.lr=0.2", "--print-config"]
    lines = toydiff(*words).stdout.splitlines()
    assert 'kind = "moons" # preset moons' in lines
    assert "seed = 1 # mine.toml" in lines
    assert "steps = 10 # mine.toml" in lines
    assert "batch_size = 20 # --set" in lines
    assert "lr = 0.3 # --lr" in lines
    assert "accumulate = 1 # default" in lines
    assert tomllib.loads("\n".join(lines))["training"]["optimizer"]["lr"] == 0.3
    document = json.loads(toydiff(*words, "--json").stdout)
    assert (document["training"]["batch_size"], document["training"]["optimizer"]["lr"]) == (20, 0.3)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flag", "value", "path"),
    [
        ("--samples", 70, "data.n"), ("--batch-size", 7, "training.batch_size"), ("--seed", 5, "seed"),
        ("--steps", 9, "training.steps"), ("--accumulate", 2, "training.accumulate"),
        ("--precision", "bfloat16", "training.precision"),
    ],
)  # fmt: skip
def test_flags_are_short_for_set(flag: str, value: object, path: str, toydiff: Toydiff) -> None:
    by_flag = json.loads(toydiff("train", "moons", flag, str(value), "--print-config", "--json").stdout)
    by_set = json.loads(toydiff("train", "moons", "--set", f"{path}={value}", "--print-config", "--json").stdout)
    assert by_flag == by_set
    for key in path.split("."):
        by_flag = by_flag[key]
    assert by_flag == value


def test_a_new_kind_resets_its_table(toydiff: Toydiff) -> None:
    words = ["train", "moons", "--print-config", "--json", "--set", "data.noise=0.3"]
    words += ["--set", "data.kind=gaussians", "--set", "data.modes=5"]
    assert json.loads(toydiff(*words).stdout)["data"] == {
        "kind": "gaussians", "n": None, "seed": 0, "modes": 5, "radius": 1.0, "std": 0.08, "weights": None,
    }  # fmt: skip


def test_epochs_take_the_place_of_steps(toydiff: Toydiff) -> None:
    words = ("train", "moons", "--samples", "100", "--batch-size", "30", "--epochs", "3", "--dry-run", "--json")
    assert json.loads(toydiff(*words).stdout)["steps"] == 12


def test_settings_without_effect_are_said_if_the_user_made_them(here: Path, toydiff: Toydiff) -> None:
    words = ("train", "moons", "--dry-run", "-q")
    done = toydiff(*words, "--set", "data.seed=3", "--set", "training.label_dropout=0.5")
    first, second = done.stderr.splitlines()
    assert first.startswith("warning: data.seed = 3 has no effect: the data are endless")
    assert second.startswith("warning: training.label_dropout = 0.5 has no effect: the model takes no labels")
    for more in (
        ("--set", "data.seed=3", "--samples", "50"),
        ("--set", "training.label_dropout=0.5", "--set", "model.conditional=true"),
        ("--set", "data.seed=0", "--set", "training.label_dropout=0.1"),  # as a resolved configuration has them
    ):
        assert toydiff(*words, *more).stderr == ""


# ── rehearsals ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_says_what_would_happen_and_writes_nothing(here: Path, toydiff: Toydiff) -> None:
    words = ("train", "moons", *TINY, "--steps", "77", "--name", "planned", "--dry-run")
    facts = json.loads(toydiff(*words, "--json").stdout)
    assert (facts["folder"], facts["steps"], facts["device"]) == ("runs/planned", 77, "cpu")
    assert facts["parameters"] > 0
    assert "77 steps" in toydiff(*words).stdout
    assert list(here.iterdir()) == []


def test_a_smoke_test_leaves_nothing(here: Path, toydiff: Toydiff, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(scratch))
        done = toydiff("train", "moons", *TINY[:2], "--smoke")
    assert "smoke test passed" in done.stdout
    assert "next:" not in done.stderr
    assert list(here.iterdir()) == list(scratch.iterdir()) == []


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_resume_by_itself_takes_the_newest_run(with_run: Path, toydiff: Toydiff) -> None:
    done = toydiff("resume")
    assert "resuming the run runs/tiny, latest.pt" in done.stderr
    assert done.stdout == "runs/tiny has finished already: 30 steps\n"
    assert "toydiff resume tiny --steps 60" in done.stderr
    facts = json.loads(toydiff("resume", "--json").stdout)
    best = checkpoints.load(with_run / "runs" / "tiny" / "best.pt").header["best"]
    assert facts == {"step": 30, "seconds": 0.0, "best": best, "folder": "runs/tiny"}


def test_resume_to_a_new_total_says_that_the_rate_jumps(with_run: Path, toydiff: Toydiff) -> None:
    done = toydiff("resume", "tiny", "--steps", "40")
    assert "the total goes from 30 to 40 steps, so the learning rate jumps from" in done.stderr
    assert "trained 10 steps" in done.stdout
    header = checkpoints.load(with_run / "runs" / "tiny" / "latest.pt").header
    assert (header["step"], header["total"], header["config"]["training"]["steps"]) == (40, 40, 40)
    assert [r["step"] for r in rows(with_run / "runs" / "tiny" / "timing.jsonl")] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert tomllib.loads((with_run / "runs" / "tiny" / "config.toml").read_text())["training"]["steps"] == 40


def test_max_time_stops_early_and_resume_goes_on(here: Path, toydiff: Toydiff) -> None:
    words = ("train", "moons", "--name", "slow", *TINY, "--steps", "20")
    done = toydiff(*words, "--max-time", "0.001s")
    assert "time is up at step 1 of 20; to go on: toydiff resume slow" in done.stderr
    assert checkpoints.load(here / "runs" / "slow" / "latest.pt").header["step"] == 1
    assert "trained 19 steps" in toydiff("resume", "slow").stdout


def test_resume_flag_starts_goes_on_and_is_done(here: Path, toydiff: Toydiff) -> None:
    words = ("train", "moons", "--name", "job", *TINY, "--steps", "20", "--set", "schedule.kind=linear", "--resume")
    assert "time is up" in toydiff(*words, "--max-time", "0.001s").stderr  # nothing to resume: it starts
    done = toydiff(*words)
    assert "continuing runs/job" in done.stderr
    assert "trained 19 steps" in done.stdout
    done = toydiff(*words, "-q")
    assert done.stdout == "runs/job has finished already: 20 steps\n"


def test_resume_flag_without_a_name_finds_the_unfinished_run_of_the_same_configuration(
    here: Path, toydiff: Toydiff
) -> None:
    words = ("train", "moons", *TINY, "--steps", "20")
    toydiff(*words, "--name", "mine", "--max-time", "0.001s")
    toydiff(*words, "--name", "other", "--max-time", "0.001s", "--seed", "1")
    toydiff(*words, "--name", "broken", "--max-time", "0.001s", "--seed", "2")
    (here / "runs" / "broken" / "latest.pt").write_bytes(b"oh")
    done = toydiff(*words, "--resume")
    assert "continuing runs/mine" in done.stderr
    assert "warning: runs/broken/latest.pt is not a usable checkpoint" in done.stderr


def test_a_run_elsewhere_is_named_by_its_path(here: Path, toydiff: Toydiff) -> None:
    done = toydiff("train", "moons", "--name", "far", *TINY, "--steps", "2", "--runs-dir", "other runs")
    assert "next: toydiff sample 'other runs/far'" in done.stderr
    assert "far" in toydiff("inspect", "other runs/far").stdout


# ── talking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_results_go_to_stdout_and_the_rest_to_stderr(here: Path, toydiff: Toydiff) -> None:
    done = toydiff("train", "moons", "--name", "a", *TINY, "--steps", "10", "-v")
    assert done.stdout.startswith("trained 10 steps in ")
    assert "runs/a: best.pt, latest.pt" in done.stdout
    assert len(done.stdout.splitlines()) == 2
    for words in ("training in runs/a on cpu", "step 5/10 · loss ", " it/s · lr ", "s left", "next: toydiff sample a"):
        assert words in done.stderr
    assert "step 10: validation loss" in done.stderr
    quiet = toydiff("train", "moons", "--name", "b", *TINY, "--steps", "10", "-q")
    assert quiet.stderr == ""
    assert quiet.stdout.startswith("trained 10 steps")


def test_json_prints_a_line_a_row_and_a_summary(here: Path, toydiff: Toydiff) -> None:
    done = toydiff("train", "moons", "--name", "a", *TINY, "--steps", "10", "--json", "-q")
    *metrics, summary = (json.loads(line) for line in done.stdout.splitlines())
    assert metrics == rows(here / "runs" / "a" / "metrics.jsonl")
    assert (summary["step"], summary["folder"]) == (10, "runs/a")


def test_log_files_have_notes_results_and_errors(here: Path, toydiff: Toydiff) -> None:
    toydiff("train", "moons", "--name", "a", *TINY, "--steps", "10", "-q", "--log-file", "a.jsonl")
    toydiff("train", "moons", "--name", "a", "--log-file", "a.jsonl", code=2)
    written = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert {"time", "level", "message"} == {key for line in written for key in line}
    levels = [line["level"] for line in written]
    assert {"info", "debug", "result"} == set(levels[:-1])
    assert levels[-1] == "error"
    said = "\n".join(line["message"] for line in written)  # more than -q showed
    assert "training in runs/a on cpu" in said
    assert "step 10: validation loss" in said
    toydiff("train", "moons", "--name", "b", *TINY, "--steps", "10", "--log-file", "b.log")
    text = Path("b.log").read_text()
    assert "info    training in runs/b on cpu" in text
    assert "result  trained 10 steps" in text
