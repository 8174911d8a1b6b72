"""The one table of what toydiff refuses: what is typed, what lies around, the exit code, the words, what may change."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from toydiff import checkpoint as checkpoints
from toydiff.names import DATA_KINDS, EXAMPLES, FILE_KINDS, preset_names

from .. import scripted
from . import bad_data


class Row(NamedTuple):
    """One refusal: `argv` is split as a shell would; `words` are all in stderr, split at " | "."""

    argv: str
    fixture: str
    """"run" and names in FILES, made in the folder the command runs in."""
    code: int
    words: str
    changes: str = ""
    """Files that the command may write all the same."""


class Hostile:
    """Unpickled, it would leave a canary."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch canary",)


def torch_bytes(content: object) -> bytes:
    file = BytesIO()
    torch.save(content, file)
    return file.getvalue()


def forged(archive: bytes, version: int = 1) -> bytes:
    """Give an archive the mark that toydiff puts on its own: anybody can compute a digest."""
    mark = f"toydiff {version} sha256 ".encode()
    body = archive[:-2] + struct.pack("<H", len(mark) + 64) + mark
    return body + hashlib.sha256(body).hexdigest().encode()


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def picture(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("L", (width, height), 200).save(file, "PNG")
    return file.getvalue()


def told(key: str, value: str, packed: bool = False) -> bytes:
    """Return a picture with a text chunk."""
    file, chunks = BytesIO(), PngInfo()
    chunks.add_text(key, value, zip=packed)
    Image.new("L", (8, 8), 200).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def numpy_bytes(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def album(n: int, classes: int = 4) -> bytes:
    """Return n labelled images as an .npz."""
    file, random = BytesIO(), np.random.default_rng(0)
    np.savez(file, images=random.integers(0, 256, (n, 8, 8), dtype=np.uint8), labels=np.arange(n) % classes)
    return file.getvalue()


def broken(good: bytes) -> bytes:
    """Return a whole checkpoint whose averaged network answers with infinity."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "good.pt")
        path.write_bytes(good)
        content = checkpoints.load(path)
        ema = {key: value * 1e30 if key.startswith("network.") else value for key, value in content.ema.items()}
        checkpoints.save(path, header=content.header, model=content.model, ema=ema, optimizer={})
        return path.read_bytes()


def changed(good: bytes, **parts: Callable[[Any], Any]) -> bytes:
    """Return a whole checkpoint, its digest right, with some parts changed: anybody can write one."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "good.pt")
        path.write_bytes(good)
        content = vars(checkpoints.load(path))
        found = {"format": "toydiff", "version": 1, **{k: v for k, v in content.items() if k != "digest"}}
        found |= {part: change(found[part]) for part, change in parts.items()}
        found["header"] = json.dumps(found["header"])
        return forged(torch_bytes(found), found["version"])


def first(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
    """Change the first matrix of weights."""

    def changing(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        key = next(key for key, value in weights.items() if value.ndim == 2)
        return weights | {key: change(weights[key])}

    return changing


def rezipped(good: bytes, how: int, extra: str = "") -> bytes:
    """Return a checkpoint packed by another hand, its digest right."""
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(good)) as old, zipfile.ZipFile(file, "w", how) as new:
        for name in [*old.namelist(), *([extra] if extra else [])]:
            with warnings.catch_warnings(action="ignore"):
                new.writestr(name, old.read(name))
    return forged(file.getvalue())


def tarred() -> bytes:
    """Return what the oldest PyTorch wrote: a tar of pickles."""
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages"):
            content = pickle.dumps(Hostile())
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return file.getvalue()


FILES: dict[str, Callable[[bytes], bytes]] = {  # from the bytes of a good checkpoint
    "text.pt": lambda good: b"dear reader, this is no checkpoint\n",
    "empty.pt": lambda good: b"",
    "cut.pt": lambda good: good[: len(good) // 2],
    "tailless.pt": lambda good: good[:-1],
    "flipped.pt": flipped,
    "pickle.pt": lambda good: pickle.dumps(Hostile()),
    "hostile.pt": lambda good: torch_bytes({"model": Hostile()}),
    "forged.pt": lambda good: forged(torch_bytes({"model": Hostile()})),
    "foreign.pt": lambda good: torch_bytes({"state_dict": {"weight": torch.zeros(3)}}),
    "tar.pt": lambda good: tarred(),
    "deflated.pt": lambda good: rezipped(good, zipfile.ZIP_DEFLATED),
    "double.pt": lambda good: rezipped(good, zipfile.ZIP_STORED, "archive/data.pkl"),
    "stride.pt": lambda good: changed(good, ema=first(lambda value: torch.ones(1).expand(10**6, 10**6))),
    "shapes.pt": lambda good: changed(good, ema=first(lambda value: torch.ones(3, 3))),
    "nan.pt": lambda good: changed(good, ema=first(lambda value: value * torch.nan)),
    "keys.pt": lambda good: changed(good, ema=lambda ema: {"\x1b[31mevil": torch.ones(1)}),
    "newer.pt": lambda good: changed(good, version=lambda version: version + 1),
    "step.pt": lambda good: changed(good, header=lambda header: header | {"step": "\x1b[31m"}),
    "config.pt": lambda good: changed(good, header=lambda header: header | {"config": {"\x1b[31m": "[red]<b>"}}),
    "picture.pt": lambda good: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "taken.png": lambda good: b"mine",
    "taken.mp4": lambda good: b"mine",
    "taken.html": lambda good: b"mine",
    "taken.npz": lambda good: b"mine",
    "cifar-10-python.tar.gz": lambda good: pickle.dumps(Hostile()),
    "train-images-idx3-ubyte": lambda good: b"",
    "file": lambda good: b"not a folder",
    "small.png": lambda good: picture(8, 8),
    "fits-2.png": lambda good: b"mine",
    "fits.png": lambda good: picture(32, 32),
    "bomb.png": lambda good: picture(32, 32).replace(struct.pack(">II", 32, 32), struct.pack(">II", 60000, 60000)),
    "cut.png": lambda good: picture(32, 32)[:60],
    "text.png": lambda good: b"dear reader, this is no picture\n",
    "zbomb.png": lambda good: told("toydiff", "x" * (2 << 20), packed=True),
    "stranger.png": lambda good: told("Software", "\x1b[31mMatplotlib"),
    "points.csv": lambda good: b"x1,x2,label\n0.5,0.25,1\n1,0,0\n",
    "point.csv": lambda good: b"0.5,0.25\n",
    "ragged.csv": lambda good: b"1,2\n3\n",
    "words.csv": lambda good: b"one,two\n",
    "empty.csv": lambda good: b"",
    "nan.csv": lambda good: b"nan,1\n",
    "three.csv": lambda good: b"0,1,1\n",
    "mask.csv": lambda good: b"0,1\n",
    "pickled.npy": lambda good: numpy_bytes(np.array([Hostile()], dtype=object)),
    "text.npy": lambda good: b"dear reader\n",
    "text.npz": lambda good: b"dear reader\n",
    "broken.pt": broken,
    "classifier.pt": lambda good: changed(good, header=lambda header: {"kind": "classifier", "accuracy": 0.99}),
    "album.npz": lambda good: album(300),
    "few.npz": lambda good: album(100),
    "sees.pt": lambda good: scripted.program(scripted.Sees(8)),
    "cut-off.pt": lambda good: scripted.program(scripted.Sees(8))[:-2000],
    "flat.pt": lambda good: scripted.program(scripted.Flat()),
    "numbers.pt": lambda good: scripted.program(scripted.Numbers()),
    "nothing.pt": lambda good: scripted.program(scripted.NotFinite()),
    "no.toml": lambda good: b"steps = = 3\n",
    "binary.toml": lambda good: bytes(range(256)),
    "brackets.toml": lambda good: b"a = " + b"[" * 5000,
    "digits.toml": lambda good: b"seed = " + b"1" * 5000,
    "deep.toml": lambda good: b"[" + b".".join([b"a"] * 5000) + b"]\nb = 1\n",
    "unknown.toml": lambda good: b"[training]\nstepz = 3\n[data]\nkind = 'moon'\n",
    "hostile.toml": lambda good: b'[training]\n"\\u001b[31m[red]" = 1\n',
    "pretrained/moons.pt": lambda good: good,
    "pretrained/moons-guide.pt": lambda good: good,
    "schedule.toml": lambda good: b"schedule = 3\n",
    **{name: (lambda good, content=content: content) for name, content in bad_data.FILES.items()},
}


def make(fixture: str, here: Path, trained: Path) -> None:
    """Make everything a row's fixture names."""
    good = (trained / "runs" / "tiny" / "best.pt").read_bytes()
    for name in fixture.split():
        if name in ("pipe", "pipe.png"):
            os.mkfifo(here / name)
        elif name == "run":
            shutil.copytree(trained / "runs", here / "runs")
        else:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(FILES[name](good))


LONG = "n" * 300
PRESETS = f"Known: {', '.join(preset_names())}"
DATA = f"Known: {', '.join(sorted([*DATA_KINDS, *(f'{kind}:{EXAMPLES[kind]}' for kind in FILE_KINDS)]))}"
KINDS = f"Known: {', '.join(sorted([*DATA_KINDS, *FILE_KINDS]))}"

COMMANDS = [
    Row("trian swissroll", "", 2, "No such command 'trian' | Did you mean 'train'?"),
    Row("[red]x[/red]", "", 2, "No such command '[red]x[/red]'"),
    Row("'\x1b[31mx'", "", 2, "No such command"),
    Row("data shwo moons", "", 2, "No such command 'shwo' | 'show'"),
    Row("train swissroll --stepz 3", "", 2, "No such option: --stepz | --steps"),
    Row("train swissroll moons", "", 2, "unexpected extra argument"),
    Row("train swissroll --lr", "", 2, "requires an argument"),
]

TRAIN = [
    Row("train", "", 2, f"which preset? | {PRESETS} | --config FILE"),
    Row("train swisroll", "", 2, f"unknown preset `swisroll` | Did you mean `swissroll`? | {PRESETS}"),
    Row("train --preset swisroll", "", 2, f"unknown preset `swisroll` | Did you mean `swissroll`? | {PRESETS}"),
    Row("train ''", "", 2, f"unknown preset `` | {PRESETS}"),
    Row("train ../presets/swissroll", "", 2, "unknown preset"),
    Row(f"train {LONG}", "", 2, "unknown preset"),
    Row("train [red]x[/red]", "", 2, "unknown preset `[red]x[/red]`"),
    Row("train '\x1b[31mred\x07'", "", 2, r"unknown preset `\x1b[31mred\x07`"),
    Row("train moons --preset swissroll", "", 2, "PRESET is `moons` and --preset is `swissroll`"),
    Row("train moons --steps 10 --epochs 2", "", 2, "--steps and --epochs are both | Give one of the two"),
    Row("train moons --epochs 2", "", 2, "training.epochs: an endless data set has no epochs. Give --steps"),
    Row("train moons --steps ten", "", 2, "Invalid value for '--steps' | integer"),
    Row("train moons --lr fast", "", 2, "Invalid value for '--lr' | number"),
    Row("train moons --steps 0", "", 2, "training.steps = 0: should be greater than or equal to 1"),
    Row("train moons --steps -5", "", 2, "training.steps = -5: should be greater than or equal to 1"),
    Row("train moons --steps 99999999999", "", 2, "training.steps = 99999999999: should be less than or equal to"),
    Row("train moons --samples 0", "", 2, "data.n = 0: should be greater than or equal to 1"),
    Row("train moons --batch-size -1", "", 2, "training.batch_size = -1: should be greater than or equal to 1"),
    Row("train moons --accumulate 1000000", "", 2, "training.accumulate = 1000000: should be less than or equal to"),
    Row("train moons --accumulate 1000", "", 2, "accumulate (1000) is larger than batch_size (512)"),
    Row(
        "train moons --precision float8",
        "",
        2,
        "training.precision = 'float8': should be 'float32', 'bfloat16' or 'auto'",
    ),
    Row("train moons --lr nan", "", 2, "training.optimizer.lr = nan: should be a finite number"),
    Row("train moons --lr inf", "", 2, "training.optimizer.lr = inf: should be a finite number"),
    Row("train moons --lr -1", "", 2, "training.optimizer.lr = -1.0: should be greater than 0"),
    Row("train moons --lr 1e6", "", 2, "training.optimizer.lr = 1000000.0: should be less than or equal to 10"),
    Row("train moons --seed -1", "", 2, "seed = -1: should be greater than or equal to 0"),
    Row("train moons --seed 9223372036854775808", "", 2, "seed = 9223372036854775808: should be less than"),
    Row("train moons --max-time soon", "", 2, "`--max-time soon` is not a time | 90s, 10m or 1h"),
    Row("train moons --max-time 0", "", 2, "`--max-time 0` is not a time"),
    Row("train moons --max-time -3s", "", 2, "`--max-time -3s` is not a time"),
    Row("train moons --max-time '\x1b[2J'", "", 2, r"`--max-time \x1b[2J` is not a time"),
    Row("train moons --device cuda:99", "", 2, "there is no device `cuda:99` here | Known: | cpu"),
    Row("train moons --device [red]x[/red]", "", 2, "there is no device `[red]x[/red]` here | cpu"),
    Row("train moons --name moons", "", 2, "cannot be called `moons`: that is a preset"),
    Row("train moons --name samplers", "", 2, "cannot be called `samplers`: that is a word of `toydiff inspect`"),
    Row("train moons --name tiny", "run", 2, "the run runs/tiny exists | --resume"),
    Row("train moons --name tiny --resume", "run", 2, "was started with another configuration | toydiff resume tiny"),
    Row("train moons --name ../up", "", 2, "`../up` is no name for a run"),
    Row("train moons --name '🌀 x'", "", 2, "`🌀 x` is no name for a run"),
    Row("train moons --runs-dir '[red]/\x1b[31m' --name 'a/b'", "", 2, "`a/b` is no name for a run"),
    Row("train moons --config '[red]\x1b[31m.toml'", "", 1, r"[red]\x1b[31m.toml is not there"),
    Row("train --config hostile.toml", "hostile.toml", 2, r"training.\x1b[31m[red]: unknown key"),
    Row("train moons --name .hidden", "", 2, "`.hidden` is no name for a run"),
    Row("train moons --name x.pt", "", 2, "`x.pt` is no name for a run"),
    Row("train moons --name ''", "", 2, "`` is no name for a run"),
    Row(f"train moons --name {LONG}", "", 2, "is no name for a run"),
    Row("train moons --name '\x1b[31m'", "", 2, r"`\x1b[31m` is no name for a run"),
    Row("train moons --runs-dir file", "file", 1, "cannot keep runs in file: file is not a folder | --runs-dir"),
    Row("train moons --runs-dir file/runs", "file", 1, "cannot keep runs in file/runs: file is not a folder"),
    Row("train moons --dry-run --runs-dir file", "file", 1, "cannot keep runs in file: file is not a folder"),
    Row("train moons --runs-dir /proc/none", "", 1, "cannot make the run folder /proc/none/moons-"),
    Row("train moons --log-file none/x.log", "", 1, "cannot write none/x.log | the folder | does not exist"),
    Row("train moons --log-file .", "", 1, "cannot write .: it is a folder"),
    Row("train moon --log-file x.log", "", 2, "unknown preset `moon`", "x.log"),
    Row("train moons --smoke --set nonsense", "", 2, "`--set nonsense` is not an assignment"),
    Row("train moons --print-config --set seed=x", "", 2, "seed = 'x'"),
    Row("train moons --dry-run --set seed=x", "", 2, "seed = 'x'"),
]

CONFIGURATION = [
    Row("train moons --set trainin.steps=3", "", 2, "trainin: unknown key. Did you mean `training`? | Known: data"),
    Row("train moons --set training.stepz=3", "", 2, "training.stepz: unknown key. Did you mean `steps`? | Known: acc"),
    Row(
        "train moons --set sampling.sampler.kind=heum", "", 2, "unknown kind `heum`. Did you mean `heun`? | ddim, ddpm"
    ),
    Row("train moons --set schedule.kind=cosin", "", 2, "unknown kind `cosin`. Did you mean `cosine`? | flow, linear"),
    Row("train moons --set data.kind=moon", "", 2, f"data.kind: unknown kind `moon`. Did you mean `moons`? {KINDS}"),
    Row("train moons --set data.kind=3", "", 2, "data.kind = 3: a kind is a name"),
    Row("train moons --set data.kind=[1]", "", 2, "data.kind = [1]: a kind is a name"),
    Row("train moons --set data=moons", "", 2, "data is a table, not a value: set one of data.kind"),
    Row("train moons --set training.steps.x=3", "", 2, "training.steps.x: `training.steps` is a value, not a table"),
    Row("train moons --set kind=moons", "", 2, "kind: unknown key"),
    Row("train moons --set model.target=noise", "", 2, "model.target = 'noise' | 'eps'"),
    Row("train moons --set nonsense", "", 2, "`--set nonsense` is not an assignment | --set training.clip=0.5"),
    Row("train moons --set a..b=1 --set =2", "", 2, "`--set a..b=1` is not | `--set =2` is not an assignment"),
    Row("train moons --set seed=true.5", "", 2, "seed = 'true.5'"),
    Row("train moons --set training.steps=true", "", 2, "training.steps = 'true': should be a whole number"),
    Row("train moons --set network.widths=[true,16]", "", 2, "network.widths.0 = 'true': should be a whole number"),
    Row("train moons --set training.clip=false", "", 2, "training.clip = 'false': should be a number"),
    Row("train moons --set training.steps=30.5", "", 2, "training.steps = 30.5 | whole number"),
    Row("train moons --set training.steps=1e400", "", 2, "training.steps = inf"),
    Row(f"train moons --set training.steps={'1' * 5000}", "", 2, "training.steps = '111 | exceeded maximum size"),
    Row(f"train moons --set network.widths={'[' * 5000}", "", 2, "network.widths = '[[["),
    Row("train moons --set training.clip=0", "", 2, "training.clip = 0: should be greater than 0"),
    Row("train moons --set network.widths=[16,-1]", "", 2, "network.widths.1 = -1: should be greater than"),
    Row("train moons --set network.widths=[99999999]", "", 2, "network.widths.0 = 99999999: should be less than"),
    Row("train moons --set training.[red]x[/red]=1", "", 2, "training.[red]x[/red]: unknown key"),
    Row("train moons --set '\x1b[31m=1'", "", 2, r"\x1b[31m: unknown key"),
    Row("train moons --set 'seed=1\nx=2'", "", 2, "seed = '1"),
    Row(
        "train moons --set training.steps=abc --set training.batch_size=-1 --set training.optimizer.lr=nan "
        "--set data.kind=moon --set model.targt=x0 --set network.widths=wide --set training.density.kind=unifrom "
        "--set training.density=3 --seed -4",
        "",
        2,
        "9 problems in the configuration | training.steps = 'abc': should be a whole number | training.batch_size = -1 "
        "| training.optimizer.lr = nan | Did you mean `moons`? | model.targt: unknown key. Did you mean `target`? "
        "| network.widths = 'wide' | training.density.kind: unknown kind `unifrom` "
        "| training.density is a table | seed = -4",
    ),
    Row(
        "train moons --set schedule.kind=cosine --set schedule.T=10 --set schedule.zero_terminal_snr=true "
        "--set model.target=eps --set sampling.steps=30",
        "",
        2,
        "2 problems | `eps` cannot be learned where alpha(1) = 0 | Lin et al. 2023 | x0, v, edm and flow "
        "| 30 steps on a schedule that has 10",
    ),
    Row("train moons --set model.target=score", "", 2, "model.target: `score` cannot be learned where alpha(1) = 0"),
    Row("train moons --set model.self_condition=true", "", 2, "the network `mlp` takes no guess of x_0 | `unet`"),
    Row("train moons --set model.bounded=true", "", 2, "not `flow`; take model.target=x0 | may lie anywhere"),
    Row(
        "train shapes32-ddpm --set model.self_condition=true",
        "",
        2,
        "by `eps` is divided by alpha | take model.target=x0",
    ),
    Row(
        "train shapes32 --set model.self_condition=true --set sampling.sampler.kind=rk45",
        "",
        2,
        "`rk45` takes a step again | heun:20",
    ),
    Row("train moons --set training.density.kind=discrete", "", 2, "draws a schedule's knots | schedule.T | `uniform`"),
    Row("train moons --set schedule.kind=linear --set schedule.T=0", "", 2, "schedule.T = 0"),
    Row(
        "train moons --set network.residual=true --set network.widths=[8,16]",
        "",
        2,
        "a residual MLP needs equal widths",
    ),
    Row("train moons --set sampling.spacing=trail", "", 2, "unknown spacing `trail` | Did you mean `trailing`?"),
    Row("train moons --set sampling.spacing=log_snr:99", "", 2, "`99` is not a log-SNR for a grid to end at"),
    Row("train moons --set sampling.spacing=karras:x", "", 2, "`x` is not a ρ for karras spacing"),
    Row("train moons --set sampling.start=0", "", 2, "sampling.start = 0: should be greater than 0"),
    Row("train gaussians --set data.weights=[1,2]", "", 2, "2 weights for 8 modes"),
    Row("train --config none.toml", "", 1, "none.toml is not there"),
    Row("train moons --config none.toml", "", 1, "none.toml is not there"),
    Row("train --config .", "", 1, ". is a folder, not a file"),
    Row("train --config no.toml", "no.toml", 1, "no.toml is not valid TOML | line 1"),
    Row("train --config binary.toml", "binary.toml", 1, "binary.toml is not valid TOML"),
    Row("train --config flipped.pt", "flipped.pt", 1, "flipped.pt is not valid TOML"),
    Row("train --config brackets.toml", "brackets.toml", 1, "brackets.toml is not valid TOML"),
    Row("train --config digits.toml", "digits.toml", 1, "digits.toml is not valid TOML"),
    Row("train --config deep.toml", "deep.toml", 1, "deep.toml is not valid TOML: a key of too many parts"),
    Row("train --config schedule.toml", "schedule.toml", 2, "schedule is a table, not a value"),
    Row(
        "train --config unknown.toml",
        "unknown.toml",
        2,
        "2 problems | training.stepz: unknown key. Did you mean `steps`? | unknown kind `moon`. Did you mean `moons`?",
    ),
]

RESUME = [
    Row("resume", "", 1, "there is no run in runs | toydiff train swissroll"),
    Row("resume tinny", "run", 2, "`tinny` is neither a path, a run nor a preset | Did you mean `tiny`?"),
    Row("resume tiny --steps 20", "run", 2, "the run has done 30 steps, more than 20 | larger total"),
    Row("resume tiny --steps 0", "run", 2, "Invalid value for '--steps'"),
    Row("resume tiny --steps 99 --epochs 2", "run", 2, "--steps and --epochs are both"),
    Row("resume tiny --epochs 2", "run", 2, "an endless data set has no epochs"),
    Row("resume tiny --device cuda:99", "run", 2, "there is no device `cuda:99` here"),
    Row("resume tiny --max-time x", "run", 2, "`--max-time x` is not a time"),
    Row(
        "resume swissroll", "run", 1, "the preset swissroll has neither a run in runs nor a pretrained | toydiff train"
    ),
    Row("resume exact:moons", "run", 2, "`exact:moons` is not a run that can go on: it is the exact denoiser of moons"),
    Row(
        "resume moons",
        "pretrained/moons.pt",
        2,
        "`moons` is not a run that can go on: it is the pretrained checkpoint of moons | toydiff train",
    ),
    Row("resume text.pt", "text.pt", 2, "`text.pt` is not a run that can go on"),
    Row("resume none.pt", "", 1, "none.pt is not there"),
]

CHECKPOINTS = [
    Row(f"{command} {name}", name, 1, f"{name} is not a usable checkpoint: {words}")
    for command in ("sample", "inspect", "animate")
    for name, words in {
        "text.pt": "it is a text file",
        "empty.pt": "the file is empty",
        "cut.pt": "it is truncated or damaged",
        "tailless.pt": "it is truncated or damaged",
        "flipped.pt": "it is damaged (its SHA-256 does not match its content)",
        "pickle.pt": "it is a pickle",
        "hostile.pt": "it is a PyTorch file that toydiff did not write",
        "forged.pt": "it asks for `posix.system`, which no checkpoint needs",
        "foreign.pt": "it is a PyTorch file that toydiff did not write",
        "picture.pt": "it is a PNG picture",
    }.items()
]
CHECKPOINTS += [
    Row("sample tar.pt", "tar.pt", 1, "tar.pt is not a usable checkpoint: it is"),
    Row("sample pipe", "pipe", 1, "pipe is a pipe, not a file"),
    Row("sample /dev/zero", "", 1, "/dev/zero is a device, not a file"),
    Row("sample deflated.pt", "deflated.pt", 1, "it holds compressed or encrypted records"),
    Row("sample double.pt", "double.pt", 1, "it holds a record named 'archive/data.pkl', twice or out of place"),
    Row("sample stride.pt", "stride.pt", 1, "a tensor is larger or smaller than its storage"),
    Row("sample shapes.pt", "shapes.pt", 1, "the weights do not fit the network: | is (3, 3) float32 instead of"),
    Row("sample nan.pt", "nan.pt", 1, "holds NaN or infinity"),
    Row("sample keys.pt", "keys.pt", 1, r"missing `shift`, | unknown `\x1b[31mevil`"),
    Row("sample newer.pt", "newer.pt", 1, "version 2 of the format, this toydiff reads up to 1 | Update toydiff"),
    Row("sample step.pt", "step.pt", 1, "its header has an odd `step`: input should be a valid integer"),
    Row("inspect step.pt", "step.pt", 1, "its header has an odd `step`: input should be a valid integer"),
    Row("sample config.pt", "config.pt", 1, r"its configuration is not valid here: \x1b[31m"),
]

NAMES = [
    Row("sample", "", 2, "which one? | a run, a preset, a path or best.pt"),
    Row("sample none.pt", "", 1, "none.pt is not there | toydiff train"),
    Row("sample none/such", "", 1, "none/such is not there"),
    Row("sample best.pt", "", 1, "best.pt is not there"),
    Row("sample nosuch", "run", 2, "`nosuch` is neither a path, a run nor a preset | tiny"),
    Row("sample .", "", 1, "the folder . holds no checkpoint"),
    Row("sample swissroll", "", 1, "the preset swissroll has neither | Train it first: toydiff train swissroll"),
    Row("sample run:tinny", "run", 2, "there is no run `tinny` | Did you mean `tiny`?"),
    Row("sample run:moons", "run", 2, "there is no run `moons`"),
    Row("sample preset:moon", "", 2, f"there is no preset `moon` | Did you mean `moons`? | {PRESETS}"),
    Row("sample exact:moon", "", 2, f"unknown data set `moon` | Did you mean `moons`? | {DATA}"),
    Row("sample exact:", "", 2, f"unknown data set `` | {DATA}"),
    Row("sample exact:a/b", "", 2, "unknown data set `a/b`"),
    Row(f"sample exact:{LONG}", "", 2, "unknown data set"),
    Row("sample exact:moons@0", "", 2, "`0` is not a number of samples | exact:moons@500"),
    Row("sample exact:moons@many", "", 2, "`many` is not a number of samples"),
    Row(f"sample exact:moons@{'9' * 5000}", "", 2, "is not a number of samples"),
    Row("sample exact:shapes -o x.npz", "", 1, "`shapes` has no density in closed form | exact:shapes@500"),
    Row("sample data:moons -o x.png", "", 2, "`data:moons` is a data set, not a model | exact:moons"),
    Row("sample tiny --checkpoint best.pt", "run", 2, "NAME is `tiny` and --checkpoint is `best.pt`"),
    Row(f"sample {LONG}", "", 2, "is neither a path, a run nor a preset"),
    Row("sample [red]x", "", 2, "`[red]x` is neither"),
    Row("sample '\x1b[31mx'", "", 2, r"`\x1b[31mx` is neither"),
    Row("sample 'a\0b'", "", 2, r"`a\x00b` is neither"),
    Row("inspect", "", 2, "which one?"),
    Row("inspect sampler", "", 2, "`sampler` is neither | Did you mean `samplers`?"),
    Row("inspect moons-gide", "pretrained/moons-guide.pt", 2, "`moons-gide` is neither | Did you mean `moons-guide`?"),
    Row("inspect moons --schedule --model", "", 2, "--schedule and --model each do one thing with one model | one of"),
    Row("inspect samplers --model", "", 2, "--model does one thing with one model, and `samplers` is a list"),
    Row("inspect samplers --schedule", "", 2, "--schedule does one thing with one model, and `samplers` is a list"),
    Row("inspect samplers --doctor", "", 2, "--doctor does one thing with one model, and `samplers` is a list"),
    Row("inspect moons --doctor --schedule", "", 2, "--schedule and --doctor each do one thing"),
    Row("inspect tiny --doctor --verify", "run", 2, "--verify and --doctor each do one thing"),
    Row("inspect tiny --html --summary --arrows", "run", 2, "--arrows, --summary and --html each do one thing"),
    Row("inspect samplers --html", "", 2, "--html does one thing with one model, and `samplers` is a list"),
    Row(
        "inspect small.png --model", "small.png", 2, "--model does one thing with one model, and `small.png` is a pict"
    ),
    Row("inspect small.png", "small.png", 1, "small.png does not say how it was made | toydiff sample"),
    Row("inspect text.png", "text.png", 1, "text.png is not a picture that can be read"),
    Row("inspect bomb.png", "bomb.png", 1, "bomb.png is not a picture that can be read"),
    Row("inspect zbomb.png", "zbomb.png", 1, "zbomb.png is not a picture that can be read"),
    Row("inspect stranger.png", "stranger.png", 1, "stranger.png does not say how it was made"),
    Row("inspect pipe.png", "pipe.png", 1, "pipe.png is a pipe, not a file"),
    Row("inspect none.png", "", 1, "none.png is not there"),
    Row("inspect moons --arrows", "", 2, "`moons` has no results | Train it first: toydiff train moons"),
    Row("inspect exact:moons --arrows", "", 2, "`exact:moons` has no results"),
    Row("inspect tiny --arrows --at fast", "run", 2, "`--at fast` is not from 1 to 6 noise levels | --at 0.2,0.5,0.9"),
    Row("inspect tiny --arrows --at ''", "run", 2, "`--at ` is not from 1 to 6 noise levels"),
    Row("inspect tiny --arrows --at nan", "run", 2, "`--at nan` is not"),
    Row("inspect tiny --arrows --at -1", "run", 2, "`--at -1` is not from 1 to 6 noise levels"),
    Row("inspect tiny --arrows --at 1,2,3,4,5,6,7", "run", 2, "is not from 1 to 6 noise levels"),
    Row("inspect tiny --arrows --at 7", "run", 2, "--at 7: the sigma of this schedule goes from 0 to 1"),
    Row("inspect tiny --at 0.5", "run", 2, "--at says something of --arrows alone | Add --arrows"),
    Row("inspect tiny --steps 5", "run", 2, "--steps says something of --schedule alone | Add --schedule"),
    Row("inspect tiny --summary --sampler ddim", "run", 2, "--sampler says something of --schedule alone"),
    Row("inspect tiny --schedule --sampler dimm", "run", 2, "unknown kind `dimm`. Did you mean `ddim`?"),
    Row("inspect tiny --schedule --steps 0", "run", 2, "sampling.steps = 0"),
    Row("inspect tiny --schedule --spacing even", "run", 2, "unknown spacing `even`"),
    Row("inspect swissroll-ddpm100-quick --schedule --steps 11", "", 2, "11 steps on a schedule that has 10"),
    Row("inspect tiny --loss-by-t -o taken.png", "run taken.png", 2, "taken.png exists"),
    Row("inspect tiny --loss-by-t -o x.npz", "run", 2, "x.npz: unknown format `npz`"),
    Row("inspect moons --loss-by-t", "", 2, "`moons` has no results"),
    Row("inspect tiny --against plainn", "run", 2, "`plainn` is neither | Did you mean `plain`?"),
    Row("inspect tiny --against none.pt", "run", 1, "none.pt is not there"),
    Row("inspect tiny --against text.pt", "run text.pt", 1, "text.pt"),
    Row(
        "inspect tiny --against exact:moons", "run", 2, "--against takes a run, and `exact:moons` is the exact denoiser"
    ),
    Row("inspect moons --summary", "", 2, "`moons` has no results | Train it first: toydiff train moons"),
    Row("inspect preset:moons --html", "", 2, "has no results | Train it first: toydiff train moons"),
    Row("inspect exact:moons --html", "", 2, "`exact:moons` has no results | Give a run, or a checkpoint."),
    Row("inspect none.pt --summary", "", 1, "none.pt is not there"),
    Row("inspect tiny --summary -o x.html", "run", 2, "x.html: unknown format `html`"),
    Row("inspect tiny --html -o x.png", "run", 2, "x.png: unknown format `png`"),
    Row("inspect tiny --summary -o taken.png", "run taken.png", 2, "taken.png exists"),
    Row("inspect tiny --html -o none/x.html", "run", 1, "cannot write none/x.html | does not exist"),
    Row("inspect tiny --html --dpi 80", "run", 2, "--theme, --size and --dpi are for the pictures of"),
    Row("inspect tiny --html --theme dusk", "run", 2, "unknown theme `dusk`"),
    Row("inspect tiny --summary -o x.svg --dpi 80", "run", 2, "--dpi would have no effect"),
    Row("inspect exact:moons --doctor", "", 2, "is the exact denoiser of moons: there is no network to inspect"),
    Row("inspect data:moons --doctor", "", 2, "is the data set moons: there is no network to inspect"),
    Row("inspect tiny --doctor -o x.png", "run", 2, "Add --schedule"),
    Row("inspect none.pt --doctor", "", 1, "none.pt is not there"),
    Row("inspect exact:moons", "", 2, "is the exact denoiser of moons: there is no network | toydiff data stats moons"),
    Row("inspect data:moons", "", 2, "is the data set moons: there is no network to inspect"),
    Row("data stats moon", "", 2, f"unknown data set `moon` | Did you mean `moons`? | {DATA}"),
    Row("data show '\x1b[31m'", "", 2, r"unknown data set `\x1b[31m`"),
]

NOT_HERE = "the data set `mnist` is not ready: downloads/mnist lacks train-images-idx3-ubyte.gz, train-labels"
TO_DO = "Download it: toydiff data fetch mnist | and put them into downloads/mnist | data fetch mnist --from FOLDER"
DOWNLOADS = [
    Row("data fetch", "", 2, "Missing argument"),
    Row("data fetch minst", "", 2, "unknown data set `minst` | Did you mean `mnist`? | Known: cifar10, fashion, mnist"),
    Row("data fetch moons", "", 2, "`moons` is drawn, not downloaded | mnist, fashion, cifar10"),
    Row("data verify moons", "", 2, "`moons` is drawn, not downloaded"),
    Row("data fetch mnist --offline", "", 1, f"{NOT_HERE} | {TO_DO}"),
    Row("data fetch mnist --from none", "", 1, "there is no folder none | --from"),
    Row("data fetch mnist --from file", "file", 1, "there is no folder file | --from"),
    Row(
        "data fetch mnist --from .",
        "",
        1,
        ". does not hold train-images-idx3-ubyte.gz, | packed, and under these names",
    ),
    Row(
        "data fetch cifar10 --from .", "cifar-10-python.tar.gz", 1, "is a pickle, which is never read | cs.toronto.edu"
    ),
    Row("data fetch mnist --from ./", "train-images-idx3-ubyte", 1, "train-images-idx3-ubyte is there unpacked"),
    Row("data show mnist", "", 1, f"{NOT_HERE} | {TO_DO}"),
    Row(
        "data stats cifar10 --data-dir a", "", 1, "the data set `cifar10` is not ready: a/cifar10 lacks cifar-10-binary"
    ),
    Row("train mnist", "", 1, f"{NOT_HERE} | {TO_DO}"),
    Row("train mnist --dry-run", "", 1, f"{NOT_HERE} | {TO_DO}"),
    Row("train mnist --smoke --data-dir file", "file", 1, "the data set `mnist` is not ready"),
    Row(
        f"data fetch mnist --offline --data-dir {LONG}", "", 1, "the data set `mnist` is not ready | file name too long"
    ),
    Row(f"data fetch mnist --from {LONG}", "", 1, "there is no folder nnn"),
    Row("data show mnist --data-dir file", "file", 1, "the data set `mnist` is not ready | not a directory"),
    Row("train mnist --samples 60001", "", 2, "n = 60,001 is more than the 60,000 train images there are"),
    Row("train mnist --set data.augment=hflip", "", 2, "data.augment: unknown key"),
    Row("train fashion --set data.augment=vflip", "", 2, "data.augment = 'vflip' | 'hflip'"),
    Row("train mnist --set data.split=validation", "", 2, "data.split = 'validation' | 'train' or 'test'"),
    Row("sample exact:mnist@60001", "", 2, "exact:mnist@60001 | more than the 60,000"),
    Row("sample exact:mnist@10", "", 1, f"{NOT_HERE} | {TO_DO}"),
    Row("sample exact:mnist", "", 1, "`mnist` has no density in closed form | exact:mnist@500"),
]

OUTPUTS = [
    Row("sample tiny -o taken.png", "run taken.png", 2, "taken.png exists; nothing is overwritten silently"),
    Row("sample tiny -o taken.npz", "run taken.npz", 2, "taken.npz exists; nothing is overwritten silently"),
    Row("animate tiny -o taken.mp4", "run taken.mp4", 2, "taken.mp4 exists; nothing is overwritten silently"),
    Row("inspect tiny --schedule -o taken.png", "run taken.png", 2, "taken.png exists"),
    Row("data show moons -o taken.png", "taken.png", 2, "taken.png exists"),
    Row("data export moons -o taken.npz", "taken.npz", 2, "taken.npz exists"),
    Row("sample tiny -o none/x.png", "run", 1, "cannot write none/x.png | the folder | does not exist | mkdir -p"),
    Row("sample tiny -o 'a b/x.png'", "run", 1, "cannot write a b/x.png | mkdir -p '/ | /a b'"),
    Row("sample tiny -o file/x.png", "run file", 1, "cannot write file/x.png: part of the path is not a folder"),
    Row("sample tiny -o /proc/x.png", "run", 1, "cannot write /proc/x.png"),
    Row(f"sample tiny -o {LONG}.png", "run", 1, "the name is too long"),
    Row("animate tiny -o none/x.gif", "run", 1, "cannot write none/x.gif"),
    Row("data export moons -o none/x.csv", "", 1, "cannot write none/x.csv"),
    Row("sample tiny -o runs", "run", 2, "unknown format | Known: csv, npz, pdf, png, svg"),
    Row("sample tiny -o x.jpg", "run", 2, "unknown format `jpg` | Known: csv, npz, pdf, png, svg"),
    Row("sample tiny -o x.png --to npz", "run", 2, "--to npz and x.png disagree"),
    Row("sample tiny --to jpg", "run", 2, "unknown format `jpg`"),
    Row("sample tiny --show-x0 -o x.png", "run", 2, "--show-x0 shows estimates | Add --show-process"),
    Row("sample tiny --show-process --show-x0 -o x.npz", "run", 2, "--show-x0 is for pictures | Leave it out"),
    Row("sample tiny --show-process -n 9000000 -o x.npz", "run", 2, "the way of 9,000,000 points at | GB | Take -n"),
    Row("sample exact:shapes@3 --show-process -o x.csv", "", 2, "csv holds points | Write .npz instead"),
    Row("sample 'a b 🌀.pt' -o x.png", "", 1, "a b 🌀.pt is not there"),
    Row("animate tiny to avi", "run", 2, "unknown format `avi` | Known: apng, gif, html, mp4, png, webp"),
    Row("animate tiny -o taken.html", "run taken.html", 2, "taken.html exists; nothing is overwritten silently"),
    Row("animate tiny -o none/x.html", "run", 1, "cannot write none/x.html"),
    Row("animate tiny -o x.avi", "run", 2, "unknown format `avi`"),
    Row("animate tiny -o film", "run", 2, "film: unknown format `` | Known: apng, gif, html, mp4, png, webp"),
    Row("animate tiny to svg", "run", 2, "unknown format `svg` | Known: apng, gif, html, mp4, png, webp"),
    Row("animate tiny to", "run", 2, "`to` is not understood | toydiff animate swissroll to mp4"),
    Row("animate --checkpoint tiny to", "run", 2, "`to` is not understood | toydiff animate swissroll to mp4"),
    Row("animate --checkpoint tiny plain to gif", "run", 2, "NAME is `plain` and --checkpoint is `tiny`"),
    Row("animate tiny mp4", "run", 2, "`mp4` is not understood"),
    Row("animate tiny to mp4 please", "run", 2, "`to mp4 please` is not understood"),
    Row("animate tiny to mp4 --to gif", "run", 2, "`to mp4` and --to gif disagree"),
    Row("animate tiny to '\x1b[31m'", "run", 2, r"unknown format `\x1b[31m`"),
    Row("data export moons --to xlsx", "", 2, "unknown format `xlsx` | Known: csv, npz"),
    Row("inspect tiny -o x.png", "run", 2, "Add --schedule"),
]

SAMPLING = [
    Row("sample tiny --each -o x.npz", "run", 2, "--each writes png files, not .npz"),
    Row("sample tiny --each -o x.png", "run", 2, "--each is for images, and `tiny` makes none"),
    Row("sample tiny --each --show-process -o x.png", "run", 2, "--each and --show-process do not go together"),
    Row("sample tiny --each --size 90 -o x.png", "run", 2, "--each and --size do not go together"),
    Row("sample exact:shapes@3 --each -n 10001 -o x.png", "", 2, "--each of 10,001 files | 10,000 or fewer"),
    Row("sample exact:shapes@3 --each -n 4 -o fits.png", "fits-2.png", 2, "fits-2.png exists"),
    Row("sample tiny -o x.png --label 7", "run", 2, "unknown label `7` | Known: lower, none, upper"),
    Row("sample tiny -o x.png --label uper", "run", 2, "unknown label `uper` | Did you mean `upper`?"),
    Row("sample tiny -o x.png --label -1", "run", 2, "unknown label `-1`"),
    Row(f"sample tiny -o x.png --label {'9' * 5000}", "run", 2, "unknown label"),
    Row("sample tiny -o x.png --label [red]x[/red]", "run", 2, "unknown label `[red]x[/red]`"),
    Row(
        "sample exact:shapes@50 -o x.npz --label line+cirkle",
        "",
        2,
        "unknown label `line+cirkle` | Did you mean `circle+line`? | circle+line:3, | none,",
    ),
    Row("sample exact:shapes@50 -o x.npz --label circle+circle", "", 2, "unknown label `circle+circle`"),
    Row("sample exact:shapes@50 -o x.npz --label circle+line:1", "", 2, "unknown label `circle+line:1`"),
    Row("sample exact:shapes@50 -o x.npz --label circle:4", "", 2, "unknown label `circle:4` | `circle:3`?"),
    Row(
        "sample exact:shapes@3 -o x.npz --label circle+line+triangle",
        "",
        2,
        "no point of `exact:shapes@3` has the label",
    ),
    Row("sample exact:moons@1 -o x.png --label lower", "", 2, "has the label `lower` | Labels there are: upper, none."),
    Row("sample plain -o x.png --label 1", "run", 2, "`plain` knows no labels: it was trained without classes"),
    Row("sample plain -o x.png --guidance 3", "run", 2, "`plain` cannot be guided: it was trained without classes"),
    Row("animate plain to gif --label 1", "run", 2, "`plain` knows no labels"),
    Row("animate plain to gif --guidance 3", "run", 2, "`plain` cannot be guided"),
    Row("sample tiny -o x.png --guidance nan", "run", 2, "nan is no scale of guidance"),
    Row("sample tiny -o x.png --guidance inf", "run", 2, "inf is no scale of guidance"),
    Row("sample tiny -o x.png --sampler dimm", "run", 2, "unknown kind `dimm`. Did you mean `ddim`? Known: ddim, ddpm"),
    Row(
        "sample tiny -o x.png --sampler ddim:x",
        "run",
        2,
        "`--sampler ddim:x`: the steps of a sampler are | ddim:50",
    ),
    Row(
        "sample tiny -o x.png --sampler ddim:0",
        "run",
        2,
        "`--sampler ddim:0`: the steps of a sampler are",
    ),
    Row(f"sample tiny -o x.png --sampler ddim:{'9' * 5000}", "run", 2, "the steps of a sampler are"),
    Row("sample tiny -o x.png --sampler :5", "run", 2, "`--sampler :5` is not a sampler"),
    Row("sample tiny -o x.png --sampler ddim:5 --steps 6", "run", 2, "--sampler ddim:5 and --steps 6 disagree"),
    Row("sample tiny -o x.png --sampler [bold]x", "run", 2, "unknown kind `[bold]x`"),
    Row("sample tiny -o x.png --eta 0.5", "run", 2, "the sampler `heun` takes no --eta | Samplers that do: ddim"),
    Row(
        "sample tiny -o x.png --sampler dpmpp_2m --eta 1",
        "run",
        2,
        "`dpmpp_2m` takes no --eta | euler_ancestral, dpmpp_2m_sde, lang",
    ),
    Row("sample tiny -o x.png --sampler euler_ancestral --eta -1", "run", 2, "sampling.sampler.eta = -1.0"),
    Row("sample tiny -o x.png --sampler dpmp_2m", "run", 2, "unknown kind `dpmp_2m`. Did you mean `dpmpp_2m`?"),
    Row("sample tiny -o x.png --sampler dpmpp_3m:3", "run", 2, "3 of `dpmpp_3m` would be | at least 4 | `euler`"),
    Row("sample tiny -o x.png --sampler unipc:3 --set sampler.p=3", "run", 2, "3 of `unipc` would be | at least 4"),
    Row("sample tiny -o x.png --sampler rk45:1", "run", 2, "1 of `rk45` would be nothing but Euler's | at least 2"),
    Row("sample tiny -o x.png --sampler unipc --set sampler.p=4", "run", 2, "sampling.sampler.p = 4: should be 2 or 3"),
    Row("sample tiny -o x.png --sampler edm --set sampler.S_churn=-1", "run", 2, "sampling.sampler.S_churn = -1"),
    Row(
        "sample tiny -o x.png --sampler edm --set sampler.S_tmin=5 --set sampler.S_tmax=2",
        "run",
        2,
        "S_tmin (5) must lie below S_tmax (2)",
    ),
    *(
        Row(f"sample tiny -o x.png --sampler {sampler} --set {words}", "run", 2, f"has no effect: {why} | Leave it out")
        for sampler, words, why in (
            ("edm", "sampler.S_tmin=0.1", "it is about the noise of S_churn, of which there is none"),
            ("edm", "sampler.S_tmax=9", "it is about the noise of S_churn, of which there is none"),
            ("edm", "sampler.S_noise=1.1", "it is about the noise of S_churn, of which there is none"),
            ("dpmpp_2m_sde", "sampler.S_tmax=2", "it says up to where eta counts"),
            ("ddim", "sampling.guess_from=3", "the network takes no guess"),
        )
    ),
    Row("sample tiny -o x.png --sampler langevin --set sampler.snr=1", "run", 2, "sampling.sampler.snr = 1: should be"),
    Row("sample tiny -o x.png --sampler langevin --set sampler.corrections=0", "run", 2, "sampler.corrections = 0"),
    Row("sample tiny -o x.png --sampler rk45 --set sampler.rtol=0", "run", 2, "sampling.sampler.rtol = 0: should be"),
    Row("sample tiny -o x.png --sampler ddim --eta 7", "run", 2, "sampling.sampler.eta = 7.0"),
    Row("sample tiny -o x.png --sampler ddim --eta nan", "run", 2, "sampling.sampler.eta = nan"),
    Row("sample tiny -o x.png --steps 0", "run", 2, "sampling.steps = 0"),
    Row("sample tiny -o x.png --steps 100000000", "run", 2, "sampling.steps = 100000000"),
    Row("sample tiny -o x.png --spacing trail", "run", 2, "unknown spacing `trail`"),
    Row("sample tiny -o x.png --set training.steps=3", "run", 2, "only its sampling can be set now"),
    Row("sample tiny -o x.png --set sampler.bogus=3", "run", 2, "sampling.sampler.bogus: unknown key"),
    Row("sample tiny -o x.png --set start=2", "run", 2, "sampling.start = 2"),
    Row("sample tiny -o x.png -n 0", "run", 2, "0 samples | -n takes from 1 to 10,000,000"),
    Row("sample tiny -o x.png -n -3", "run", 2, "-3 samples"),
    Row("sample tiny -o x.png -n 99999999999", "run", 2, "99999999999 samples"),
    Row("sample tiny -o x.png --seed x", "run", 2, "`--seed x` is neither a seed nor a range | --seed 0-63"),
    Row("sample tiny -o x.png --seed -4", "run", 2, "`--seed -4` is neither"),
    Row("sample tiny -o x.png --seed 9-3", "run", 2, "`--seed 9-3` is neither"),
    Row("sample tiny -o x.png --seed ''", "run", 2, "`--seed ` is neither"),
    Row("sample tiny -o x.png --seed 1-", "run", 2, "`--seed 1-` is neither"),
    Row("sample tiny -o x.png --seed 9223372036854775808", "run", 2, "is neither a seed nor a range"),
    Row(f"sample tiny -o x.png --seed {'9' * 5000}", "run", 2, "is neither a seed nor a range"),
    Row("sample tiny -o x.png --seed 0-63 -n 5", "run", 2, "--seed 0-63 is 64 seeds, and -n says 5"),
    Row("sample tiny -o x.png --clip 1,-1", "run", 2, "`--clip 1,-1` is not a range | --clip -1,1"),
    Row("sample tiny -o x.png --clip nan,1", "run", 2, "`--clip nan,1` is not a range"),
    Row("sample tiny -o x.png --clip 1", "run", 2, "`--clip 1` is not a range"),
    Row("sample tiny -o x.png --weights best", "run", 2, "unknown weights `best` | ema, raw"),
    Row("sample tiny -o x.png --device cuda:99", "run", 2, "there is no device `cuda:99` here | cpu"),
    Row(
        "animate tiny to gif --what sideways",
        "run",
        2,
        "unknown film `sideways` | forward, interpolate, live, reverse, score, training",
    ),
    Row("animate tiny to gif --what forward --eta 1", "run", 2, "--what forward samples nothing: --eta"),
    Row("animate tiny to gif --what reverze", "run", 2, "unknown film `reverze` | Did you mean `reverse`?"),
    Row("animate tiny to gif --style dots", "run", 2, "unknown style `dots` | arrows, density, paths, scatter"),
    Row("animate tiny to gif --colour red", "run", 2, "unknown colour `red` | class, start, t"),
    Row("animate tiny to gif --color red", "run", 2, "unknown colour `red`"),
    Row("animate tiny to gif --theme drak", "run", 2, "unknown theme `drak` | Did you mean `dark`?"),
    Row("animate tiny to gif --frames 0", "run", 2, "Invalid value for '--frames'"),
    Row(
        "animate tiny to gif --frames 4000 --size 2000",
        "run",
        2,
        "tiny.gif would have about 1,600 MB | Say --yes | mp4",
    ),
    Row("animate tiny to mp4 --frames 9000 --size 3000", "run", 2, "about 4,050 MB | Say --yes | a smaller --size."),
    Row("animate tiny to gif --steps 0", "run", 2, "sampling.steps = 0: should be greater than or equal to 1"),
    Row("animate tiny to html -n 20000", "run", 2, "40 frames of 20,000 samples are more than a page of 3 MB | mp4"),
    Row("animate tiny to html --frames 9000", "run", 2, "9,000 frames are more than a page of 3 MB | Take fewer"),
    Row("animate tiny to html --label all -n 5000", "run", 2, "40 frames of 10,000 samples are more than a page"),
    Row("animate tiny to html --fps 900", "run", 2, "900 frames a second for html"),
    Row("animate tiny to mp4 --fps 0.01", "run", 2, "0.01 frames a second for mp4 | from 0.1"),
    Row("animate tiny to mp4 --hold 1", "run", 2, "`--hold 1` is not two times in seconds | 0.5,2"),
    Row("animate tiny to mp4 --hold 1,nan", "run", 2, "`--hold 1,nan` is not two times in seconds"),
    Row("animate tiny to gif --weights best", "run", 2, "unknown weights `best` | ema, raw"),
    Row("animate tiny to gif --side-by-side dddpm", "run", 2, "unknown kind `dddpm` | `ddpm`"),
    Row("animate tiny to gif --side-by-side ddpm:", "run", 2, "`--side-by-side ddpm:`: the steps of a sampler are"),
    Row("animate tiny to gif --side-by-side ''", "run", 2, "`--side-by-side ` is not a sampler"),
    Row("animate tiny to gif --side-by-side a,b,c,d,e,f,g", "run", 2, "--side-by-side of 7 panels"),
    Row("animate tiny to gif --side-by-side ddpm --steps 9", "run", 2, "--side-by-side names samplers, and so do"),
    Row(
        "animate tiny to gif --side-by-side ddpm --what live", "run", 2, "only on the way from noise do samplers differ"
    ),
    Row("animate tiny to gif --strength 0.3", "run", 2, "--strength belongs to another film | --what live"),
    Row("animate tiny to gif --what live --strength 2", "run", 2, "a strength of 2 | (0, 1]"),
    Row("animate tiny to gif --what live --strength nan", "run", 2, "a strength of nan"),
    Row(
        "animate tiny to gif --interpolate 1,2", "run", 2, "--interpolate belongs to another film | --what interpolate"
    ),
    Row("animate tiny to gif --what interpolate --interpolate 3", "run", 2, "`--interpolate 3` is not two seeds"),
    Row("animate tiny to gif --what score --steps 9", "run", 2, "--what score follows no path: --steps would have no"),
    Row("animate tiny to gif --what score --style paths", "run", 2, "--what score follows no path: --style"),
    Row("animate tiny to gif --what training --frames 9", "run", 2, "--what training has a frame for each checkpoint"),
    Row(
        "animate tiny to gif --what training",
        "run",
        1,
        "runs/tiny has kept 1 checkpoint | train moons --set 'record.keep=",
    ),
    Row("animate exact:moons to gif --what training", "", 2, "the exact denoiser of moons is no run | record.keep="),
    Row(
        "animate tiny to gif --what live --style arrows", "run", 2, "arrows go from xₜ to the estimate | --style paths"
    ),
    Row("animate tiny to gif --style density --colour t", "run", 2, "the colours of a density say how dense it is"),
    Row("animate tiny to gif --what live --colour t", "run", 2, "nothing in --what live has a time"),
    Row("animate plain to gif --colour class", "run", 2, "`plain` knows no classes"),
    Row("animate tiny to gif --guidance-interval 1,2", "run", 2, "--guidance-interval without a scale guides nowhere"),
    Row("animate tiny to gif --guide plan --guidance 2", "run", 2, "`plan` is neither a path, a run nor a preset"),
    Row(
        "animate tiny to gif --what interpolate --guidance 2",
        "run",
        2,
        "--guidance leads towards a class, and there is",
    ),
    Row("animate tiny to gif --what forward --label 0", "run", 2, "--what forward samples nothing: --label"),
    Row(
        "animate exact:shapes@9 to gif --style paths", "", 2, "--style is for points, and `exact:shapes@9` makes images"
    ),
    Row("animate exact:shapes@9 to gif --colour t", "", 2, "--colour is for points"),
    Row("animate exact:shapes@9 to gif --what score", "", 2, "a score is drawn in the plane | (1, 32, 32)"),
    Row("sample tiny -o x.png --theme dim", "run", 2, "unknown theme `dim` | Known: dark, light"),
    Row("sample tiny -o x.npz --theme dark", "run", 2, "--theme would have no effect: x.npz is no picture"),
    Row(
        "sample tiny -o x.svg --size 300 --dpi 90",
        "run",
        2,
        "--size and --dpi would have no effect: x.svg has no pixels",
    ),
    Row("sample tiny -o x.png --dpi 9000", "run", 2, "Invalid value for '--dpi'"),
    Row("data show moons -o x.pdf --size 300", "", 2, "--size would have no effect: x.pdf has no pixels"),
    Row("inspect tiny --theme dark", "run", 2, "--theme, --size and --dpi are for the pictures of --schedule"),
    Row("sample tiny -o x.png --at-steps 1;2", "run", 2, "`--at-steps 1;2` is no list of steps | --at-steps all"),
    Row(
        "sample tiny -o x.png --at-steps 7,30",
        "run",
        2,
        "runs/tiny has kept no step 7 | There are 30; | record.keep=[7,30]",
    ),
    Row("sample tiny -o x.png --at-steps all", "run", 1, "has kept 1 checkpoint | toydiff train moons --set"),
    Row("sample tiny -o x.npz --at-steps all", "run", 2, "--at-steps draws a picture"),
    Row(
        "sample tiny -o x.png --at-steps all --show-process", "run", 2, "--at-steps and --show-process are pictures of"
    ),
    Row("animate tiny to gif --frames 1", "run", 2, "Invalid value for '--frames'"),
    Row("animate tiny to gif --fps nan", "run", 2, "nan frames a second"),
    Row("animate tiny to mp4 --fps inf", "run", 2, "inf frames a second for mp4"),
    Row("animate tiny to webp --fps 241", "run", 2, "241 frames a second for webp | 240 otherwise"),
    Row("animate tiny to gif --fps 100", "run", 2, "100 frames a second for gif"),
    Row("animate tiny to gif --size 5", "run", 2, "Invalid value for '--size'"),
    Row("sample exact:shapes@9 -o x.csv", "", 2, "csv holds points, not samples of shape (1, 32, 32) | .npz"),
    Row("sample tiny -o x.png --threshold", "run", 2, "--threshold is for images, and `tiny` makes points"),
    Row("sample exact:shapes@9 -o x.npz --threshold", "", 2, "--threshold shows | in a picture of their own | .png"),
    Row("sample exact:shapes@9 -o x.png --threshold --show-process", "", 2, "--threshold shows | alone"),
    Row(
        "sample exact:shapes@9 -o x.png --show-process -n 101",
        "",
        2,
        "a row for each image: 101 are too many | Take 100 or fewer",
    ),
    Row("sample exact:shapes@9 -o x.png --clip off", "", 2, "`--clip off` is not a range | --clip none"),
    Row("animate exact:shapes@9 to gif --clip 1,-1", "", 2, "`--clip 1,-1` is not a range"),
    Row("animate exact:shapes@9 to gif --what forward --clip none", "", 2, "--what forward samples nothing: --clip"),
    Row("animate exact:shapes@9 to gif -n 5000", "", 2, "5,000 images of 32 × 32 do not fit into a film | Take -n"),
    Row("animate exact:shapes@9 to gif -n 50 --size 64", "", 2, "do not fit into a film of 64 × 64 pixels | --size"),
    Row(
        "animate exact:shapes@9 to html -n 200", "", 2, "40 frames of 200 samples are more than a page of 3 MB | -n 88"
    ),
    Row("animate exact:shapes@9 to html --style paths", "", 2, "--style is for points | makes images"),
    Row("animate exact:shapes@9 to gif --overlay", "", 2, "--overlay shows data behind points | makes images"),
    Row("data show shapes --forward -n 101", "", 2, "a row for each image: 101 are too many | Take 100 or fewer"),
    Row("data show moons -n 0", "", 2, "Invalid value for '-n'"),
    Row("data show moons --seed -1", "", 2, "Invalid value for '--seed'"),
    Row(
        "data show moons --set noise=-1 --set bogus=1", "", 2, "2 problems | data.noise = -1 | data.bogus: unknown key"
    ),
    Row("data export shapes -n 2 -o x.csv", "", 2, "csv holds points, not samples of shape (1, 32, 32) | .npz"),
    Row("data stats shapes --set size=15", "", 2, "data.size: on 15 × 15 pixels the kinds of shapes look alike | 16"),
    Row("data stats shapes --set size=513", "", 2, "data.size = 513: should be less than or equal to 512"),
    Row("data stats shapes --set most=0", "", 2, "data.most = 0: should be greater than or equal to 1"),
    Row("data export moons --set kind=x", "", 2, "data.kind: unknown kind `x`"),
    Row("data stats moons --set nonsense", "", 2, "`--set nonsense` is not an assignment"),
]

E, SHAPES = "evaluate tiny", "evaluate exact:shapes@9 -n 20"
EVALUATING = [
    Row("evaluate", "", 2, "which one? | a run, a preset"),
    Row("evaluate nosuch", "run", 2, "`nosuch` is neither a path, a run nor a preset"),
    Row("evaluate moons", "", 1, "the preset moons has neither a run | toydiff train moons"),
    Row("evaluate data:moons", "", 2, "`data:moons` is a data set, not a model | exact:moons"),
    Row("evaluate text.pt", "text.pt", 1, "text.pt is not a usable checkpoint"),
    Row("evaluate broken.pt -n 20", "run broken.pt", 1, "not finite on the way to Level(t= | --weights raw"),
    Row(f"{E} -n 1", "run", 2, "1 samples in a draw | -n takes from 20 to 20,000"),
    Row(f"{E} -n -5", "run", 2, "-5 samples in a draw"),
    Row(f"{E} -n 99999999", "run", 2, "99,999,999 samples in a draw"),
    Row(f"{E} -n nan", "run", 2, "Invalid value for '-n' | integer"),
    Row(f"{E} --draws 1", "run", 2, "Invalid value for '--draws'"),
    Row(f"{E} --draws 11", "run", 2, "Invalid value for '--draws'"),
    Row(f"{E} --seed 0-63", "run", 2, "`--seed 0-63`: draws follow one another from one seed | --seed 7"),
    Row(f"{E} --seed x", "run", 2, "`--seed x` is neither a seed nor a range"),
    Row(f"{E} --seed -3", "run", 2, "`--seed -3` is neither"),
    Row(f"{E} --sampler ddi", "run", 2, "unknown kind `ddi`. Did you mean `ddim`?"),
    Row(f"{E} --label 9", "run", 2, "unknown label `9` | Known: lower, none, upper"),
    Row("evaluate plain --label 1", "run", 2, "`plain` knows no labels"),
    Row("evaluate plain --guidance 2", "run", 2, "`plain` cannot be guided"),
    Row(f"{E} --guidance nan", "run", 2, "nan is no scale of guidance"),
    Row(f"{E} --guidance-interval 1,2", "run", 2, "--guidance-interval without a scale guides nowhere | --guidance 2"),
    Row(
        f"{E} --guidance 2 --guidance-interval 2,1", "run", 2, "`--guidance-interval 2,1` is no interval of sigma/alpha"
    ),
    Row(f"{E} --guide plain", "run", 2, "--guide without a scale guides nowhere | Add --guidance 2"),
    Row(f"{E} --guide plan --guidance 2", "run", 2, "`plan` is neither a path, a run nor a preset | `plain`?"),
    Row("evaluate plain --guide exact:swissroll --guidance 2", "run", 2, "cannot guide `plain`: its data have"),
    Row(f"{E} --guidance 2 --label none", "run", 2, "--guidance leads towards a class, and there is none"),
    Row(f"{E} --weights best", "run", 2, "unknown weights `best` | ema, raw"),
    Row(f"{E} --clip 1,-1", "run", 2, "`--clip 1,-1` is not a range"),
    Row(f"{E} --device cuda:99", "run", 2, "there is no device `cuda:99` here"),
    Row(f"{E} --set training.steps=3", "run", 2, "only its sampling can be set now"),
    Row(f"{E} --compare ddim:10", "run", 2, "`--compare ddim:10` does not name two different samplers | ddpm:1000"),
    Row(f"{E} --compare ''", "run", 2, "`--compare ` does not name two different samplers"),
    Row(f"{E} --compare ddim:10,ddim:10", "run", 2, "does not name two different samplers"),
    Row(f"{E} --compare ddim:10,", "run", 2, "`--compare ddim:10,`: a sampler has no name"),
    Row(f"{E} --compare ddim:10,heun:x", "run", 2, "`--compare heun:x`: the steps of a sampler are"),
    Row(f"{E} --compare ddim:10,huen:5", "run", 2, "unknown kind `huen`. Did you mean `heun`?"),
    Row(f"{E} --compare ddim:10,heun:0", "run", 2, "`--compare heun:0`: the steps of a sampler are"),
    Row(f"{E} --compare ddim:٣,heun:3", "run", 2, "`--compare ddim:٣`: the steps of a sampler are"),
    Row(f"{E} --compare ddim:10,ddim:010", "run", 2, "`--compare ddim:10,ddim:010` names ddim:10 twice"),
    Row(f"{E} --compare ddim,heun:5,ddim:5 --set sampling.steps=5", "run", 2, "names ddim:5 twice"),
    Row(
        f"{E} --compare ddim:3,heun:3 --set sampling.steps=5",
        "run",
        2,
        "--set makes ddim:5 of what --compare names ddim:3",
    ),
    Row(f"{E} --compare rk45:40,rk45", "run", 2, "names rk45:40 twice"),
    Row(f"{E} --compare ddim,heun --steps 5", "run", 2, "--compare names the samplers itself | Leave out"),
    Row("evaluate exact:mnist@9", "", 1, "the data set `mnist` is not ready | toydiff data fetch mnist"),
    Row(
        "evaluate exact:npz:album.npz@9 -n 64",
        "album.npz",
        2,
        "samples in a draw are too few | It takes 65 held-out ones, and there are 30",
    ),
    Row(
        "evaluate exact:npz:album.npz@9 -n 65 --label 7", "album.npz", 2, "unknown label `7` | Known: 0, 1, 2, 3, none"
    ),
    Row(f"{E} --inception none.pt", "run", 1, "none.pt is not there | Check the path"),
    Row(f"{E} --inception .", "run", 1, ". is a folder, not a file"),
    Row(f"{E} --inception pipe", "run pipe", 1, "not a file | Give the path of a file"),
    Row(f"{E} --inception /dev/zero", "run", 1, "not a file | Give the path of a file"),
    Row(f"{E} --inception text.pt", "run text.pt", 1, "text.pt is not a TorchScript program | torch.jit.save"),
    Row(f"{E} --inception empty.pt", "run empty.pt", 1, "empty.pt is not a TorchScript program"),
    Row(f"{E} --inception foreign.pt", "run foreign.pt", 1, "foreign.pt is not a TorchScript program"),
    Row(f"{E} --inception hostile.pt", "run hostile.pt", 1, "hostile.pt is not a TorchScript program"),
    Row(f"{E} --inception cut-off.pt", "run cut-off.pt", 1, "cut-off.pt is not a whole zip archive"),
    Row(f"{E} --inception sees.pt", "run sees.pt", 2, "sees.pt sees grey or coloured images, and `moons` has points"),
    Row(f"{SHAPES} --inception flat.pt", "flat.pt", 1, "flat.pt is no network | of 2 images it makes (2, 3, 32, 32)"),
    Row(f"{SHAPES} --inception numbers.pt", "numbers.pt", 1, "it does not take images uint8 (N, 3, H, W)"),
    Row(f"{SHAPES} --inception nothing.pt", "nothing.pt", 1, "its features are not all finite numbers"),
    Row("evaluate classifier.pt", "classifier.pt", 1, "classifier.pt"),
    Row("train moons --set record.evaluate_every=0", "", 2, "record.evaluate_every = 0"),
    Row(
        "train --data npz:few.npz --set record.evaluate_every=5",
        "few.npz",
        2,
        "record.evaluate_every: 10 held-out images are too few to measure by | It takes 20 | set it to none",
    ),
]

X = "sample tiny -o x.png"
EDITING = [
    Row(f"{X} --guidance-interval 1,2", "run", 2, "--guidance-interval without a scale guides nowhere | --guidance 2"),
    Row(f"{X} --guidance 3 --guidance-interval 2,1", "run", 2, "`--guidance-interval 2,1` is no interval | 0.2,3"),
    Row(f"{X} --guidance 3 --guidance-interval nan,1", "run", 2, "is no interval of sigma/alpha"),
    Row(f"{X} --guidance 3 --guidance-interval=-1,1", "run", 2, "is no interval of sigma/alpha"),
    Row(f"{X} --guidance 3 --guidance-interval 1", "run", 2, "is no interval of sigma/alpha"),
    Row(f"{X} --guidance 3 --label none", "run", 2, "--guidance leads towards a class, and there is none"),
    Row(
        "animate tiny to gif --guidance 3 --label none", "run", 2, "--guidance leads towards a class, and there is none"
    ),
    Row(f"{X} --guide plain", "run", 2, "--guide without a scale guides nowhere | Add --guidance 2"),
    Row(f"{X} --guide plan --guidance 2", "run", 2, "`plan` is neither a path, a run nor a preset | `plain`?"),
    Row(f"{X} --guide none.pt --guidance 2", "run", 1, "none.pt is not there"),
    Row(f"{X} --guide text.pt --guidance 2", "run text.pt", 1, "text.pt is not a usable checkpoint"),
    Row(
        f"{X} --guide exact:gaussians --guidance 2",
        "run",
        2,
        "`exact:gaussians` cannot guide `tiny`: its labels are 0,",
    ),
    Row("sample plain -o x.png --guide exact:swissroll --guidance 2", "run", 2, "cannot guide `plain`: its data have"),
    Row(f"{X} --guide exact:shapes@3 --guidance 2", "run", 2, "its samples have shape (1, 32, 32), not (2,)"),
    Row(f"{X} --guide exact:moons --guidance nan", "run", 2, "nan is no scale of guidance"),
    Row("sample plain -o x.png --label all", "run", 2, "`plain` knows no labels"),
    Row("sample plain -o x.npz --shard 3/2", "run", 2, "`--shard 3/2` is no shard | I from 1 to N"),
    Row("sample plain -o x.npz --shard 0/0", "run", 2, "`--shard 0/0` is no shard"),
    Row("sample plain -o x.npz --shard a/b", "run", 2, "`--shard a/b` is no shard"),
    Row("sample plain -o x.npz --shard '1/\x1b[2J'", "run", 2, r"`--shard 1/\x1b[2J` is no shard"),
    Row("sample plain -o x.npz --shard 1/2 --merge", "run", 2, "--shard makes chunks and --merge puts them together"),
    Row("sample plain --shard 1/2", "run", 2, "--shard has to know which file it is about | -o samples.npz"),
    Row("sample plain -o x.png --shard 1/2 --show-process", "run", 2, "--show-process shows more than a chunk"),
    Row("sample plain -o x.npz --shard 1/2 --preview", "run", 2, "--preview shows more than a chunk | Leave it out"),
    Row("sample plain -o taken.npz --merge", "run taken.npz", 2, "taken.npz exists; nothing is overwritten silently"),
    Row("sample plain -o x.npz --merge", "run", 1, "-1-of-1.npz is missing: 1 of 1 chunks | --shard 1/1"),
    Row("sample plain -o none/x.npz --shard 1/2", "run", 1, "cannot write none/x.npz | does not exist"),
    Row(f"{X} --strength 0.5", "run", 2, "a strength, and nothing to edit | --init FILE"),
    Row(f"{X} --mask mask.csv", "run mask.csv", 2, "a mask, and nothing to edit | --init FILE"),
    Row(f"{X} --init point.csv", "run point.csv", 2, "how much of the beginning is kept? | --strength, or a --mask"),
    Row(f"{X} --init point.csv --strength 0", "run point.csv", 2, "a strength of 0 | It lies in (0, 1]"),
    Row(f"{X} --init point.csv --strength 1.5", "run point.csv", 2, "a strength of 1.5"),
    Row(f"{X} --init point.csv --strength nan", "run point.csv", 2, "a strength of nan"),
    Row(f"{X} --init none.csv --strength 0.5", "run", 1, "none.csv is not there"),
    Row(f"{X} --init . --strength 0.5", "run", 2, ".: unknown format"),
    Row(f"{X} --init file --strength 0.5", "run file", 2, "file: unknown format `` | csv"),
    Row(f"{X} --init a.gif --strength 0.5", "run", 2, "a.gif: unknown format `gif` | png"),
    Row(f"{X} --init empty.csv --strength 0.5", "run empty.csv", 2, "begin from has shape | the data (2,)"),
    Row(f"{X} --init ragged.csv --strength 0.5", "run ragged.csv", 1, "ragged.csv holds no array of numbers"),
    Row(f"{X} --init words.csv --strength 0.5", "run words.csv", 1, "words.csv holds no array of numbers"),
    Row(f"{X} --init nan.csv --strength 0.5", "run nan.csv", 1, "nan.csv holds a number that is not finite"),
    Row(f"{X} --init text.npy --strength 0.5", "run text.npy", 1, "text.npy holds no array of numbers"),
    Row(f"{X} --init text.npz --strength 0.5", "run text.npz", 1, "text.npz is not a whole zip archive"),
    Row(f"{X} --init pickled.npy --strength 0.5", "run pickled.npy", 1, "pickled.npy holds no array of numbers"),
    Row(f"{X} --init three.csv --strength 0.5", "run three.csv", 2, "begin from has shape (3,), the data (2,)"),
    Row(f"{X} --init points.csv --strength 0.5 -n 5", "run points.csv", 2, "5 samples cannot begin from 2"),
    Row(f"{X} --init point.csv --mask three.csv", "run point.csv three.csv", 2, "the mask has shape | the data (2,)"),
    Row(f"{X} --init fits.png --strength 0.5", "run fits.png", 2, "fits.png is a picture, the data have shape (2,)"),
    Row(
        "sample exact:shapes@3 -o x.npz --init small.png --strength 0.5",
        "small.png",
        2,
        "small.png is 8 × 8 pixels, the data 32 × 32",
    ),
    Row(
        "sample exact:shapes@3 -o x.npz --init bomb.png --strength 0.5", "bomb.png", 1, "not a picture that can be read"
    ),
    Row(
        "sample exact:shapes@3 -o x.npz --init cut.png --strength 0.5",
        "cut.png",
        1,
        "cut.png is cut off: it is not a whole picture",
    ),
    Row(
        "sample exact:shapes@3 -o x.npz --init text.png --strength 0.5", "text.png", 1, "not a picture that can be read"
    ),
    Row(
        "sample exact:shapes@3 -o x.npz --init fits.png --mask small.png",
        "fits.png small.png",
        2,
        "small.png is 8 × 8 pixels, the data 32 × 32",
    ),
    Row(f"{X} --interpolate 3", "run", 2, "`--interpolate 3` is not two seeds | --interpolate 3,7"),
    Row(f"{X} --interpolate 3,-7", "run", 2, "`--interpolate 3,-7` is not two seeds"),
    Row(f"{X} --interpolate 3,7 --seed 5", "run", 2, "--interpolate and --seed both choose the seeds"),
    Row("sample broken.pt -o x.png", "run broken.pt", 1, "not finite on the way to Level(t= | --weights raw"),
    Row("train moons --set training.coupling.kind=oot", "", 2, "unknown kind `oot`. Did you mean `ot`?"),
    Row(
        "train moons --set training.coupling.kind=ot --set sampling.sampler.kind=ddpm",
        "",
        2,
        "sampling.sampler: `ddpm` draws noise on the way | samples deterministically only | ddim",
    ),
    Row(
        "train moons --set schedule.kind=linear --set schedule.T=9 --set schedule.scale_betas=true", "", 2, "T = 21 is"
    ),
]

EXCHANGE = [
    Row("inspect tiny --export x.zip", "run", 2, "--export x.zip: unknown format | something.safetensors"),
    Row("inspect tiny --export none/x.safetensors", "run", 1, "cannot write none/x.safetensors | does not exist"),
    Row("inspect tiny --export x.safetensors --verify", "run", 2, "--verify and --export each do one thing"),
    Row("inspect samplers --verify", "", 2, "--verify does one thing with one model, and `samplers` is"),
    Row("inspect exact:moons --verify", "", 2, "`exact:moons` is no checkpoint"),
    Row("inspect none.safetensors --verify", "", 1, "none.safetensors is not there"),
    Row("sample none.safetensors -o x.png", "", 1, "none.safetensors is not there"),
]

ROWS = [
    *COMMANDS,
    *TRAIN,
    *CONFIGURATION,
    *RESUME,
    *CHECKPOINTS,
    *NAMES,
    *DOWNLOADS,
    *(Row(*row) for row in bad_data.ROWS),
    *OUTPUTS,
    *SAMPLING,
    *EVALUATING,
    *EDITING,
    *EXCHANGE,
]
