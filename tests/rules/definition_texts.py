"""A right factor, and a right behaviour with its rule, for tests to spoil."""

from __future__ import annotations

FACTOR = """\
factors:
- code: BUS
  name_en: Bus
  name_zh: 公交
  value: "26.9"
  unit: g/person_km
  quantity: reduction
  region: CN-GD
  data_year: 2022
  source_title: A newspaper
  source_address: https://example.org/bus
  grade: B
  use: reduction
  valid_from: 2022-09-23
"""

BEHAVIOUR = """\
behaviour:
  code: bus_trip
  name_en: Bus trip
  name_zh: 公交出行
  behaviour_class: travel
  consent_source: trips
  attributes:
    distance_km: {type: number, unit: person_km, required: true, min: "0.1", max: "60", decimals: 3, name_en: A, name_zh: 甲}
    ticket: {type: text, required: true, max_length: 64, name_en: B, name_zh: 乙}
    line: {type: text, max_length: 8, name_en: C, name_zh: 丙}
    paid: {type: flag, default: true, name_en: D, name_zh: 丁}
    fares: {type: number, unit: transaction, default: "1", name_en: E, name_zh: 戊}
    started_at: {type: instant, required: true, name_en: F, name_zh: 己}
    ended_at: {type: instant, required: true, name_en: G, name_zh: 庚}
  evidence: [ticket]
  claim:
    act: transport_trip
    fields: [ticket]
    interval: [started_at, ended_at]
  specificity: 20
rule:
  code: bus_trip
  behaviour: bus_trip
  title_en: Bus
  title_zh: 公交
  basis_en: Basis
  basis_zh: 依据
  methodology:
    applicability_en: A
    applicability_zh: 甲
    additionality_en: A
    additionality_zh: 甲
    baseline_scenario_en: A
    baseline_scenario_zh: 甲
    leakage_en: A
    leakage_zh: 甲
    uncertainty_en: A
    uncertainty_zh: 甲
    double_counting_en: A
    double_counting_zh: 甲
    monitoring:
    - {data: [distance_km, ticket], source_en: A, source_zh: 甲}
    author: A
    document: A
  valid_from: "2024-01-01T00:00:00+08:00"
  valid_to: "2025-01-01T00:00:00+08:00"
  factors: [BUS]
  counters:
    trips_today: {measure: count, window: day}
  eligibility:
  - {code: paid, when: "paid", text_en: A, text_zh: 甲}
  - {code: few, when: "trips_today < 4", text_en: B, text_zh: 乙}
  baseline: "distance_km * BUS"
  project: "0"
  leakage: "0"
  purpose: reduction
  credits: {millicredits_per_mg: "0.5", grant_millicredits: 7}
  caps:
  - {code: trips, window: day, count: 6}
  expiry_months: 24
  samples:
  - attributes: {distance_km: "5", ticket: t, started_at: "2024-01-01T08:00:00+08:00", ended_at: "2024-01-01T09:00:00+08:00"}
    counters: {trips_today: 3}
    reduction_mg: 134500
    millicredits: 67257
  ineligible_samples:
  - attributes: {distance_km: 5, ticket: t, started_at: "2024-01-01T08:00:00+08:00", ended_at: "2024-01-01T09:00:00+08:00"}
    counters: {trips_today: 4}
    reason: few
"""
