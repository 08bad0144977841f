"""Seeded engagement logs of an imaginary ads system whose truth is known: how far from perfect a model is."""

from mmoe.simulate.config import HEADS, VIEW_TYPES, Faults, SimulatorConfig
from mmoe.simulate.day import SimulatedDay, simulate_day
from mmoe.simulate.log import LogSummary, read_truth, write_log

__all__ = [
    "HEADS",
    "VIEW_TYPES",
    "Faults",
    "LogSummary",
    "SimulatedDay",
    "SimulatorConfig",
    "read_truth",
    "simulate_day",
    "write_log",
]
