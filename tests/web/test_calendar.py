"""The calendar of the data page."""

from datetime import date

import pytest
from fastapi.testclient import TestClient

from mmoe.settings import Settings
from mmoe.web.calendar import months
from mmoe.web.lake_page import Day, read_lake


@pytest.mark.usefixtures("full_lake")
def test_every_state_has_its_tone(settings: Settings) -> None:
    (march,) = months(read_lake(settings).days)
    tones = {cell.day.day: cell.tone for week in march.weeks for cell in week if cell}
    assert [tones[day] for day in range(1, 8)] == [
        "expired", "held", "published", "missing", "quarantined", "warned", "unknown",
    ]  # fmt: skip
    assert (march.name, len(tones)) == ("March 2026", 31)


def test_weeks_begin_on_monday_and_months_have_no_gap() -> None:
    days = [Day(day=day, status="missing") for day in (date(2025, 12, 31), date(2026, 2, 1))]
    found = months(days)
    assert [month.name for month in found] == ["February 2026", "January 2026", "December 2025"]
    assert {len(week) for month in found for week in month.weeks} == {7}
    assert found[0].weeks[0].index(next(cell for cell in found[0].weeks[0] if cell)) == 6
    assert months([]) == []


@pytest.mark.usefixtures("full_lake")
def test_each_known_day_leads_to_its_row(client: TestClient) -> None:
    html = client.get("/data").text
    for day in range(1, 7):
        assert f'href="#day-2026-03-0{day}"' in html
        assert f'<tr id="day-2026-03-0{day}">' in html
    assert '6<span class="hidden">: 2026-03-06 published with warnings</span>' in html
