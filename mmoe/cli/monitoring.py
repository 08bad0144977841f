"""Commands that watch the champion."""

import typer

from mmoe.cli.common import AsOf, PlanId, finish
from mmoe.steps.context import load_context

monitoring = typer.Typer()


@monitoring.command()
def monitor(plan_id: PlanId) -> None:
    """Test the champion on an incremental plan's fresh days, before it learns them."""
    from mmoe.steps.monitoring import monitor_step

    finish(monitor_step(load_context(), plan_id))


@monitoring.command()
def watch(as_of: AsOf) -> None:
    """Raise an alarm for a stale champion, a missed day, calibration that is off, or shifted predictions."""
    from mmoe.steps.monitoring import watch_step

    finish(watch_step(load_context(), as_of))
