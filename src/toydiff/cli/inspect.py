"""toydiff inspect: what a run, checkpoint, preset or picture is; and the nouns, what there is to name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toydiff.cli import against as comparing
from toydiff.cli import arrows as pointing
from toydiff.cli import levels as weighing
from toydiff.cli import options, pictured, scheduled
from toydiff.cli import summary as results
from toydiff.cli import verify as verifying
from toydiff.cli.configure import configuration_layers
from toydiff.cli.description import describe, network_text, show_noun, text_of
from toydiff.cli.doctor import examine, examine_untrained
from toydiff.cli.drawing import PICTURES, DpiOption, Paper, SizeOption, ThemeOption, check_drawing, check_theme
from toydiff.cli.nouns import NOUNS
from toydiff.cli.sample import choose_output
from toydiff.cli.talk import Talk
from toydiff.errors import ConfigurationError, ToydiffError, did_you_mean
from toydiff.files import check_writable, refuse_existing, shown
from toydiff.names import Found, data_source, find, preset_names, run_folders, runs_dir, shipped_names

if TYPE_CHECKING:
    pass

DRAWN = ("--schedule", "--summary", "--arrows", "--loss-by-t", "--against")
"""What draws a picture."""


@options.guarded
def inspect(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help=f"A run, checkpoint, preset or picture.png; or one of: {', '.join(NOUNS)}.",
            autocompletion=options.complete_name,
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Draw alpha, sigma, ᾱ, β and log-SNR, and list the sampling grid.")
    ] = False,
    sampler: options.SamplerOption = None,
    steps: options.Steps = None,
    spacing: options.Spacing = None,
    model: Annotated[
        bool, typer.Option("--model", help="Only the network, layer by layer, and how far it sees.")
    ] = False,
    arrows: Annotated[
        bool, typer.Option("--arrows", help="Draw one-step denoising of points, and the score, beside the exact ones.")
    ] = False,
    at: pointing.AtOption = None,
    loss_by_t: Annotated[
        bool, typer.Option("--loss-by-t", help="Draw the loss by noise level, beside that of the exact denoiser.")
    ] = False,
    against: comparing.AgainstOption = None,
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
    views = {
        "--schedule": schedule, "--model": model, "--arrows": arrows, "--loss-by-t": loss_by_t, "--against": against,
        "--verify": verify, "--doctor": doctor, "--summary": summary, "--html": html, "--export": export,
    }  # fmt: skip
    asked = [option for option, given in views.items() if given not in (None, False)]
    of_grid = {"--sampler": sampler, "--steps": steps, "--spacing": spacing}
    check_words(wanted, asked, output, {"--theme": theme, "--size": size, "--dpi": dpi}, of_grid, at)
    if export is not None:
        verifying.check_export(export)
    if wanted in NOUNS:
        return show_noun(wanted, talk)
    if pictured.is_picture(wanted):
        return pictured.read_back(wanted, talk)
    sigmas = pointing.parse_at(at)
    where, header, paper = runs_dir(runs), {}, None
    other = None if against is None else comparing.other(against, where)
    if asked and asked[0] in DRAWN:
        paper = drawn_on(wanted, asked[0].removeprefix("--"), output, theme, size, dpi)
    found, preset = found_or_preset(wanted, where)

    if summary or html or arrows or loss_by_t or against is not None:
        found = results.needs_checkpoint(found, wanted)
        talk.note(found.why)
        if paper is None:
            page_theme = check_theme(theme)
            return results.write_report(found, results.check_report(output, found), page_theme, talk)
        if other is not None:
            return comparing.compare(found, other, paper, talk)
        if arrows:
            return pointing.draw_arrows(found, sigmas, paper, talk)
        if loss_by_t:
            return weighing.draw_losses(found, paper, talk)
        return results.draw_summary(found, paper, talk)

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
        refuse_data(found, wanted)
    else:
        talk.note(found.why)
        if doctor:
            return examine(found, talk)
        from toydiff.runs import read, run_of

        content, path = read(found.path, talk.warn)
        header = {**content.header, "sha256": content.digest, "path": str(path)}
        run = run_of(content.header, path)
    if paper is not None:
        return scheduled.draw_schedule(run, paper, talk, sampler, steps, spacing)
    facts = {"checkpoint": {k: v for k, v in header.items() if k != "config"}, **describe(run)}
    talk.result(network_text(facts) if model else text_of(run, facts), facts["network"] if model else facts)


def check_words(
    wanted: str,
    asked: list[str],
    output: Path | None,
    drawing: dict[str, Any],
    grid: dict[str, Any],
    at: str | None,
) -> None:
    """Raise ConfigurationError for options that do not go together, or would do nothing."""
    if len(asked) > 1:
        raise ConfigurationError(
            f"{', '.join(asked[:-1])} and {asked[-1]} each do one thing with one model", "Give one of them, and a NAME."
        )
    if asked and (wanted in NOUNS or pictured.is_picture(wanted)):
        what = "a list" if wanted in NOUNS else "a picture"
        raise ConfigurationError(
            f"{asked[0]} does one thing with one model, and `{shown(wanted)}` is {what}",
            "Give another NAME, or no option.",
        )
    view = asked[0] if asked else ""
    names = f"{', '.join(DRAWN[:-1])} and {DRAWN[-1]}"
    if output is not None and view not in (*DRAWN, "--html"):
        raise ConfigurationError(
            f"-o is where the picture of {names} goes, or the page of --html", "Add --schedule, say."
        )
    idle = [option for option, given in drawing.items() if given is not None]
    if idle and view not in DRAWN and (view != "--html" or idle != ["--theme"]):
        raise ConfigurationError(f"--theme, --size and --dpi are for the pictures of {names}", "Add --schedule, say.")
    for option, view_of, given in (
        *((option, "--schedule", given) for option, given in grid.items()),
        ("--at", "--arrows", at),
    ):
        if given is not None and view != view_of:
            raise ConfigurationError(f"{option} says something of {view_of} alone", f"Add {view_of}, or leave it out.")


def drawn_on(
    wanted: str, what: str, output: Path | None, theme: str | None, size: int | None, dpi: int | None
) -> Paper:
    """Return where the picture goes, which is not there yet, and how it is drawn."""
    out = choose_output(output, None, f"{Path(wanted).stem.replace(':', '-')}-{what}", PICTURES)
    paper = check_drawing(out, theme, size, dpi)
    refuse_existing(out)
    check_writable(out)
    return paper


def found_or_preset(wanted: str, where: Path) -> tuple[Found | None, str]:
    """Return what a NAME means and, for a preset nobody has trained, None and the preset's name."""
    preset = wanted.removeprefix("preset:")
    try:
        return find(wanted, where), preset
    except ToydiffError as error:
        if preset in preset_names():
            return None, preset  # its configuration is all there is
        if isinstance(error, ConfigurationError) and ":" not in wanted:
            known = [*NOUNS, *shipped_names(), *(run.name for run in run_folders(where))]
            raise ConfigurationError(error.message, did_you_mean(wanted, known)) from error
        raise


def refuse_data(found: Found, wanted: str) -> None:
    """Raise ConfigurationError: a data set has no network."""
    source = data_source(found.value, counted=found.kind == "exact")
    data = source.kind if source.path is None else shlex.quote(shown(f"{source.kind}:{source.path}"))
    raise ConfigurationError(
        f"`{shown(wanted)}` is {found.why}: there is no network to inspect",
        f"Look at it with: toydiff data stats {data}, toydiff data show {data}",
    )
