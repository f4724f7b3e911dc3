"""Plan tokens: the change that a preview showed may be made once, soon, by the same caller, and no other change.

A plan is signed, valid for ten minutes, and bound to tool, arguments, targets, caller, instance and Airflow's version.
`UsedPlanStore` remembers the used plans, so that replicas can share them.
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
_LONGEST = 4096  # characters of a plan; issued ones have about 500


@dataclass(frozen=True)
class PlanBinding:
    """Everything that a plan is bound to."""

    tool: str
    arguments: str
    targets: str
    caller: str
    instance: str
    version: str  # of Airflow: the preview does not show what another version would do

    @classmethod
    def create(
        cls, tool: str, arguments: Json, targets: tuple[str, ...], caller: str, instance: str, version: str
    ) -> PlanBinding:
        """Bind to every argument but `dry_run`, which only chooses between a preview and the change."""
        bound_arguments = {name: value for name, value in arguments.items() if name != "dry_run"}
        return cls(tool, _digest(bound_arguments), _digest(sorted(targets)), caller, instance, version)


class UsedPlanStore(Protocol):
    """Store of the plans that were used."""

    async def claim(self, plan_id: str, seconds: int) -> bool:
        """Return True for the first claim within `seconds`, then False; of two claims at once one gets True."""
        ...

    async def release(self, plan_id: str) -> None:
        """Undo a claim whose change was not made."""
        ...


class InMemoryPlanStore:
    """The used plans of this process; right for one process alone."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # in the order of their claims, and so of their ends: all last equally long

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
    """Sealing and opening of plans. The first of `keys` signs them and every key opens them.

    Without keys, plans of this process are valid in this process alone.
    """

    def __init__(self, store: UsedPlanStore | None = None, keys: tuple[str, ...] = ()) -> None:
        """Use `keys`, or a random key without them.

        Raises SettingsError for keys without `store`: each process with these keys would accept a used plan once more.
        """
        if keys and store is None:
            raise SettingsError(
                "A key for plans that several servers share needs a store of used plans that they share too: without "
                "one, a plan would be good once on each of them. Leave the key out, or name the store."
            )
        self.used = store or InMemoryPlanStore()
        self._key = keys[0].encode() if keys else secrets.token_bytes(32)
        self._serializer = URLSafeTimedSerializer(
            [*reversed(keys)] or self._key,  # itsdangerous signs with the last one
            salt="airflow-mcp plan",
        )

    def seal(self, binding: PlanBinding) -> tuple[str, str]:
        """Return a new plan's id, and the text that a caller presents."""
        plan_id = secrets.token_hex(8)
        return plan_id, str(self._serializer.dumps({"id": plan_id, **asdict(binding)}))

    def open(self, plan: str, binding: PlanBinding) -> str:
        """Return the plan's id.

        Raises NotAllowedError for a plan that this server did not issue, that is too old, or that is for something
        else.
        """
        try:
            _require_canonical(plan)
            sealed: Json = self._serializer.loads(plan, max_age=PLAN_SECONDS)
        except SignatureExpired:
            raise _build_refusal(f"is older than {PLAN_SECONDS // 60} minutes") from None
        except (BadData, UnicodeError):
            raise _build_refusal("is not one this server gave") from None
        try:
            plan_id = str(sealed.pop("id"))
            sealed_binding = PlanBinding(**sealed)
        except (KeyError, TypeError):  # from a replica of another release with other bindings
            raise _build_refusal("is not one this server gave") from None
        if sealed_binding == binding:
            return plan_id
        if (sealed_binding.tool, sealed_binding.arguments) != (binding.tool, binding.arguments):
            raise _build_refusal(f"is for {sealed_binding.tool} with other arguments")
        if (sealed_binding.caller, sealed_binding.instance) != (binding.caller, binding.instance):
            raise _build_refusal("was given to another caller or for another Airflow")
        if sealed_binding.version != binding.version:
            raise _build_refusal(f"is for Airflow {sealed_binding.version}, and this is Airflow {binding.version} now")
        raise _build_refusal("is for other targets: they changed since the preview")

    def digest(self, text: str) -> str:
        """Return a keyed digest (HMAC-SHA256, hexadecimal) in place of a text that others might guess by trying."""
        return hmac.digest(self._key, b"airflow-mcp digest" + text.encode("utf-8", "surrogatepass"), "sha256").hex()

    async def use(self, plan_id: str) -> None:
        """Use a plan up. Raises NotAllowedError when it was used before."""
        if not await self.used.claim(plan_id, PLAN_SECONDS + 60):
            raise _build_refusal("was used already; a plan is good once")

    async def give_back(self, plan_id: str) -> None:
        """Make a used plan valid again, since its change was not made."""
        await self.used.release(plan_id)


def _require_canonical(plan: str) -> None:
    """Raise BadSignature for a plan in other characters than it was issued in.

    The payload is signed as text, and its signature is compared once decoded: spare bits of its last character, and
    characters outside the alphabet, would pass unnoticed (RFC 4648, 3.3 and 3.5).
    """
    signature = plan.rpartition(".")[2]
    if len(plan) > _LONGEST or not plan.isascii() or base64_encode(base64_decode(signature)).decode() != signature:
        raise BadSignature("not in the form of a plan")


def _build_refusal(why: str) -> NotAllowedError:
    return NotAllowedError(f"Nothing was done: this plan {why}. Call without plan for a new preview.")


def _digest(value: object) -> str:
    return hash_token(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))
