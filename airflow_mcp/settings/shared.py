"""What several processes of one server share: the keys that seal what they give, and the Redis that remembers it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

_SHORTEST_KEY = 32  # characters
_SCHEMES = ("redis://", "rediss://", "unix://")


class SharedSettings(BaseModel):
    """For replicas; a single process needs neither."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals plans and questions for all replicas: 32 characters or more; of several, the first seals",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""), description="Redis in which replicas remember used plans and counted calls"
    )

    @field_validator("shared_key")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if any(len(key) < _SHORTEST_KEY for key in _keys(value)):
            raise ValueError(f"must have {_SHORTEST_KEY} characters or more, such as `openssl rand -hex 32` gives")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and not text.startswith(_SCHEMES):
            raise ValueError(f"must start with {', '.join(_SCHEMES)}")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if bool(self.keys) != bool(self.redis_url.get_secret_value()):
            raise ValueError(
                "shared_key and redis_url go together: without the store a plan would be good once on every replica, "
                "and without the key on no other. Set both or neither"
            )
        return self

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The first seals, all are accepted: so a key can be replaced without a plan being lost."""
        return tuple(key.encode() for key in _keys(self.shared_key))


def _keys(value: SecretStr) -> list[str]:
    return [key.strip() for key in value.get_secret_value().split(",") if key.strip()]
