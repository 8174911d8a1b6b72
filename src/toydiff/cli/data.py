"""toydiff data: the data sets, their pictures, numbers and arrays."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toydiff.cli import options
from toydiff.cli.drawing import PICTURES, DpiOption, SizeOption, ThemeOption, check_drawing
from toydiff.cli.fetch import fetch, verify
from toydiff.cli.process import MOST_ROWS, PANELS, ROWS
from toydiff.cli.sample import choose_output, free_name
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.cli.terminal import PreviewOption, in_terminal
from toydiff.errors import ConfigurationError
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import DATA_KINDS, data_source, preset_names

if TYPE_CHECKING:
    from torch import Generator

    from toydiff.config import Run
    from toydiff.data import Batch, Data

app = typer.Typer(help="List, show, download, export and measure data sets.", no_args_is_help=True)
app.command("fetch")(fetch)
app.command("verify")(verify)

DataName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A data set, csv:points.csv, or a preset.", autocompletion=options.complete_data
    ),
]
Number = Annotated[int | None, typer.Option("-n", help="Number of samples.", min=1, max=10_000_000)]
SHOWN = 5000
"""Points a picture shows."""
IN_A_ROW, MOST_CLASSES = 10, 20
"""Images of a class in a row of a picture of labelled images, and classes there may be for that."""


@app.command("list")
@options.guarded
def list_(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the data sets."""
    from toydiff.cli.description import show_noun

    show_noun("datasets", Talk(json=as_json))


@app.command()
@options.guarded
def show(
    name: DataName,
    n: Number = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    forward: Annotated[bool, typer.Option("--forward", help="The data beside themselves at growing noise.")] = False,
    sets: options.Set = None,
    preview: PreviewOption = False,
    theme: ThemeOption = None,
    size: SizeOption = None,
    dpi: DpiOption = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    to: options.To = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Draw a data set: toydiff data show moons -o moons.png"""
    talk = Talk(quiet=quiet, json=as_json)
    out = choose_output(output, to, f"{check_name(name)}-{'forward' if forward else 'data'}", PICTURES)
    paper = check_drawing(out, theme, size, dpi)
    refuse_existing(out)
    check_writable(out)
    run = described(name, sets)
    data = run.data
    by_class = n is None and not forward and data.pictorial and 2 <= len(data.label_names) <= MOST_CLASSES
    if n is None:
        n = min((ROWS if forward else run.shown) if data.pictorial else SHOWN, data.available or SHOWN)
    if forward and data.pictorial and n > MOST_ROWS:
        raise ConfigurationError(
            f"--forward draws a row for each image: {n:,} are too many", f"Take {MOST_ROWS} or fewer, with -n."
        )
    from toydiff.training import streams
    from toydiff.viz.overview import data_picture, forward_picture

    generator = streams.generator(seed, "data")
    batch = row_a_class(data, generator) if by_class else data.draw(n, generator)
    n = len(batch.x)
    if forward:
        import torch

        x0 = (batch.x - data.shift) / data.scale
        eps = streams.normal(data.shape, seed=seed, stream="forward", index=torch.arange(n))
        levels = [run.schedule(t) for t in torch.linspace(0, 1, PANELS, dtype=torch.float64)]
        x_t = [(level.alpha * x0 + level.sigma * eps) * data.scale + data.shift for level in levels]
        picture = partial(forward_picture, data, run.schedule, levels, x_t, batch.label)
    else:
        picture = partial(data_picture, data, batch)
    paper.draw(picture, data=data.name, seeds=str(seed))
    if preview:
        in_terminal(talk, data, [(f"{data.name}: {n:,} {data.word}", batch)])
    talk.result(
        f"{shown(out)}: {n:,} {data.word} of {data.name}",
        {"output": str(out), "n": n, "data": data.model_dump(mode="json")},
    )


@app.command()
@options.guarded
def export(
    name: DataName,
    n: Number = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    sets: options.Set = None,
    data_dir: options.DataDir = None,
    output: options.Output = None,
    to: options.To = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write samples of a data set, 10,000 or all: data export moons -o moons.csv, or shapes --to folder -o pictures"""
    talk = Talk(quiet=quiet, json=as_json)
    stem, pictures = f"{check_name(name)}-data", to == "folder"
    out = (output or free_name(Path(stem))) if pictures else choose_output(output, to, stem, ("npz", "csv"))
    refuse_existing(out)
    check_writable(out)
    data = described(name, sets).data
    if pictures and not (data.pictorial and data.shape[0] in (1, 3)):
        raise ConfigurationError(f"a folder holds pictures, not samples of shape {data.shape}", "Write .npz instead.")
    from toydiff.arrays import write_csv, write_npz
    from toydiff.training import streams

    n = n or min(10_000, data.available or 10_000)
    batch = data.draw(n, streams.generator(seed, "data"))
    if pictures:
        from toydiff.viz.folder import save_folder
        from toydiff.viz.overview import domain_of

        save_folder(out, batch, data.label_names, domain_of(data))
    else:
        (write_csv if out.suffix == ".csv" else write_npz)(out, batch)
    talk.result(
        f"{shown(out)}: {n:,} samples of {data.name}",
        {"output": str(out), "n": n, "data": data.model_dump(mode="json")},
    )


@app.command()
@options.guarded
def stats(
    name: DataName,
    n: Number = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    sets: options.Set = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a data set, all of it or 10,000 draws: range, mean, sd, classes, entropy, beside the known constants."""
    talk = Talk(json=as_json)
    check_name(name)
    data = described(name, sets).data
    import torch

    from toydiff.training import streams

    n = n or data.available or data.count or 10_000
    batch = data.draw(n, streams.generator(seed, "data"))

    picture = len(data.shape) > 1
    flat = batch.x.reshape(-1, 1) if picture else batch.x.double().flatten(1)  # pixels in one column
    mean = flat.mean(0, dtype=torch.float64)
    sd = ((flat - mean.to(flat.dtype)).square_().sum(0, dtype=torch.float64) / max(len(flat) - 1, 1)).sqrt()
    shift = data.shift.double().mean()[None] if picture else data.shift.flatten()
    light = {} if data.domain is None else {"white_share": float((flat > sum(data.domain) / 2).double().mean())}
    classes = {}
    if batch.label is not None:
        shares = batch.label.bincount(minlength=len(data.label_names)).double() / n
        classes = {label: round(float(share), 4) for label, share in zip(data.label_names, shares, strict=True)}
    entropy = data.entropy
    facts = {
        "data": data.kind,
        "n": n,
        "shape": list(data.shape),
        "min": flat.amin(0).tolist(),
        "max": flat.amax(0).tolist(),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        **(light if picture else {}),
        "shift" if picture else "known_mean": shift.tolist(),
        "scale" if picture else "known_rms": data.scale,
        "entropy_nats": entropy,
        "entropy_error": data.entropy_error,
        "duplicates": n - len({blake2b(row).digest() for row in batch.x.numpy()}),
        "constant_pixels" if picture else "constant_columns": int((batch.x == batch.x[:1]).flatten(1).all(0).sum()),
        "classes": classes,
    }
    if advice := data.advice:
        talk.warn(advice)

    def number(value: object) -> str:
        if isinstance(value, list):
            return ", ".join(number(v) for v in value)
        if isinstance(value, dict):
            return ", ".join(f"{k} {v:.1%}" for k, v in value.items()) or "none"
        return (
            "not known" if value is None else f"{round(value, 4) + 0.0:.4f}" if isinstance(value, float) else str(value)
        )

    said = {key: number(value) for key, value in facts.items() if key != "entropy_error"}
    if entropy is not None:
        error = data.entropy_error
        said["entropy_nats"] = f"{entropy:.6f}, " + (f"off by {error:.0e} at most" if error else "in closed form")
    talk.result(table(("", ""), [(key.replace("_", " "), value) for key, value in said.items()]), facts)


def check_name(name: str) -> str:
    """Return what an output is called; raise ConfigurationError, before torch is imported, for an unknown data set."""
    name = name.removeprefix("data:")
    return name if name in preset_names() else data_source(name).stem


def row_a_class(data: Data, generator: Generator) -> Batch:
    """Return images class by class, as many of each as there are of the rarest among some draws, up to ten."""
    import torch

    n = 64 * len(data.label_names)
    batch = data.draw(min(n, data.available or n), generator)  # nothing twice
    assert batch.label is not None
    there = [(batch.label == k).nonzero()[:, 0] for k in range(len(data.label_names))]
    fewest = min(IN_A_ROW, *(len(rows) for rows in there if len(rows)))
    rows = torch.cat([rows[:fewest] for rows in there])
    return batch._replace(x=batch.x[rows], label=batch.label[rows])


def described(name: str, sets: list[str] | None) -> Run:
    """Return the run that a data set, or a preset's, belongs to, with `--set noise=0.1` applied."""
    from toydiff.cli.configure import configuration_layers, data_assignments
    from toydiff.layers import Layer, parse_set, resolve

    name = name.removeprefix("data:")
    preset = name if name in preset_names() and name not in DATA_KINDS else None
    layers = configuration_layers(preset, None, [], {})
    assignments = [parse_set(text) for text in sets or []]
    values = [
        (path if path.startswith(("data.", "schedule.")) else f"data.{path}", value) for path, value in assignments
    ]
    chosen = [] if preset else data_assignments(data_source(name))
    return resolve([*layers, Layer("command line", [*chosen, *values])]).run
