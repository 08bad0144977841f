"""Numbers and times as a person reads them."""

import math
from datetime import datetime

NONE = "\N{EN DASH}"


def count(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def size(number: float) -> str:
    """Bytes in the largest unit that leaves at least 1."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 100 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}"


def signed_percent(share: float | None) -> str:
    if share is None or not math.isfinite(share):
        return NONE
    return f"{share:+.2%}".replace("-", "\N{MINUS SIGN}")


def moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def figure(value: float | None, digits: int = 4) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
