"""`make demo`, `make up`, `make down`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmoe.demo.run import run_demo
from mmoe.demo.serve import serve, stop
from mmoe.errors import MmoeError

HOME = Path("var/demo")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
Home = Annotated[Path, typer.Option(help="Folder of everything that the stack keeps.")]


@app.command()
def run(
    home: Home = HOME,
    data: Annotated[Path | None, typer.Option(help="A folder of engagement logs; default: simulated ads.")] = None,
    schema: Annotated[str | None, typer.Option(help="Its schema: a YAML file or a shipped name.")] = None,
    rows: Annotated[int, typer.Option(help="Simulated impressions a day.", min=1000)] = 50_000,
    airflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
) -> None:
    """The whole loop under a real Airflow; nothing is left running."""
    run_demo(home=home.absolute(), data=data, schema_file=schema, rows_per_day=rows, airflow_port=airflow_port)


@app.command()
def up(
    home: Home = HOME,
    airflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Start the stack in the background and leave it running."""
    serve(home=home.absolute(), airflow_port=airflow_port, mlflow_port=mlflow_port)


@app.command()
def down(home: Home = HOME) -> None:
    """Stop the stack."""
    stop(home=home.absolute())


def main() -> None:
    try:
        app(standalone_mode=False)
    except MmoeError as error:
        sys.exit(f"mmoe: {error}")
    except typer.Abort:
        sys.exit(130)
    except typer.Exit as request:
        sys.exit(request.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):
            print(f"mmoe: {error.format_message()}", file=sys.stderr)  # noqa: T201
            sys.exit(2)
        raise


if __name__ == "__main__":
    main()
