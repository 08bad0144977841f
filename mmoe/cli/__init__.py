"""One command a pipeline step: what the DAGs, dvc.yaml and a person at a shell all call.

Every command prints for a person and ends with one JSON line. Exit 0: done. 1: refused or failed, the reason on stderr.
2: usage. `mmoe gate` alone also exits with 3: fail, and 4: inconclusive.
"""

import json
import sys

import typer

from mmoe.cli.benchmarks import benchmarks
from mmoe.cli.data import data
from mmoe.cli.experiments import experiments
from mmoe.cli.gate import gate
from mmoe.cli.governance import governance
from mmoe.cli.models import models
from mmoe.cli.monitoring import monitoring
from mmoe.cli.quarantine import quarantine
from mmoe.cli.release import release
from mmoe.cli.training import training
from mmoe.errors import MmoeError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="The steps of mmoe.")
for commands in (data, governance, training, experiments, gate, release, monitoring, models, benchmarks):
    app.registered_commands += commands.registered_commands
    app.registered_groups += commands.registered_groups
app.add_typer(quarantine, name="quarantine")


def main() -> None:
    """Run a command; errors go to stderr in one line, and to the closing JSON line for whoever scripts it."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except MmoeError as error:
        fail(str(error), type(error).__name__, 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), "UsageError", 2)


def fail(message: str, kind: str, code: int) -> None:
    print(f"mmoe: {message}", file=sys.stderr)  # noqa: T201
    typer.echo(json.dumps({"error": message, "kind": kind}))
    sys.exit(code)
