"""toydiff inspect: what a run, checkpoint or preset is; and the nouns, what there is to name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import options
from toydiff.cli import summary as results
from toydiff.cli import verify as verifying
from toydiff.cli.configure import configuration_layers, to_toml
from toydiff.cli.doctor import examine, examine_untrained
from toydiff.cli.drawing import PICTURES, DpiOption, SizeOption, ThemeOption, check_drawing, check_theme
from toydiff.cli.nouns import NOUNS, entries
from toydiff.cli.sample import choose_output
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import data_source, find, preset_names, run_folders, runs_dir

if TYPE_CHECKING:
    from toydiff.config import Run


@options.guarded
def inspect(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help=f"A run, checkpoint or preset; or one of: {', '.join(NOUNS)}.",
            autocompletion=options.complete_name,
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    schedule: Annotated[bool, typer.Option("--schedule", help="Draw the schedule: alpha, sigma, log-SNR.")] = False,
    model: Annotated[bool, typer.Option("--model", help="Only the network, layer by layer.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check a file, or all of a run: hash, structure, shapes; exit 0 or 1.")
    ] = False,
    doctor: Annotated[
        bool, typer.Option("--doctor", help="Say what is wrong, with numbers, and what to change; exit 0 all the same.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Draw how it learned, what it makes beside the data, and how good it is.")
    ] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write the same, with tables, as one page: report.html in the run's folder.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write weights: .safetensors for strangers, or a small .pt."),
    ] = None,
    theme: ThemeOption = None,
    size: SizeOption = None,
    dpi: DpiOption = None,
    output: options.Output = None,
    runs: options.RunsDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_file: options.LogFile = None,
    debug: options.Debug = False,
) -> None:
    """Explain a run, a checkpoint or a preset: toydiff inspect swissroll. Or list: toydiff inspect samplers"""
    talk = Talk(quiet=quiet, verbose=verbose, log_file=log_file, json=as_json)
    wanted = options.one_name(name, checkpoint)
    drawn = schedule or summary
    if output is not None and not (drawn or html):
        raise ConfigurationError(
            "-o is where the picture of --schedule or --summary goes, or the page of --html", "Add --schedule, say."
        )
    if (not drawn and (size, dpi) != (None, None)) or (not (drawn or html) and theme is not None):
        raise ConfigurationError(
            "--theme, --size and --dpi are for the pictures of --schedule and --summary", "Add --schedule, say."
        )
    one = [schedule, model, verify, doctor, summary, html, export is not None].count(True)
    if one > 1 or (wanted in NOUNS and one):
        raise ConfigurationError(
            "--schedule, --model, --doctor, --verify, --summary, --html and --export each do one thing with one model",
            "Give one of them, and a NAME.",
        )
    if export is not None:
        verifying.check_export(export)
    if wanted in NOUNS:
        return show_noun(wanted, talk)
    where, header, run = runs_dir(runs), {}, None
    out, paper = None, "light"
    if drawn:
        what = "schedule" if schedule else "summary"
        out = choose_output(output, None, f"{Path(wanted).stem.replace(':', '-')}-{what}", PICTURES)
        paper = check_drawing(out, theme, size, dpi)
        refuse_existing(out)
        check_writable(out)
    preset = wanted.removeprefix("preset:")
    try:
        found = find(wanted, where)
    except ToydiffError as error:
        if preset not in preset_names():
            if isinstance(error, ConfigurationError) and ":" not in wanted:
                known = [*NOUNS, *preset_names(), *(run.name for run in run_folders(where))]
                raise ConfigurationError(error.message, did_you_mean(wanted, known)) from error
            raise
        found = None  # a preset nobody has trained yet: its configuration is all there is

    if summary or html:
        found = results.needs_checkpoint(found, wanted)
        talk.note(found.why)
        if out is not None:
            return results.draw_summary(found, out, paper, size, dpi, talk)
        paper = check_theme(theme)
        return results.write_report(found, results.check_report(output, found), paper, talk)

    if verify or export is not None:
        if found is None or found.kind != "checkpoint":
            raise ConfigurationError(f"`{shown(wanted)}` is no checkpoint", "Give a run, or a file.")
        talk.note(found.why)
        if export is not None:
            return verifying.export(found.path, export, talk)
        folder = found.path.parent
        file = Path(wanted).is_file() or wanted.endswith(".pt") or not (folder / "config.toml").is_file()
        return verifying.verify(found.path if file else folder, talk)

    from toydiff.layers import resolve

    if found is None:
        talk.note(f"the preset {preset}; it has not been trained here")
        run = resolve(configuration_layers(preset, None, [], {})).run
        if doctor:
            return examine_untrained(preset, run, talk)
    elif found.kind in ("exact", "data"):
        source = data_source(found.value, counted=found.kind == "exact")
        data = source.kind if source.path is None else shlex.quote(shown(f"{source.kind}:{source.path}"))
        raise ConfigurationError(
            f"`{shown(wanted)}` is {found.why}: there is no network to inspect",
            f"Look at it with: toydiff data stats {data}, toydiff data show {data}",
        )
    else:
        talk.note(found.why)
        if doctor:
            return examine(found, talk)
        from toydiff.runs import read, run_of

        content, path = read(found.path, talk.warn)
        header = {**content.header, "sha256": content.digest, "path": str(path)}
        run = run_of(content.header, path)
    facts = {"checkpoint": {k: v for k, v in header.items() if k != "config"}, **describe(run)}
    if out is not None:
        from toydiff.viz.curves import schedule_plot
        from toydiff.viz.png import save_picture
        from toydiff.viz.style import themed

        with themed(paper):
            picture = schedule_plot(run.schedule, run.levels()[:-1], f"{run.schedule.kind} schedule")
            save_picture(out, picture, {"toydiff": wanted}, size, dpi)
        talk.result(f"{shown(out)}: {facts['schedule']['words']}", {"output": str(out), **facts["schedule"]})
        return
    show = facts["network"] if model else facts
    talk.result(_network_text(facts) if model else _text(run, facts), show)


def describe(run: Run) -> dict[str, Any]:
    """Return what a configuration means: network, schedule, data, sampling."""
    from toydiff.networks.cost import parts
    from toydiff.viz.curves import schedule_summary

    end = run.schedule(1.0)
    layers = parts(run.build("meta").network, run.data.shape)
    return {
        "config": run.model_dump(mode="json"),
        "network": {
            "kind": run.network.kind,
            "input": list(run.data.shape),
            "layers": [layer._asdict() for layer in layers],
            "parameters": sum(layer.parameters for layer in layers),
            "macs": sum(layer.macs for layer in layers),
        },
        "schedule": {
            "kind": run.schedule.kind,
            "alpha_bar_T": float(end.alpha**2),
            "terminal_snr": float(end.snr),
            "terminal_snr_of_data": float(end.snr) * run.sigma_data**2,
            "words": schedule_summary(run.schedule),
        },
        "steps": run.total_steps,
    }


def _network_text(facts: dict[str, Any]) -> str:
    network = facts["network"]
    rows = [
        (row["name"], row["kind"], " × ".join(map(str, row["shape"])), f"{row['parameters']:,}", _count(row["macs"]))
        for row in network["layers"]
    ]
    rows.append(
        ("in all", f"{network['kind']}, for one sample", "", f"{network['parameters']:,}", _count(network["macs"]))
    )
    return table(("layer", "kind", "output", "parameters", "multiply–accumulates"), rows)


def _count(number: int) -> str:
    """Return a count for people: 256, 16.4 k, 20.9 M, 1.35 G."""
    size, unit = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}".rstrip()


def _text(run: Run, facts: dict[str, Any]) -> str:
    parts = []
    if header := facts["checkpoint"]:
        best, environment = header.get("best") or {}, header.get("environment") or {}
        rows = [
            ("path", shown(header["path"])),
            ("run", shown(header.get("name", ""))),
            ("preset", shown(header.get("preset") or "none")),
            ("step", f"{header['step']:,} of {header['total']:,}"),
            ("best validation", f"{best['loss']:.5f} at step {best['step']:,}" if best else "none yet"),
            ("made with", shown(", ".join(f"{k} {v}" for k, v in environment.items()))),
            ("sha256", header["sha256"]),
        ]
        parts.append(table(("checkpoint", ""), rows))
    parts.append(_network_text(facts))
    parts.append(f"schedule: {facts['schedule']['kind']}; {facts['schedule']['words']}")
    return "\n\n".join([*parts, to_toml(run).rstrip()])


def show_noun(noun: str, talk: Talk) -> None:
    """List everything of a kind."""
    rows = entries(noun)
    headings = ["name", *(["order", "evaluations"] if noun == "samplers" else []), "about"]
    lines = [["adaptive" if row[heading] is None else row[heading] for heading in headings] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        line[0] = row.get("called", line[0])
        if row.get("options"):
            words = (f"{key}={_short(value)}" for key, value in row["options"].items())
            line[-1] = f"{line[-1]}\n{', '.join(words)}"
    talk.result(table(headings, lines), rows)


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
