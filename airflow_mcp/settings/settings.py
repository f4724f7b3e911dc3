"""Everything an operator may decide (TOML file + environment), read once, frozen.

Each setting is a field here, `AIRFLOW_MCP_<NAME>` in the environment and the lower-case name in the TOML file that
AIRFLOW_MCP_CONFIG names. The environment wins.
"""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from airflow_mcp.errors import SettingsError, choose_error
from airflow_mcp.settings.connection import PREFIX, Connection, Instance
from airflow_mcp.settings.http import Names, Token
from airflow_mcp.settings.oauth_issuer import OAuthIssuer
from airflow_mcp.settings.replicas import ReplicaSettings
from airflow_mcp.toml_lines import find_line, name_rule

_ELSEWHERE = frozenset({"CONFIG", "DEMO_HOME"})  # variables that are not fields
# Tables, which a variable would replace instead of adding to them.
FILE_ONLY = frozenset({"policy", "instances", "tokens", "oauth", "headers"})
_RULES = frozenset({"allow", "deny"})  # of an instance
_RUN_TIME = frozenset({"allow", "policy", "tokens", "instances"})  # what a reload may change; of instances, their rules
Place = tuple[str | int, ...]
LogFormat = Literal["text", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Settings(Connection, ReplicaSettings):
    """The operator's decisions. Build it with `read_settings`, which turns what is wrong into one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: Names = Field(
        default=(), description="What may be changed: tool names, globs, @write @destructive @admin; @secret"
    )
    toolsets: Names = Field(default=(), description="Toolsets and tools to list, or all; listing is not permission")
    max_chars: int = Field(default=100_000, ge=1_000, le=10_000_000, description="Ceiling of an answer, in characters")
    audit: str = Field(default="", description="File that gets JSON lines about every call; - is stderr")
    log_format: LogFormat = Field(default="text", description="How stderr is written: text, or json (an object a line)")
    log_level: LogLevel = Field(default="WARNING", description="From which level on: DEBUG, INFO, WARNING, ERROR")
    policy: dict[str, Any] = Field(default={}, description="Permission rules (TOML only): docs/permissions.md")
    instances: dict[str, Instance] = Field(default={}, description="Several Airflows (TOML only): docs/permissions.md")
    _file: tuple[str, str] = PrivateAttr(default=("", ""))  # name and text of the file that rules were read from

    @model_validator(mode="after")
    def _has_one_way_to_airflow(self) -> Settings:
        alone = sorted(self.model_fields_set & Connection.model_fields.keys())
        if self.instances and alone:
            raise ValueError(f"{' and '.join(alone)} would be for a single Airflow: put it into each [instances.NAME]")
        return self

    @model_validator(mode="after")
    def _knows_who_is_to_be_itself_at_airflow(self) -> Settings:
        identities = {one.identity for one in self.connections.values()}
        if "exchange" in identities and self.oauth is None:
            raise ValueError('identity = "exchange" is for access tokens of an OAuth issuer: name it under [oauth]')
        if "caller" in identities and not (self.tokens or self.oauth):
            raise ValueError(
                'identity = "caller" is for callers over HTTP who say who they are: write [tokens.NAME] or [oauth]'
            )
        return self

    @property
    def connections(self) -> dict[str, Connection]:
        """Every Airflow by name; a single one is called default."""
        return dict(self.instances) or {"default": self}

    def map_names(self, instance: str) -> dict[str, str]:
        """What is set for an Airflow in the file, by the variable that would be it for a single one."""
        names = {name: f"{PREFIX}{name.upper()}" for name in Connection.model_fields}
        if self.instances:
            return {variable: f"instances.{instance}.{name}" for name, variable in names.items()}
        file = self._file[0]
        in_file = (name for name in names if file and name in self.model_fields_set and not os.environ.get(names[name]))
        return {names[name]: f"{name} in {file}" for name in in_file}

    def replace_rules(self, other: Settings) -> Settings:
        """These settings with the rules and tokens of others.

        Raises SettingsError where those are about other Airflows or callers than are served.
        """
        here, there = self._list_rule_subjects, other._list_rule_subjects
        if here != there:
            changed = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
            raise SettingsError(
                f"They are for others than are served, since what differs is {', '.join(changed)}: a restart is needed."
            )
        instances = {
            name: one.model_copy(update={rule: getattr(other.instances[name], rule) for rule in _RULES})
            for name, one in self.instances.items()
        }
        settings = self.model_copy(
            update={"allow": other.allow, "policy": other.policy, "tokens": other.tokens, "instances": instances}
        )
        return settings.with_file(*other._file)

    def with_file(self, name: str, text: str) -> Self:
        """The same settings, whose rules stand in a file of that name and text."""
        self._file = Path(name).name, text
        return self

    @property
    def _list_rule_subjects(self) -> dict[str, object]:
        """By setting, what a rule means by a name: an Airflow by its address, a caller by the issuer's claims."""
        addresses = {f"instances.{name}": one.url for name, one in self.instances.items()}
        return {"url": self.url, "oauth": self.oauth, **addresses}

    def list_differences(self, other: Settings) -> list[str]:
        """The names of settings that differ and that no reload changes, as they are written in the file."""
        names = [name for name in type(self).model_fields if name not in _RUN_TIME]
        differing = [name for name in names if getattr(self, name) != getattr(other, name)]
        for instance, one in self.instances.items():
            keys = (key for key in type(one).model_fields if key not in _RULES)
            differing += [
                f"instances.{instance}.{key}"
                for key in keys
                if getattr(one, key) != getattr(other.instances[instance], key)
            ]
        return differing

    def locate(self, error: SettingsError) -> SettingsError:
        """The same error with the rule's name as the operator knows it, and with file and line if it is in the file."""
        place, written = self._place(error.path)
        text = str(error).replace(name_rule(error.path), name_rule(written or error.path), 1)
        return _add_location(SettingsError(text, (*written, *error.path[len(place) :])))

    def name_rule(self, path: Place) -> str:
        """What everybody is told of a rule of the whole policy (see `rules`): where its operator wrote it.

        "deny rule 1 (airflow-mcp.toml, line 12)", "staging: allow rule 1 (...)", "AIRFLOW_MCP_ALLOW". The file is
        named without its folder.
        """
        written = self._place(path)[1]
        file, text = self._file
        line = find_line(text, written) if text and written else None
        return f"{name_rule(written or path)} ({file}, line {line})" if line else name_rule(written or path)

    def _place(self, path: Place) -> tuple[Place, Place]:
        """A rule's place in the whole policy (see `rules`), and where the operator wrote it."""
        match path:
            case ("policy", "allow" | "deny" as kind, int(index), *_):
                own = index - len(self.policy.get(kind, ()))
                if own < 0:
                    return path[:3], path[:3]
                for name, one in self.instances.items():
                    if 0 <= own < len(getattr(one, kind)):
                        return path[:3], ("instances", name, kind, own)
                    own -= len(getattr(one, kind))
            case (variable, *_) if variable == f"{PREFIX}ALLOW" and variable not in os.environ:
                return path[:1], ("allow",)
            case _:
                pass
        return (), ()

    @property
    def rules(self) -> dict[str, Any]:
        """The policy table, with the rules of each instance."""
        table = dict(self.policy)
        for kind in ("allow", "deny"):
            own = [{**rule, "instances": [name]} for name, one in self.instances.items() for rule in getattr(one, kind)]
            if own:
                table[kind] = [*table.get(kind, []), *own]
        return table


def _write_stderr(sentence: str) -> None:
    sys.stderr.write(f"airflow-mcp: {sentence}\n")


def read_settings(say: Callable[[str], object] = _write_stderr, /, **options: Any) -> Settings:
    """Read the environment and the file AIRFLOW_MCP_CONFIG names; what a command line `options` wins, but for None.

    `say` is told of an unknown AIRFLOW_MCP_* variable. Raises SettingsError, one sentence, for anything wrong.
    """
    for sentence in unknown_variables(os.environ):
        say(sentence)
    for name in sorted(FILE_ONLY):
        if os.environ.get(f"{PREFIX}{name.upper()}"):
            raise SettingsError(
                f"{PREFIX}{name.upper()} is no variable: write {name} into the file {PREFIX}CONFIG names."
            )
    file = os.environ.get(f"{PREFIX}CONFIG", "")
    if file and not Path(file).is_file():
        raise SettingsError(f"{PREFIX}CONFIG names no file: {file}.")
    try:
        text = Path(file).read_text(encoding="utf-8") if file else ""
        given = {name: value for name, value in options.items() if value is not None}
        return Settings(**(_read_sources(text) | given)).with_file(file, text)
    except OSError as error:
        raise SettingsError(f"{PREFIX}CONFIG: {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from None
    except ValidationError as error:
        raise _add_location(SettingsError(_describe_error(error, file), choose_error(error.errors())["loc"])) from None


def _read_sources(text: str) -> dict[str, Any]:
    """What the file says, and over it the environment, where an empty variable says nothing."""
    variables = ((name, os.environ.get(f"{PREFIX}{name.upper()}")) for name in Settings.model_fields)
    return tomllib.loads(text) | {name: value for name, value in variables if value}


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each AIRFLOW_MCP_* variable that means nothing, with the near name."""
    known = {name.upper() for name in Settings.model_fields} | _ELSEWHERE
    unknown = [name for name in environment if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known]
    return [
        f"{name} is not a setting and is ignored.{_suggest_near(name.removeprefix(PREFIX), known)}" for name in unknown
    ]


def _add_location(error: SettingsError) -> SettingsError:
    file = os.environ.get(f"{PREFIX}CONFIG", "")
    line = find_line(Path(file).read_text(encoding="utf-8"), error.path) if file and error.path else None
    return SettingsError(f"{file}, line {line}: {error}", error.path) if line else error


def _suggest_near(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean {PREFIX}{near[0]}?" if near else ""


def _describe_error(error: ValidationError, file: str) -> str:
    first = choose_error(error.errors())
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("float_parsing", "int_parsing", "float_type", "int_type"):
        message = f"must be a number, not {str(first['input'])[:40]!r}"
    elif isinstance(first["input"], dict) and first["type"] == "string_type":
        near = [name for name in FILE_ONLY if name.startswith(str(first["loc"][-1]))]
        message = "must be a text, not a table." + (f" Did you mean [{near[0]}]?" if near else "")
    if not first["loc"]:
        return f"{message}."
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        tables: dict[object, type[BaseModel]] = {"tokens": Token, "oauth": OAuthIssuer}
        known = tables.get(first["loc"][0], Settings).model_fields
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.6)
        return f"{name} is not a setting." + (f" Did you mean {near[0]}?" if near else "")
    where = f"{PREFIX}{name.upper()}"
    if f"{PREFIX}{name.upper()}" not in os.environ and file:
        where = name
    message = message if message.startswith(PREFIX) else f"{message[0].lower()}{message[1:]}"
    return f"{where} {message.rstrip('.?')}{'?' if message.endswith('?') else '.'}"
