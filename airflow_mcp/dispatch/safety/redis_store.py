"""Store that replicas share in Redis: the plans that were used, and the recent calls of each caller.

Keys are digests behind a prefix, so that Redis holds no id, name or argument in clear. They do not depend on the shared
key: while it is rotated, replicas with different keys must still find the same used plan. While Redis does not answer,
every method refuses: a plan that might be used twice, or calls that nobody counts, would not be limited at all.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow_mcp.dispatch.safety.rate_limits import WINDOW
from airflow_mcp.errors import NotAllowedError, SettingsError
from airflow_mcp.http_tokens import hash_token
from airflow_mcp.throttle import Throttle

if TYPE_CHECKING:
    from redis.asyncio import Redis

_throttle = Throttle(logging.getLogger(__name__))
_SECONDS = 3.0  # time that Redis has to answer
_PREFIX = "airflow-mcp:"

# One script, since Redis runs it as a whole: two calls at the same moment cannot both be the last one allowed.
# Times are whole microseconds, by Redis's own clock unless one is given: those of replicas differ.
# KEYS: the calls of one caller. ARGV: limit, window, name of this call ("" counts nothing), now or "".
# Returns 0 where the call fits, else the microseconds until one does.
_TAKE = """
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local window = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return tonumber(oldest[2]) + window - now
end
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
end
return 0
"""


class RedisStore:
    """Used plans (plan_tokens.UsedPlanStore) and counted calls (rate_limits.CallCounter) of all replicas."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        """Prepare a client that connects on first use; `clock` gives seconds, by default Redis's own.

        Raises SettingsError where `url` cannot be read or the library is missing.
        """
        self._redis = _make_client(url)
        self._clock = clock

    async def claim(self, plan_id: str, seconds: int) -> bool:
        """See UsedPlanStore. Raises NotAllowedError while Redis does not answer."""
        async with _translate_errors():
            return bool(await self._redis.set(_make_key("plan", plan_id), 1, nx=True, ex=seconds))

    async def release(self, plan_id: str) -> None:
        """See UsedPlanStore. Raises NotAllowedError while Redis does not answer."""
        async with _translate_errors():
            await self._redis.delete(_make_key("plan", plan_id))

    async def wait(self, whose: str, limit: int, *, count: bool) -> float:
        """See CallCounter. Raises NotAllowedError while Redis does not answer."""
        name = secrets.token_hex(8) if count else ""
        now = "" if self._clock is None else round(self._clock() * 1e6)
        async with _translate_errors():
            answer: Any = self._redis.eval(_TAKE, 1, _make_key("rate", whose), limit, round(WINDOW * 1e6), name, now)
            return int(await answer) / 1e6

    async def require_reachable(self) -> None:
        """See CallCounter. Raises NotAllowedError while Redis does not answer."""
        async with _translate_errors():
            answer: Any = self._redis.ping()
            await answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _make_client(url: str) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise SettingsError(
            "AIRFLOW_MCP_REDIS_URL needs the extra redis, which is not installed here. In a checkout of this server: "
            "pip install '.[redis]'."
        ) from None
    try:
        # No retry: a claim whose answer was lost would then look like one by another replica.
        no_retry = Retry(NoBackoff(), 0)
        return Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, retry=no_retry)
    except ValueError:
        raise SettingsError(
            "AIRFLOW_MCP_REDIS_URL cannot be read: it must be an address such as redis://redis.example.com:6379/0."
        ) from None


@asynccontextmanager
async def _translate_errors() -> AsyncGenerator[None]:
    """Turn an error of Redis into a NotAllowedError, whose sentence holds no address or password."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        _throttle.warn("redis", f"AIRFLOW_MCP_REDIS_URL: Redis does not answer ({error}), so changes are refused.")
        raise NotAllowedError(
            f"Nothing was done: what replicas share is not to be had (Redis: {type(error).__name__}), and this call "
            "needs it. Try again in a minute, or tell the operator of this server."
        ) from error


def _make_key(kind: str, text: str) -> str:
    return f"{_PREFIX}{kind}:{hash_token(text)}"
