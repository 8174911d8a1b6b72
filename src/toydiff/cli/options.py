"""One name for one thing in every command, and the one way commands end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from toydiff.cli.memory import ran_out
from toydiff.cli.talk import report
from toydiff.errors import ConfigurationError, Elsewhere, ToydiffError
from toydiff.files import shown
from toydiff.names import DATA_KINDS, FILE_KINDS, preset_names, run_folders, runs_dir, shipped_names

Function = TypeVar("Function", bound=Callable[..., Any])


def guarded(command: Function) -> Function:
    """Turn what toydiff understands into one message and its exit code; no traceback without --debug."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        debug = bool(kwargs.get("debug"))
        try:
            return command(*args, **kwargs)
        except ToydiffError as error:
            if isinstance(error, Elsewhere) or (error.rank is None and not speaks_for_all()):
                raise typer.Exit(error.exit_code) from error  # another process says what is wrong
            if debug:
                raise
            report(error, kwargs.get("log_file"))
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from error
        except BrokenPipeError as error:  # the reader of stdout has gone: nothing more to say
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from error
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            failure = ToydiffError(
                f"something went wrong inside toydiff ({what})", "Run again with --debug to see where."
            )
            if ran_out(error):
                failure = ToydiffError("out of memory", "Ask for fewer samples, with -n, or for smaller ones.")
            report(failure, kwargs.get("log_file"))
            raise typer.Exit(1) from error

    return run  # type: ignore[return-value]


def complete_preset(incomplete: str) -> list[str]:
    """Complete a preset's name."""
    return [name for name in preset_names() if name.startswith(incomplete)]


def complete_name(incomplete: str) -> list[str]:
    """Complete the name of a run, a preset or a pretrained checkpoint."""
    names = [*(run.name for run in run_folders(runs_dir())), *shipped_names()]
    return [name for name in names if name.startswith(incomplete)]


def complete_sampler(incomplete: str) -> list[str]:
    """Complete a sampler's name."""
    from toydiff.samplers import AnySampler
    from toydiff.spec import kinds

    return [name for name in kinds(AnySampler) if name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    """Complete a data set's name."""
    return [name for name in (*DATA_KINDS, *(f"{kind}:" for kind in FILE_KINDS)) if name.startswith(incomplete)]


Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", help="The same as NAME.", autocompletion=complete_name, metavar="NAME"),
]


def _use_data_dir(folder: Path | None) -> Path | None:
    """Let the option be the variable: data sets know no command line."""
    if folder is not None:
        os.environ["TOYDIFF_DATA"] = str(folder)
    return folder


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        callback=_use_data_dir,
        help="Folder of downloaded data (TOYDIFF_DATA; a cache folder of the system's otherwise).",
    ),
]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="A path, a run, best.pt, latest.pt, a preset, or exact:moons.",
        autocompletion=complete_name,
    ),
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; its extension decides the format.")]
To = Annotated[str | None, typer.Option("--to", "--format", help="Format, if the output's extension does not say.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Set a value: a.b=v. Can be repeated.", metavar="A.B=V")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; chosen by itself otherwise.")]
RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Folder of runs (TOYDIFF_RUNS, default checkpoints/).")
]
Seed = Annotated[str | None, typer.Option(help="A seed, or a range of them: 7 or 0-63.")]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        "--sampler", help="A sampler, or sampler:steps.", autocompletion=complete_sampler, metavar="NAME[:STEPS]"
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Sampling steps.")]
Spacing = Annotated[
    str | None, typer.Option(help="Sampling grid: trailing, shift[:S], leading, linspace, karras[:ρ], log_snr[:END].")
]
Eta = Annotated[
    float | None,
    typer.Option(help="Noise of samplers such as ddim: 0 none, 1 as much as DDPM; dpmpp_2m_sde takes more."),
]
Label = Annotated[str | None, typer.Option(help="Class to sample, by name or number.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance; 1 is the conditional model.")]
Clip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        metavar="LOW,HIGH",
        help="Clip the estimate of x_0 to a range, or none; images are clipped to the data's range otherwise.",
    ),
]
Weights = Annotated[str, typer.Option(help="Which weights: ema or raw.")]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only warnings and results.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
LogFile = Annotated[Path | None, typer.Option("--log-file", help="Also log here; .jsonl writes JSON lines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def choose_device(name: str | None) -> str:
    """Return the device asked for, else cuda, mps or cpu; ConfigurationError listing what there is."""
    import torch

    there = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    there += ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name is None:
        return there[0]
    if name == "cuda" and there[0] == "cuda:0":
        return "cuda:0"
    if name not in there:
        raise ConfigurationError(f"there is no device `{name}` here", f"Known: {', '.join(there)}.")
    return name


def parse_time(text: str | None, option: str = "--max-time ") -> float | None:
    """Return the seconds of "90s", "10m", "1.5h" or plain "90"."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ConfigurationError(f"`{option}{shown(text)}` is not a time", "For example: 90s, 10m or 1h.")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def speaks_for_all() -> bool:
    """Whether this process says what every process of this machine finds wrong: of those torchrun started, the first.

    Several processes that train together are asked by their environment, for they may never have met.
    """
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("LOCAL_RANK", "0") == "0"


def parse_seeds(seed: str | None, n: int | None) -> tuple[int, int | None]:
    """Return (first seed, number of samples) of --seed 7 or 0-63 and -n; None: as many as the model shows."""
    match = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", "0" if seed is None else seed)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not first <= last < 2**62:
        raise ConfigurationError(
            f"`--seed {shown(seed)}` is neither a seed nor a range", "For example: --seed 7 or --seed 0-63"
        )
    if match is None or match[2] is None:
        count = n
    else:
        count = last - first + 1
        if n not in (None, count):
            raise ConfigurationError(f"--seed {seed} is {count} seeds, and -n says {n}", "Give one of the two.")
    if count is not None and not 1 <= count <= 10_000_000:
        raise ConfigurationError(f"{count} samples", "-n takes from 1 to 10,000,000.")
    return first, count


def one_name(name: str | None, checkpoint: str | None, default: str | None = None) -> str:
    """Return NAME or --checkpoint, whichever was given."""
    if name is not None and checkpoint is not None and name != checkpoint:
        raise ConfigurationError(f"NAME is `{name}` and --checkpoint is `{checkpoint}`", "Give one of the two.")
    if (chosen := name if name is not None else checkpoint) is not None:
        return chosen
    if default is None:
        raise ConfigurationError("which one?", "Give a NAME: a run, a preset, a path or best.pt.")
    return default
