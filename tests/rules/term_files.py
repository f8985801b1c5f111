"""A shared cap and a campaign as YAML, made as a test needs them."""

from __future__ import annotations

TERMS = """
shared_caps:
- code: travel_day
  name_en: Travel in a day
  name_zh: 每日出行
  behaviours: [bus_trip, metro_trip]
  valid_from: "2026-01-01T00:00:00+08:00"
  window: day
  count: 3
campaigns:
- code: new_riders
  name_en: Welcome aboard
  name_zh: 新客乘车
  text_en: Ten credits on top of each ride in your first year.
  text_zh: 开户第一年内每次乘车另加10个积分。
  behaviours: [bus_trip]
  valid_from: "2026-06-01T00:00:00+08:00"
  valid_to: "2026-07-01T00:00:00+08:00"
  segment: {segment}
  bonus_millicredits: 10000
  priority: 1
  stacking: exclusive
  caps:
  - {{code: new_riders_day, window: day, millicredits: 15000}}
  samples:
  - behaviour: bus_trip
    attributes: {{distance_km: "5", ticket_reference: "T-1", fare_medium: qr}}
    local_date: {day}
    opened_on: {opened_on}
    amount_millicredits: 500
    bonus_millicredits: {bonus}
"""

NEW = "days_since_opening < 365"


def terms(
    segment: str = NEW,
    *,
    opened_on: str = "2026-01-01",
    day: str = "2026-06-15",
    bonus: int = 10_000,
) -> str:
    return TERMS.format(segment=f'"{segment}"', opened_on=opened_on, day=day, bonus=bonus)
