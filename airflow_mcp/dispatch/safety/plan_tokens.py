"""Sealed plans: what a preview showed may be done once, soon, by the same caller, and nothing else may.

A plan is signed and short-lived and bound to tool, arguments, targets, caller, instance and Airflow's version. Which
plans were used is remembered behind `UsedPlanStore`, so that replicas can share it.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Protocol

from itsdangerous import BadData, BadSignature, SignatureExpired, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.errors import NotAllowedError, SettingsError
from airflow_mcp.http_tokens import hash_token

PLAN_SECONDS = 600
_LONGEST = 4096  # characters of a plan: those given have about 500


@dataclass(frozen=True)
class PlanBinding:
    """All that a plan is bound to."""

    tool: str
    arguments: str
    targets: str
    caller: str
    instance: str
    version: str  # of Airflow: what another one would do was not shown

    @classmethod
    def create(
        cls, tool: str, arguments: Json, targets: tuple[str, ...], caller: str, instance: str, version: str
    ) -> PlanBinding:
        """Bind to every argument but `dry_run`, which only says whether to show or to do it."""
        asked = {name: value for name, value in arguments.items() if name != "dry_run"}
        return cls(tool, _digest(asked), _digest(sorted(targets)), caller, instance, version)


class UsedPlanStore(Protocol):
    """Remembers plans that were used."""

    async def claim(self, plan_id: str, seconds: int) -> bool:
        """True the first time within `seconds`, False ever after: two claims at once give one True."""
        ...

    async def release(self, plan_id: str) -> None:
        """Undo a claim whose plan was not carried out."""
        ...


class InMemoryPlanStore:
    """The plans this process saw used; right for one process alone."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # in the order of their claims, and all for as long

    async def claim(self, plan_id: str, seconds: int) -> bool:
        """See UsedPlanStore."""
        now = time.monotonic()
        while self._until and self._until[oldest := next(iter(self._until))] <= now:
            del self._until[oldest]
        if plan_id in self._until:
            return False
        self._until[plan_id] = now + seconds
        return True

    async def release(self, plan_id: str) -> None:
        """See UsedPlanStore."""
        self._until.pop(plan_id, None)


class PlanTokens:
    """Seals and opens plans. The first of `keys` signs them and all open them.

    Without keys, plans of this process are good in this process alone.
    """

    def __init__(self, store: UsedPlanStore | None = None, keys: tuple[str, ...] = ()) -> None:
        """Raises SettingsError for keys without `store`: each process that shares them would use a plan up once
        more.
        """
        if keys and store is None:
            raise SettingsError(
                "A key for plans that several servers share needs a store of used plans that they share too: without "
                "one, a plan would be good once on each of them. Leave the key out, or name the store."
            )
        self.used = store or InMemoryPlanStore()
        self._key = keys[0].encode() if keys else secrets.token_bytes(32)
        self._serializer = URLSafeTimedSerializer(
            [*reversed(keys)] or self._key,  # the library signs with the last
            salt="airflow-mcp plan",
        )

    def seal(self, binding: PlanBinding) -> tuple[str, str]:
        """A new plan's id, and the text a caller presents."""
        plan_id = secrets.token_hex(8)
        return plan_id, str(self._serializer.dumps({"id": plan_id, **asdict(binding)}))

    def open(self, plan: str, binding: PlanBinding) -> str:
        """The plan's id. Raises NotAllowedError for one that is not ours, too old, or for something else."""
        try:
            _require_canonical(plan)
            sealed: Json = self._serializer.loads(plan, max_age=PLAN_SECONDS)
        except SignatureExpired:
            raise _build_refusal(f"is older than {PLAN_SECONDS // 60} minutes") from None
        except (BadData, UnicodeError):
            raise _build_refusal("is not one this server gave") from None
        try:
            plan_id = str(sealed.pop("id"))
            given = PlanBinding(**sealed)
        except (KeyError, TypeError):  # of a replica of another release, which binds plans otherwise
            raise _build_refusal("is not one this server gave") from None
        if given == binding:
            return plan_id
        if (given.tool, given.arguments) != (binding.tool, binding.arguments):
            raise _build_refusal(f"is for {given.tool} with other arguments")
        if (given.caller, given.instance) != (binding.caller, binding.instance):
            raise _build_refusal("was given to another caller or for another Airflow")
        if given.version != binding.version:
            raise _build_refusal(f"is for Airflow {given.version}, and this is Airflow {binding.version} now")
        raise _build_refusal("is for other targets: they changed since the preview")

    def digest(self, text: str) -> str:
        """A keyed digest (HMAC-SHA256, hexadecimal): what stands for a text that others might guess by trying."""
        return hmac.digest(self._key, b"airflow-mcp digest" + text.encode("utf-8", "surrogatepass"), "sha256").hex()

    async def use(self, plan_id: str) -> None:
        """Use a plan up. Raises NotAllowedError when it was used before."""
        if not await self.used.claim(plan_id, PLAN_SECONDS + 60):
            raise _build_refusal("was used already; a plan is good once")

    async def give_back(self, plan_id: str) -> None:
        """Make a used plan good again, since nothing came of it."""
        await self.used.release(plan_id)


def _require_canonical(plan: str) -> None:
    """Raises BadSignature for other characters than a plan was issued in.

    The payload is signed as text, and its signature is compared once decoded: spare bits of its last character, and
    characters outside the alphabet, would pass unseen (RFC 4648, 3.3 and 3.5).
    """
    signature = plan.rpartition(".")[2]
    if len(plan) > _LONGEST or not plan.isascii() or base64_encode(base64_decode(signature)).decode() != signature:
        raise BadSignature("not in the form of a plan")


def _build_refusal(why: str) -> NotAllowedError:
    return NotAllowedError(f"Nothing was done: this plan {why}. Call without plan for a new preview.")


def _digest(value: object) -> str:
    return hash_token(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))
