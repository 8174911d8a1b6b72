"""What a configuration means, in facts and in words: the network layer by layer, the schedule, the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toydiff.cli.configure import to_toml
from toydiff.cli.nouns import entries
from toydiff.cli.tables import table
from toydiff.cli.talk import Talk
from toydiff.files import shown

if TYPE_CHECKING:
    from toydiff.config import Run


def describe(run: Run) -> dict[str, Any]:
    """Return what a configuration means: network, schedule, data, sampling."""
    from toydiff.networks.cost import parts, reach

    network = run.build("meta").network
    layers, seen = parts(network, run.input_shape), reach(network, run.input_shape)
    return {
        "config": run.model_dump(mode="json"),
        "network": {
            "kind": run.network.kind,
            "input": list(run.input_shape),
            "layers": [layer._asdict() for layer in layers],
            "parameters": sum(layer.parameters for layer in layers),
            "macs": sum(layer.macs for layer in layers),
            "receptive_field": None if seen is None else seen.pixels,
            "attention": seen is not None and seen.attention,
        },
        "schedule": schedule_facts(run),
        "steps": run.total_steps,
    }


def schedule_facts(run: Run) -> dict[str, Any]:
    """Return what is left of the data at t = 1, and the smallest and largest β, where there are any."""
    from toydiff.viz.curves import schedule_summary

    end, betas = run.schedule(1.0), {}
    if run.schedule.variance == "preserving":
        beta = run.schedule.beta_curve()[1]
        betas = {"beta_min": float(beta[beta.isfinite()].min()), "beta_max": float(beta[beta.isfinite()].max())}
    return {
        "kind": run.schedule.kind,
        "alpha_bar_T": float(end.alpha**2),
        "terminal_snr": float(end.snr),
        "terminal_snr_of_data": float(end.snr) * run.sigma_data**2,
        **betas,
        "words": schedule_summary(run.schedule),
    }


def network_text(facts: dict[str, Any]) -> str:
    """Return the network in words, a row a layer."""
    network = facts["network"]
    rows = [
        (row["name"], row["kind"], " × ".join(map(str, row["shape"])), f"{row['parameters']:,}", _count(row["macs"]))
        for row in network["layers"]
    ]
    rows.append(
        ("in all", f"{network['kind']}, for one sample", "", f"{network['parameters']:,}", _count(network["macs"]))
    )
    made = table(("layer", "kind", "output", "parameters", "multiply–accumulates"), rows)
    return f"{made}\n\nreceptive field: {_sight(network)}"


def _sight(network: dict[str, Any]) -> str:
    """Return in words what an output depends on."""
    if (pixels := network["receptive_field"]) is None:
        return "all of x: every layer is dense"
    height, width = network["input"][1:]
    words = f"{pixels} × {pixels} pixels through convolutions, in an image of {height} × {width}"
    return f"{words};\n  attention sees all of it" if network["attention"] else words


def _count(number: int) -> str:
    """Return a count for people: 256, 16.4 k, 20.9 M, 1.35 G."""
    size, unit = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}".rstrip()


def text_of(run: Run, facts: dict[str, Any]) -> str:
    """Return all there is to say of a configuration, and of its checkpoint if it has one."""
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
    parts.append(network_text(facts))
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
