"""Settings of an operator from a TOML file and the environment, read once and then frozen.

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
# Tables: a variable would replace them instead of adding to them.
FILE_ONLY = frozenset({"policy", "instances", "tokens", "oauth", "headers"})
_RULES = frozenset({"allow", "deny"})  # settings of an instance that are rules
_RUN_TIME = frozenset({"allow", "policy", "tokens", "instances"})  # what a reload may change; of instances, the rules
Place = tuple[str | int, ...]
LogFormat = Literal["text", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Settings(Connection, ReplicaSettings):
    """The operator's settings. Build them with `read_settings`, which turns an error into one sentence."""

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
    _file: tuple[str, str] = PrivateAttr(default=("", ""))  # name and text of the file with the rules

    @model_validator(mode="after")
    def _has_one_way_to_airflow(self) -> Settings:
        single_settings = sorted(self.model_fields_set & Connection.model_fields.keys())
        if self.instances and single_settings:
            raise ValueError(
                f"{' and '.join(single_settings)} would be for a single Airflow: put it into each [instances.NAME]"
            )
        return self

    @model_validator(mode="after")
    def _knows_who_is_to_be_itself_at_airflow(self) -> Settings:
        identities = {connection.identity for connection in self.connections.values()}
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
        """Return the setting in the file for each variable that would set it for a single Airflow."""
        names = {name: f"{PREFIX}{name.upper()}" for name in Connection.model_fields}
        if self.instances:
            return {variable: f"instances.{instance}.{name}" for name, variable in names.items()}
        file = self._file[0]
        in_file = (name for name in names if file and name in self.model_fields_set and not os.environ.get(names[name]))
        return {names[name]: f"{name} in {file}" for name in in_file}

    def replace_rules(self, other: Settings) -> Settings:
        """Return these settings with the rules and tokens of others.

        Raises SettingsError where those are for other Airflows or callers than are served.
        """
        current_subjects, new_subjects = self._list_rule_subjects, other._list_rule_subjects
        if current_subjects != new_subjects:
            names = sorted(
                name
                for name in current_subjects.keys() | new_subjects.keys()
                if current_subjects.get(name) != new_subjects.get(name)
            )
            raise SettingsError(
                f"They are for others than are served, since what differs is {', '.join(names)}: a restart is needed."
            )
        instances = {
            name: instance.model_copy(update={rule: getattr(other.instances[name], rule) for rule in _RULES})
            for name, instance in self.instances.items()
        }
        settings = self.model_copy(
            update={"allow": other.allow, "policy": other.policy, "tokens": other.tokens, "instances": instances}
        )
        return settings.with_file(*other._file)

    def with_file(self, name: str, text: str) -> Self:
        """Set the name and text of the file with the rules, and return these settings."""
        self._file = Path(name).name, text
        return self

    @property
    def _list_rule_subjects(self) -> dict[str, object]:
        """The subjects of rules by setting: an Airflow by its address, a caller by the issuer's claims."""
        addresses = {f"instances.{name}": instance.url for name, instance in self.instances.items()}
        return {"url": self.url, "oauth": self.oauth, **addresses}

    def list_differences(self, other: Settings) -> list[str]:
        """Return the names of settings that differ and that no reload changes, as written in the file."""
        names = [name for name in type(self).model_fields if name not in _RUN_TIME]
        differences = [name for name in names if getattr(self, name) != getattr(other, name)]
        for instance_name, instance_settings in self.instances.items():
            keys = (key for key in type(instance_settings).model_fields if key not in _RULES)
            differences += [
                f"instances.{instance_name}.{key}"
                for key in keys
                if getattr(instance_settings, key) != getattr(other.instances[instance_name], key)
            ]
        return differences

    def locate(self, error: SettingsError) -> SettingsError:
        """Return the same error with the rule's name as the operator knows it, and with its file and line, if any."""
        place, path = self._place(error.path)
        text = str(error).replace(name_rule(error.path), name_rule(path or error.path), 1)
        return _add_location(SettingsError(text, (*path, *error.path[len(place) :])))

    def name_rule(self, path: Place) -> str:
        """Return the public name of a rule of the whole policy (see `rules`): where its operator wrote it.

        "deny rule 1 (airflow-mcp.toml, line 12)", "staging: allow rule 1 (...)", "AIRFLOW_MCP_ALLOW". The file is named
        without its folder.
        """
        file_path = self._place(path)[1]
        file, text = self._file
        line = find_line(text, file_path) if text and file_path else None
        return f"{name_rule(file_path or path)} ({file}, line {line})" if line else name_rule(file_path or path)

    def _place(self, path: Place) -> tuple[Place, Place]:
        """Return a rule's path in the whole policy (see `rules`), and its path in the operator's file."""
        match path:
            case ("policy", "allow" | "deny" as kind, int(index), *_):
                position = index - len(self.policy.get(kind, ()))
                if position < 0:
                    return path[:3], path[:3]
                for name, instance in self.instances.items():
                    if 0 <= position < len(getattr(instance, kind)):
                        return path[:3], ("instances", name, kind, position)
                    position -= len(getattr(instance, kind))
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
            instance_rules = [
                {**rule, "instances": [name]}
                for name, instance in self.instances.items()
                for rule in getattr(instance, kind)
            ]
            if instance_rules:
                table[kind] = [*table.get(kind, []), *instance_rules]
        return table


def _write_stderr(sentence: str) -> None:
    sys.stderr.write(f"airflow-mcp: {sentence}\n")


def read_settings(say: Callable[[str], object] = _write_stderr, /, **options: Any) -> Settings:
    """Read the environment and the file AIRFLOW_MCP_CONFIG names; `options` of a command line win unless None.

    `say` gets a sentence about each unknown AIRFLOW_MCP_* variable. Raises SettingsError, one sentence, for any error.
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
        overrides = {name: value for name, value in options.items() if value is not None}
        return Settings(**(_read_sources(text) | overrides)).with_file(file, text)
    except OSError as error:
        raise SettingsError(f"{PREFIX}CONFIG: {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from None
    except ValidationError as error:
        raise _add_location(SettingsError(_describe_error(error, file), choose_error(error.errors())["loc"])) from None


def _read_sources(text: str) -> dict[str, Any]:
    """Return the settings of the file, overridden by the environment; an empty variable is ignored."""
    variables = ((name, os.environ.get(f"{PREFIX}{name.upper()}")) for name in Settings.model_fields)
    return tomllib.loads(text) | {name: value for name, value in variables if value}


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a warning for each AIRFLOW_MCP_* variable without a setting, with the closest name."""
    names = {name.upper() for name in Settings.model_fields} | _ELSEWHERE
    variables = [name for name in environment if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in names]
    return [
        f"{name} is not a setting and is ignored.{_suggest_near(name.removeprefix(PREFIX), names)}"
        for name in variables
    ]


def _add_location(error: SettingsError) -> SettingsError:
    file = os.environ.get(f"{PREFIX}CONFIG", "")
    line = find_line(Path(file).read_text(encoding="utf-8"), error.path) if file and error.path else None
    return SettingsError(f"{file}, line {line}: {error}", error.path) if line else error


def _suggest_near(name: str, known: set[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean {PREFIX}{matches[0]}?" if matches else ""


def _describe_error(error: ValidationError, file: str) -> str:
    first = choose_error(error.errors())
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("float_parsing", "int_parsing", "float_type", "int_type"):
        message = f"must be a number, not {str(first['input'])[:40]!r}"
    elif isinstance(first["input"], dict) and first["type"] == "string_type":
        matches = [name for name in FILE_ONLY if name.startswith(str(first["loc"][-1]))]
        message = "must be a text, not a table." + (f" Did you mean [{matches[0]}]?" if matches else "")
    if not first["loc"]:
        return f"{message}."
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        tables: dict[object, type[BaseModel]] = {"tokens": Token, "oauth": OAuthIssuer}
        fields = tables.get(first["loc"][0], Settings).model_fields
        matches = difflib.get_close_matches(str(first["loc"][-1]), fields, n=1, cutoff=0.6)
        return f"{name} is not a setting." + (f" Did you mean {matches[0]}?" if matches else "")
    place = f"{PREFIX}{name.upper()}"
    if f"{PREFIX}{name.upper()}" not in os.environ and file:
        place = name
    message = message if message.startswith(PREFIX) else f"{message[0].lower()}{message[1:]}"
    return f"{place} {message.rstrip('.?')}{'?' if message.endswith('?') else '.'}"
