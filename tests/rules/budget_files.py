"""Budgets as YAML, made as a test needs them."""

from __future__ import annotations

BUDGET = """budgets:
- code: {code}
  name_en: All credits
  name_zh: 全部积分
  period: {period}
  valid_from: {valid_from}
"""


def budget(
    code: str = "everything", period: str = "month", valid_from: str = "2026-01-01", **more: object
) -> str:
    lines = [f"  {name}: {value}\n" for name, value in more.items()]
    return BUDGET.format(code=code, period=period, valid_from=valid_from) + "".join(lines)
