"""The command line. Each command here only reads its arguments and calls the module that does the work.

Modules are imported where they are used: `starwake token` need not load what `starwake up` needs.
"""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from starwake.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CliError
from starwake.cli.settings_help import WithSettings

DEFAULT_DATA = Path(".starwake")

app = typer.Typer(
    name="starwake",
    help="The asynchronous foundation of persistent-universe games.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[Path, typer.Option(envvar="STARWAKE_DATA", help="The stack's data directory.", file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"starwake {version('starwake')}")
        raise typer.Exit


def run() -> None:
    """The program `starwake`: runs one command and ends the process with its exit code."""
    code = 0
    try:
        app()  # ends in SystemExit, also where it was called wrongly (2) or interrupted
    except CliError as error:
        code = _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - what is not expected is raised again
        code = _expected(error)
    sys.exit(code)


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The asynchronous foundation of persistent-universe games."""


@app.command(rich_help_panel="The stack")
def up(  # noqa: PLR0913 - one an option
    *,
    port: Annotated[
        int, typer.Option(envvar="STARWAKE_PORT", min=0, max=65535, help="The page's; 0: a free one.")
    ] = 8080,
    host: Annotated[str, typer.Option(envvar="STARWAKE_HOST", help="The address that players reach.")] = "127.0.0.1",
    data: Data = DEFAULT_DATA,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Use a temporary directory, gone at the end.")] = False,
    gateways: Annotated[int, typer.Option(min=1, max=64, help="How many, on PORT, PORT+1, ...")] = 1,
    time_scale: Annotated[
        float, typer.Option(envvar="STARWAKE_TIME_SCALE", min=0.001, help="60: everything takes a 60th of its time.")
    ] = 1.0,
    nats_url: Annotated[
        str | None, typer.Option(envvar="STARWAKE_NATS_URL", help="Use this NATS instead of an own one.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(envvar="STARWAKE_DATABASE_URL", help="Use this Postgres instead of an own one.")
    ] = None,
    durable: Annotated[bool, typer.Option(help="Flush to the disk; off is for tests only.")] = True,
    sync_always: Annotated[bool, typer.Option("--sync-always", help="NATS flushes each message, too.")] = False,
) -> None:
    """Start the whole stack: NATS, Postgres, the services, the page. Ctrl-C ends it."""
    from starwake.cli.embedded.plan import UpOptions  # noqa: PLC0415
    from starwake.cli.embedded.ports import free_ports  # noqa: PLC0415
    from starwake.cli.services import refuse_bad_settings, refuse_unknown_settings  # noqa: PLC0415
    from starwake.cli.up import run_up  # noqa: PLC0415

    refuse_unknown_settings()
    refuse_bad_settings()
    options = UpOptions(
        port=port or free_ports(1, host)[0],
        host=host,
        gateways=gateways,
        time_scale=time_scale,
        nats_url=nats_url,
        database_url=database_url,
        durable=durable,
        sync_always=sync_always,
    )
    raise typer.Exit(run_up(options, data, ephemeral=ephemeral, console=Console(highlight=False)))


@app.command(rich_help_panel="The stack")
def status(*, as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Show each part of the running stack; the exit code is 0 where all are healthy, 3 where none runs."""
    from starwake.cli.status import as_lines, part_states  # noqa: PLC0415

    parts = _await(part_states(data))
    if as_json:
        _print_json({"parts": [part.as_json() for part in parts]})
    else:
        typer.echo("\n".join(as_lines(parts)))
    raise typer.Exit(0 if all(part.healthy for part in parts) else EXIT_FAILED)


@app.command(rich_help_panel="Players")
def token(
    player: Annotated[str, typer.Argument(help="The player's id.")],
    ttl: Annotated[str, typer.Option(help="How long it holds, e.g. 90s, 1h, 2d.")] = "1h",
    data: Data = DEFAULT_DATA,
) -> None:
    """Print a development token for a player, signed with the running stack's secret."""
    from starwake.cli.token import make_token  # noqa: PLC0415

    typer.echo(make_token(player, _duration(ttl), data))


@app.command(rich_help_panel="Players")
def play(
    *,
    player: Annotated[str, typer.Option(help="Who plays.")] = "captain",
    url: Annotated[str | None, typer.Option(envvar="STARWAKE_URL", help="The page; else the running stack's.")] = None,
    token: Annotated[str | None, typer.Option(envvar="STARWAKE_TOKEN", help="A token, instead of signing in.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Play in the terminal: orders, progress bars, pushes as they come."""
    from starwake.cli.play import play as play_in_terminal  # noqa: PLC0415
    from starwake.cli.sign_in import address_of, token_provider  # noqa: PLC0415

    address = url or address_of(data)
    provide = token_provider(address, player, data, token=token, own_stack=url is None)
    raise typer.Exit(_await(play_in_terminal(address, provide, player)))


@app.command(rich_help_panel="Operations")
def announce(  # noqa: PLR0913 - one an option
    event: Annotated[str, typer.Argument(help="Its dotted lower-case name, e.g. dragons.inbound.")],
    *,
    player: Annotated[str | None, typer.Option(help="To this player alone.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="To everybody.")] = False,
    at: Annotated[str | None, typer.Option(help="When: 'in 25h' or RFC 3339; now by default.")] = None,
    warn: Annotated[str | None, typer.Option(help="Warnings ahead of it, e.g. 25h,1h,5m.")] = None,
    then: Annotated[
        str | None, typer.Option(help="What is pushed at the time, after warnings; x.arrived after x.inbound.")
    ] = None,
    payload: Annotated[str | None, typer.Option(help="A JSON object that players get with it.")] = None,
    command_id: Annotated[
        str | None, typer.Option("--id", help="Makes it safe to repeat: the same id is carried out once.")
    ] = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Announce a world event to a player or to all, now or later, with warnings ahead."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from starwake.cli import announce as work  # noqa: PLC0415

    now = datetime.now(UTC)
    request = work.make_announcement(
        event,
        player=player,
        everybody=everybody,
        at=at,
        warn=warn,
        then=then,
        payload=payload,
        command_id=command_id,
        now=now,
    )
    for line in work.cautions(request, now):
        typer.echo(f"note: {line}", err=True)
    answer = _await(work.announce(request, data))
    _print_json(answer) if as_json else typer.echo("\n".join(work.described(answer)))


@app.command(rich_help_panel="Operations")
def unannounce(
    event_id: Annotated[str, typer.Argument(help="The event id that `announce` printed.")],
    *,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Take an announcement back: what was not told yet never is."""
    from starwake.cli.announce import cancel_announcement  # noqa: PLC0415

    answer = _await(cancel_announcement(event_id, data))
    if as_json:
        _print_json(answer)
    else:
        typer.echo(f"{len(answer['cancelled'])} pushes taken back")


@app.command(rich_help_panel="Operations")
def revoke(
    player: Annotated[str, typer.Argument(help="The player's id.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """End a player's sessions everywhere; tokens made until now hold no longer."""
    from starwake.cli.announce import revoke as end_sessions  # noqa: PLC0415

    at = _await(end_sessions(player, data))
    typer.echo(f"{player}'s tokens made until {at.isoformat(timespec='milliseconds')} hold no longer")


@app.command(rich_help_panel="Operations")
def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Compare the table with the alarms and the streams, and mend what differs."""
    from starwake.cli import reconcile as work  # noqa: PLC0415

    _quiet_logs()
    found = _await(work.reconcile(data, dry_run=dry_run, console=Console(stderr=True)))
    _print_json(found) if as_json else typer.echo("\n".join(work.described(found)))


@app.command("set-aside", rich_help_panel="Operations")
def set_aside(
    action: Annotated[Literal["list", "retry", "drop"], typer.Argument(help="What to do.")] = "list",
    ids: Annotated[list[int] | None, typer.Argument(help="Which, by the numbers that `list` shows.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that is set aside.")] = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Pushes that the stream could never take: list them, have them tried again, or drop them."""
    from starwake.cli import set_aside as work  # noqa: PLC0415

    found = _await(work.set_aside(action, ids or [], data, every=every))
    _print_json(found) if as_json else typer.echo("\n".join(work.described(found)))


@app.command(rich_help_panel="Operations")
def doctor(
    *,
    port: Annotated[int, typer.Option(envvar="STARWAKE_PORT", help="The page's, for a stack to come.")] = 8080,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Look at settings, servers, streams, schema and clocks, and say what to do; 1 where something is wrong."""
    from starwake.cli.doctor import examine  # noqa: PLC0415

    _quiet_logs()
    findings = _await(examine(data, port))
    wrong = any(finding.state == "wrong" for finding in findings)
    if as_json:
        _print_json({"ok": not wrong, "findings": [finding.as_json() for finding in findings]})
    else:
        console = Console(soft_wrap=True, highlight=False)
        for finding in findings:
            colour = {"ok": "green", "warning": "yellow", "wrong": "red"}[finding.state]
            console.print(f"[{colour}]{finding.state:<8}[/{colour}] {finding.name}: ", end="")
            console.print(finding.detail, markup=False)
            if finding.advice:
                console.print(f"         -> {finding.advice}", markup=False)
    raise typer.Exit(EXIT_FAILED if wrong else 0)


@app.command(cls=WithSettings, rich_help_panel="Services")
def gateway() -> None:
    """Run a gateway in the foreground: it holds the players' sockets."""
    from starwake.cli.services import serve  # noqa: PLC0415

    raise typer.Exit(serve("gateway"))


@app.command(cls=WithSettings, rich_help_panel="Services")
def command() -> None:
    """Run a command service in the foreground: it decides what players may do."""
    from starwake.cli.services import serve  # noqa: PLC0415

    raise typer.Exit(serve("command"))


@app.command(cls=WithSettings, rich_help_panel="Services")
def scheduler() -> None:
    """Run a scheduler in the foreground: it completes what is due."""
    from starwake.cli.services import serve  # noqa: PLC0415

    raise typer.Exit(serve("scheduler"))


@app.command(cls=WithSettings, rich_help_panel="Services")
def migrate(
    *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a database that is not there yet.")] = 0.0,
    data: Data = DEFAULT_DATA,
) -> None:
    """Bring the database's schema to what this version needs."""
    from starwake.cli.locate import locate  # noqa: PLC0415
    from starwake.cli.migration import migrate_when_there  # noqa: PLC0415

    state = migrate_when_there(locate(data).database_url, wait_s=wait, progress=typer.echo)
    typer.echo(state.described)


@app.command(cls=WithSettings, rich_help_panel="Services")
def provision(
    *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a NATS server that is not there yet.")] = 0.0,
) -> None:
    """Create NATS's streams, or repair what differs."""
    from starwake.cli.provision import provision_streams  # noqa: PLC0415
    from starwake.cli.services import refuse_unknown_settings  # noqa: PLC0415

    refuse_unknown_settings()
    _await(provision_streams(wait_s=wait, progress=typer.echo))


def _quiet_logs() -> None:
    """What libraries log goes to stderr, errors alone: a command says itself what it found."""
    from starwake.runtime.logs import configure_logs  # noqa: PLC0415

    configure_logs("cli", "error", "console")


def _duration(text: str) -> float:
    from starwake.cli.durations import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def _print_json(value: object) -> None:
    import json  # noqa: PLC0415

    typer.echo(json.dumps(value, indent=2))


def _await(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the work returns
    return asyncio.run(work)


def _complain(text: str, code: int) -> int:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("[red]starwake:[/red] ", end="")
    console.print(text, markup=False)
    return code


def _expected(error: Exception) -> int:
    """One line for what a person can mend; everything else is a fault of the program and shows itself whole."""
    from starwake.cli.embedded.errors import EmbeddedError  # noqa: PLC0415
    from starwake.runtime.errors import RuntimeFailure, SettingsError  # noqa: PLC0415

    if isinstance(error, SettingsError):
        return _complain(str(error), EXIT_USAGE)
    if isinstance(error, (EmbeddedError, RuntimeFailure)) or type(error).__module__ in {
        "starwake.bus.errors",
        "starwake.store.errors",
    }:
        return _complain(str(error), EXIT_FAILED)
    raise error


if __name__ == "__main__":
    run()
