"""What replicas of one server remember together, in Redis: the plans that were used, and the calls of the last minute.

Keys hold digests, never an id or a name. While Redis does not answer, nothing that needs it is done.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow_mcp.errors import NotAllowedError, SettingsError
from airflow_mcp.tools.rates import WINDOW

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PREFIX = "airflow-mcp:"
_SECONDS = 5.0  # that Redis has to answer in
# One step for Redis, so that no two callers take the last place: times are Redis's own, in milliseconds.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    return oldest[2] + ARGV[2] - now
end
if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[1], now, ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""


class SharedMemory:
    """One Redis, as UsedPlans (tools/plan.py) and Calls (tools/rates.py). Opens its connections on first use."""

    def __init__(self, url: str) -> None:
        """`url` is redis://, rediss:// or unix://. Raises SettingsError without the library, or for another URL."""
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise SettingsError(
                "AIRFLOW_MCP_REDIS_URL needs the library for Redis: pip install 'airflow-mcp[redis]'."
            ) from None
        try:
            self._redis: Redis = Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        except ValueError:  # whose words may quote a part of a password
            raise SettingsError(
                "AIRFLOW_MCP_REDIS_URL is no address of a Redis, such as redis://:password@redis.example.com:6379/0; "
                "in a password / ? # @ and % are written as %2F %3F %23 %40 and %25."
            ) from None
        self._take = self._redis.register_script(_TAKE)

    async def claim(self, plan_id: str, seconds: int) -> bool:
        """See UsedPlans. Raises NotAllowedError while Redis does not answer."""
        async with _answering():
            return bool(await self._redis.set(_key("plan", plan_id), 1, nx=True, ex=seconds))

    async def release(self, plan_id: str) -> None:
        """See UsedPlans. Raises NotAllowedError while Redis does not answer."""
        async with _answering():
            await self._redis.delete(_key("plan", plan_id))

    async def wait(self, key: str, limit: int, *, count: bool) -> float:
        """See Calls. Raises NotAllowedError while Redis does not answer."""
        name = secrets.token_hex(8) if count else ""
        arguments = [limit, int(WINDOW * 1000), name]
        async with _answering():
            milliseconds: Any = await self._take(keys=[_key("calls", key)], args=arguments)
        return int(milliseconds) / 1000

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()


def _key(kind: str, name: str) -> str:
    return f"{_PREFIX}{kind}:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


@asynccontextmanager
async def _answering() -> AsyncGenerator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError):  # whose words may hold the address, and in it a password
        raise NotAllowedError(
            "Nothing was done: the Redis in which this server and its replicas remember used plans and counted calls "
            "(AIRFLOW_MCP_REDIS_URL) does not answer. Try again in a moment, or tell the operator of this server."
        ) from None
