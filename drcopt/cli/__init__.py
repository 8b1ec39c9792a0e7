"""The command line. Commands import what they need when they run, so that ``--help`` and errors are quick."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from drcopt.cli.check import check
from drcopt.cli.edge import edge
from drcopt.cli.explore import explore
from drcopt.cli.options import Ended
from drcopt.cli.options import parse_grid as parse_grid
from drcopt.cli.plot import export, plot
from drcopt.cli.restore import restore
from drcopt.cli.solve import solve
from drcopt.cli.surface import surface
from drcopt.cli.sweep import SWEEP_LOSSES as SWEEP_LOSSES
from drcopt.cli.sweep import SWEEP_RATES as SWEEP_RATES
from drcopt.cli.sweep import SWEEP_TIME_LIMIT as SWEEP_TIME_LIMIT
from drcopt.cli.sweep import default_losses as default_losses
from drcopt.cli.sweep import default_rates as default_rates
from drcopt.cli.sweep import sweep
from drcopt.cli.validate import validate
from drcopt.errors import DrcoptError, InfeasibleError, NotSolvedError, OutputError


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 (not solved or not written), 2 (bad input) or 130 (interrupted)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(None if args is None else list(args), prog_name="drcopt", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Ended as end:
        return _say(end, str(end), end.code)
    except (BrokenPipeError, _PipeClosed):
        # The reader has left; point stdout elsewhere, or Python complains when it flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except click.Abort as error:
        return _say(error, "interrupted", 130)
    except click.UsageError as error:
        hint = f" Try '{error.ctx.command_path} --help'." if error.ctx else ""
        return _say(error, error.format_message() + hint, 2)
    except (InfeasibleError, NotSolvedError, OutputError) as error:
        return _say(error, str(error), 1)
    except DrcoptError as error:
        return _say(error, str(error), 2)
    except Exception as error:  # the promise is one line, whatever happens
        hint = "set DRCOPT_DEBUG=1 to see where"
        return _say(error, f"{type(error).__name__}: {error} ({hint})", 1)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line first
            raise Ended("interrupted", 130) from None
        except BrokenPipeError:  # click would exit with 1
            raise _PipeClosed from None


class _PipeClosed(Exception):
    """The reader of stdout has left."""


def _say(error: BaseException, message: str, code: int) -> int:
    expected = isinstance(error, (DrcoptError, click.ClickException, click.Abort, Ended))
    if os.environ.get("DRCOPT_DEBUG") and not expected:
        traceback.print_exception(error)
    print(f"drcopt: error: {' '.join(message.split())}", file=sys.stderr)
    return code


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context, version: bool) -> None:
    """Distortion-rate-classification tradeoffs of discrete sources, with proofs.

    SOURCE is a name (see: drcopt sources), perhaps with parameters, such as bernoulli:px=0.3,p1=0.1; a .npz or .json
    file with px, py, ps_given_x and d; a .csv of samples, with --x and --s; or - for JSON (or CSV) on stdin.

    Exit codes: 0 answered, 1 not solved or not written, 2 wrong input, 130 interrupted.

    \b
    Examples:
      drcopt sweep digits:super-resolution --out digits.csv
      drcopt solve bernoulli --R 0.3 --C 0.9
    """
    if version:
        from drcopt.sweep import version as version_of

        click.echo(f"drcopt {version_of('drcopt')}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (check, edge, explore, export, plot, restore, solve, surface, sweep, validate):
    cli.add_command(command)


@cli.command()
def sources() -> None:
    """List the named sources.

    \b
    Example:
      drcopt sources
    """
    from drcopt import sources

    width = max(map(len, sources.NAMES))
    for name, description in sources.NAMES.items():
        click.echo(f"{name:{width}}  {description}")
