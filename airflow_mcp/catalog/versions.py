"""Airflow versions, the two REST generations, and the first versions that have something.

Generation `v1` is Airflow 2.x (`/api/v1`), `v2` is Airflow 3.x (`/api/v2`).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Generation = Literal["v1", "v2"]


class Version(NamedTuple):
    """A `major.minor` Airflow version; patch releases never change the API's shape."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read "3.1", "2.10.5" or "3.3.2+astro.1". Raises ValueError for anything else."""
        match = re.match(r"(\d+)\.(\d+)", text)
        if match is None:
            raise ValueError(f"{text!r} is not an Airflow version such as 3.1")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def generation(self) -> Generation:
        """The REST generation that this version serves."""
        return "v1" if self.major < 3 else "v2"


OLDEST: dict[Generation, Version] = {"v1": Version(2, 7), "v2": Version(3, 0)}


class Since(NamedTuple):
    """The first version of each generation that has something; None where the generation never has it.

    `last` is the last version of 3.x that has it, where a later one has dropped it.
    """

    v1: Version | None
    v2: Version | None
    last: Version | None = None

    @classmethod
    def parse(cls, mark: str) -> Since:
        """Read the part behind `@`.

        "2.10": since 2.10 and in all of 3.x.  "3.1": only in 3.x, since 3.1.  "2.10,3.2": both, each since its own.
        "3.0-3.0": only in 3.x, from the first to the last of these.  "v1", "v2": all supported versions of that
        generation alone.  "local": in neither, done by this server.
        Raises ValueError for anything else.
        """
        match mark.split(","):
            case ["local"]:
                return cls(None, None)
            case ["v1"]:
                return cls(OLDEST["v1"], None)
            case ["v2"]:
                return cls(None, OLDEST["v2"])
            case [text] if "-" in text:
                first, _, last = text.partition("-")
                return cls(None, Version.parse(first), Version.parse(last))
            case [text]:
                version = Version.parse(text)
                return cls(version, OLDEST["v2"]) if version.generation == "v1" else cls(None, version)
            case [first, second]:
                return cls(Version.parse(first), Version.parse(second))
            case _:
                raise ValueError(f"@{mark} names more than one version of each generation")

    def has(self, version: Version) -> bool:
        """Return whether this exists in the given version."""
        first = self.v1 if version.generation == "v1" else self.v2
        return first is not None and version >= first and (self.last is None or version <= self.last)

    def __str__(self) -> str:
        """Describe it for an error message: "Airflow 3.1 or newer", "Airflow 2.10 to 2.11"."""
        if self.v2 is None:
            return "Airflow 2.x" if self.v1 == OLDEST["v1"] else f"Airflow {self.v1} to 2.11"
        if self.last is not None:
            return f"Airflow {self.v2}" if self.last == self.v2 else f"Airflow {self.v2} to {self.last}"
        if self.v1 is None:
            return f"Airflow {self.v2} or newer"
        if self.v2 == OLDEST["v2"]:
            return f"Airflow {self.v1} or newer"
        return f"Airflow {self.v1} to 2.11, or {self.v2} and newer"


EVERYWHERE = Since(OLDEST["v1"], OLDEST["v2"])
LOCAL = Since(None, None)
