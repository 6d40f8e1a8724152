"""`headgate spool repair`: what a start would mend, said first, done on demand, nothing deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from headgate.cli.terminal import FAILED, both, site_path, tell

if TYPE_CHECKING:
    from headgate.spool.repair import Repair

app = typer.Typer()


@app.command(
    help=both(
        "Say what is lost and bring the spool into order.", "说明损失，并修复本地缓存（先预演）。"
    )
)
def repair(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help=both("Do it; else only say it.", "执行；否则仅预演。")),
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """The gateway must not run. Exit status 1 when something is lost."""
    from headgate import config
    from headgate.env import system_env
    from headgate.spool import State
    from headgate.spool import repair as mending

    env = system_env()
    folder = config.load(env, site_path(site)).state_folder
    state = State(env, folder / "state.db")
    sound = state.look()
    noted = state.noted()
    state.release()
    found = mending.repair(env, folder / "spool", noted, apply=apply)
    if form == "json":
        typer.echo(json.dumps(_as_json(found, state_sound=sound, applied=apply), indent=2))
    else:
        for step in found.steps:
            code = "HG-4060" if step.what == "write" else "HG-4061"
            tell(code, file=step.file, folder=mending.KEPT)
        for loss in found.losses:
            exact = loss.readings is not None
            readings = loss.readings if exact else "?"
            tell("HG-4062", log=loss.account.log, records=loss.records, readings=readings)
        if not sound:
            tell("HG-4026", folder=folder)
        tell("HG-4063" if apply else "HG-4064", records=found.records, steps=len(found.steps))
    if found.losses:
        raise typer.Exit(FAILED)


def _as_json(found: Repair, *, state_sound: bool, applied: bool) -> dict[str, object]:
    return {
        "applied": applied,
        "records": found.records,
        "steps": [msgspec.to_builtins(step) for step in found.steps],
        "losses": [
            {
                "log": loss.account.log, "reason": loss.reason.value, "records": loss.records,
                "readings": loss.readings, "devices": dict(loss.devices),
                "first_us": loss.first_us, "last_us": loss.last_us,
            }
            for loss in found.losses
        ],
        "state_sound": state_sound,
    }  # fmt: skip
