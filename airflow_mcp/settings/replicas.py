"""Settings that the processes of one server share: the key that seals plans, and the Redis that remembers them."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from airflow_mcp.settings.http import HttpSettings

_SHORTEST_KEY = 32  # characters
_SCHEMES = ("redis", "rediss", "unix")


class ReplicaSettings(HttpSettings):
    """The settings of several processes that answer for each other, checked against those of HTTP."""

    shared_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals plans and questions for all replicas, 32 characters or more; of a list, the first seals",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis where replicas share used plans and rates: redis://, rediss://, unix://",
    )

    @field_validator("shared_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr) -> SecretStr:
        keys = _split_keys(value)
        if value.get_secret_value() and not (keys and all(len(key) >= _SHORTEST_KEY for key in keys)):
            raise ValueError(f"must be {_SHORTEST_KEY} characters or more, and so must each of a list")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url:
            return value
        example = "must be an address such as redis://redis.example.com:6379/0 or unix:///run/redis.sock"
        try:
            parts = urlsplit(url)
            port_is_right = parts.port is None or parts.port > 0
        except ValueError:
            raise ValueError(example) from None
        location = parts.path if parts.scheme == "unix" else parts.hostname
        if parts.scheme not in _SCHEMES or not location or not port_is_right:
            raise ValueError(example)
        return value

    @model_validator(mode="after")
    def _share_what_they_must(self) -> Self:
        """Require a shared key together with Redis, and both with stateless sessions for several workers.

        Replicas that share the key alone would each accept a plan once; without the key they refuse each other's plans.
        """
        if self.shared_keys and not self.redis_url.get_secret_value():
            raise ValueError(
                "shared_key needs redis_url: without it a plan would be good once on each replica. Set both or leave "
                "the key out"
            )
        if self.http_workers > 1 and not self.http_stateless:
            raise ValueError(
                f"http_workers {self.http_workers} needs http_stateless: a session lives in one process, and its next "
                "call may reach another. Serve with --stateless or with one worker"
            )
        if self.http_workers > 1 and not self.shared_keys:
            raise ValueError(
                f"http_workers {self.http_workers} needs shared_key and redis_url: else a plan that one process gave "
                "is refused by the next. Set both or serve with one worker"
            )
        return self

    @property
    def shared_keys(self) -> tuple[str, ...]:
        """The keys: the first seals, all verify. Empty where nothing is shared."""
        return _split_keys(self.shared_key)


def _split_keys(value: SecretStr) -> tuple[str, ...]:
    return tuple(key.strip() for key in value.get_secret_value().split(",") if key.strip())
