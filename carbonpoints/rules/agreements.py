"""Agreements with other programmes about acts that both could credit (M14). Pure.

An agreement holds for whole months: the keys of acts belong to a month, and both sides must count it alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from carbonpoints.core.errors import Message

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}\Z")


@dataclass(frozen=True, kw_only=True)
class AgreementDefinition:
    """What is exchanged with one other programme; it holds no secret.

    `code`, `partner` and `known_as` stand in the files that are exchanged: both sides register the same.
    """

    code: str
    partner: str
    """What the other programme calls itself in its files."""
    partner_name_en: str
    partner_name_zh: str
    known_as: str
    """What this programme is called in files to the other one."""
    acts: tuple[str, ...]
    """Which acts, as behaviour types name them in their claims."""
    direction: Literal["import", "export", "both"]
    """`import`: the other's claims are checked here; `export`: ours are told to the other."""
    period: Literal["month"]
    normal_form: Literal["cn-act/1"]
    """How an act is written before it is keyed (`docs/exchange-normal-form.md`)."""
    key_reference: str
    """Names the shared secret in the configuration of every process."""
    consent_source: str
    """Code of the programme's consent source that covers this exchange and nothing else."""
    document: str
    """Reference of the agreement itself."""

    @property
    def imports(self) -> bool:
        """Whether the other's claims are checked here."""
        return self.direction != "export"

    @property
    def exports(self) -> bool:
        """Whether ours are told to the other."""
        return self.direction != "import"


def validate_agreement(agreement: AgreementDefinition) -> Iterator[tuple[str, Message]]:
    """Codes and names, that it covers something, and that nobody exchanges with themselves."""
    yield from _names(agreement)
    if agreement.partner == agreement.known_as:
        yield "partner", Message("must be another programme")
    if not agreement.acts:
        yield "acts", Message("must name at least one act")
    for code, times in Counter(agreement.acts).items():
        if times > 1:
            yield "acts", Message("%(code)s is given %(times)s times", code=code, times=times)


def _names(agreement: AgreementDefinition) -> Iterator[tuple[str, Message]]:
    for name in ("code", "consent_source"):
        value = getattr(agreement, name)
        if not _CODE.match(value):
            yield name, Message("%(code)s must be small letters, digits and underscores", code=repr(value))
    for name in ("partner", "known_as", "key_reference"):
        value = getattr(agreement, name)
        if not _NAME.match(value):
            yield name, Message("%(name)s must be letters, digits and any of . _ : -", name=repr(value))
    for name in ("partner_name_en", "partner_name_zh", "document"):
        if not getattr(agreement, name).strip():
            yield name, Message("must not be empty")
