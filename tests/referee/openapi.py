"""Read an OpenAPI document: which operations it has, what they take and what they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from airflow_mcp.catalog.versions import Version

Json = dict[str, Any]

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Operation:
    """One method of one path, with all references followed."""

    slots: tuple[Json, ...]  # schemas of the path's parameters, in the path's order
    query: dict[str, Json]  # parameter objects by name
    headers: dict[str, Json]  # the same
    body: dict[str, Json]  # schemas of the properties that may be written
    required: frozenset[tuple[str, str]]  # ("query", "header" or "body", name)
    replies: dict[str, Json]  # media type -> schema of the success response


class Document:
    """One version's document."""

    def __init__(self, name: str, raw: Json) -> None:
        """`name` is the whole version, as "2.10.5"."""
        self.name = name
        self.version = Version.parse(name)
        self._raw = raw
        base = raw["servers"][0]["url"] if raw.get("servers") else ""
        self._paths: dict[str, list[tuple[list[str], Json]]] = {}
        for path, item in raw["paths"].items():
            self._paths.setdefault(base + _SLOT.sub("{}", path), []).append((_SLOT.findall(path), item))

    def find(self, method: str, path: str) -> Operation | None:
        """The operation of a path whose slots are written `{}`, whatever the document calls them.

        A slot may be filled with "~", Airflow's word for all; it is none of the operation's then.
        """
        for slots, item in self._paths.get(path, ()):
            if method.lower() in item:
                return self._operation(slots, item, item[method.lower()])
        found = self.find(method, path.replace("/~", "/{}")) if "/~" in path else None
        left = [part == "{}" for part in path.split("/") if part in ("{}", "~")]
        return replace(found, slots=tuple(compress(found.slots, left))) if found else None

    def methods(self, path: str) -> list[str]:
        """The methods of a path that is written as for `find`; none when there is no such path."""
        words = ("get", "post", "patch", "put", "delete")
        return [word.upper() for _, item in self._paths.get(path, ()) for word in words if word in item]

    def name_of(self, method: str, path: str) -> str | None:
        """What the document calls an operation, whose path is written as for `find`."""
        alike = (items for one, items in self._paths.items() if one.replace("/~", "/{}") == path)
        found = (item[method.lower()] for items in alike for _, item in items if method.lower() in item)
        return next((one.get("operationId") for one in found), None)

    def operations(self) -> list[tuple[str, str]]:
        """Every operation, as a method and a path that `find` takes."""
        return list(dict.fromkeys((method, path) for path in self._paths for method in self.methods(path)))

    def alternatives(self, schema: Json) -> list[Json]:
        """The plain schemas a value may fit: $ref followed, allOf merged, anyOf, oneOf and null spread out."""
        schema = self._follow(schema)
        parts: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
        if whole := schema.get("allOf"):
            found = [self._merged([*whole, {key: value for key, value in schema.items() if key != "allOf"}])]
        elif parts:
            found = [one for part in parts for one in self.alternatives(part)]
        elif isinstance(kinds := schema.get("type"), list):
            found = [{**schema, "type": kind} for kind in kinds]
        else:
            found = [schema]
        return [*found, {"type": "null"}] if schema.get("nullable") else found

    def properties(self, schema: Json) -> dict[str, Json]:
        """The properties an object may have, over all its alternatives."""
        found: dict[str, list[Json]] = {}
        for one in self.alternatives(schema):
            for name, value in one.get("properties", {}).items():
                found.setdefault(name, []).append(value)
        return {name: values[0] if len(values) == 1 else {"anyOf": values} for name, values in found.items()}

    def items(self, schema: Json) -> Json | None:
        """What a list holds; None for what is not a list."""
        lists = [one for one in self.alternatives(schema) if one.get("type") == "array"]
        return lists[0].get("items", {}) if lists else None

    def has_field(self, schema: Json, path: list[str]) -> bool:
        """Whether a value has the field at this path; lists are walked item by item."""
        if not path:
            return True
        fields = self.properties(self.items(schema) or schema)
        return path[0] in fields and self.has_field(fields[path[0]], path[1:])

    def allows(self, theirs: Json, ours: Json) -> bool:
        """Whether what we send (one alternative, an enum's value as `const`) fits one alternative of theirs."""
        return any(self._allows(one, ours) for one in self.alternatives(theirs))

    def _allows(self, theirs: Json, ours: Json) -> bool:
        values = theirs.get("enum", [theirs["const"]] if "const" in theirs else None)
        if "type" not in theirs and values is None:
            return True
        if "type" not in ours:
            return False  # anything at all
        if (
            "type" in theirs
            and ours["type"] != theirs["type"]
            and (ours["type"], theirs["type"])
            != (
                "integer",
                "number",
            )
        ):
            return False
        if "const" in ours:
            return values is None or ours["const"] in values
        if (ours.get("format") == "date-time") != (theirs.get("format") == "date-time"):
            return False
        if "items" in ours and "items" in theirs:
            return self.allows(theirs["items"], ours["items"])
        pairs = zip(theirs.get("prefixItems", ()), ours.get("prefixItems", ()), strict=False)
        return all(self.allows(one, other) for one, other in pairs)

    def _operation(self, slots: list[str], item: Json, spec: Json) -> Operation:
        parameters = [self._follow(one) for one in [*item.get("parameters", []), *spec.get("parameters", [])]]
        places = ("path", "query", "header")
        by_place = {place: {one["name"]: one for one in parameters if one["in"] == place} for place in places}
        content: Json = self._follow(spec.get("requestBody", {})).get("content", {})
        sent: Json = content.get("application/json", {}).get("schema", {})
        objects = [one for one in self.alternatives(sent) if "properties" in one]
        body = {name: value for name, value in self.properties(sent).items() if not self._read_only(value)}
        must = set[str].intersection(*(set(one.get("required", ())) for one in objects)) if objects else set[str]()
        success = [self._follow(reply) for code, reply in spec["responses"].items() if str(code).startswith("2")]
        media: Json = next((reply["content"] for reply in success if reply.get("content")), {})
        return Operation(
            slots=tuple(by_place["path"].get(name, {}).get("schema", {}) for name in slots),
            query=by_place["query"],
            headers=by_place["header"],
            body=body,
            required=frozenset(
                {
                    (place, name)
                    for place in ("query", "header")
                    for name, one in by_place[place].items()
                    if one.get("required")
                }
                | {("body", name) for name in must if name in body}
            ),
            replies={name: one.get("schema", {}) for name, one in media.items()},
        )

    def _read_only(self, schema: Json) -> bool:
        return bool(schema.get("readOnly") or self._follow(schema).get("readOnly"))

    def _follow(self, schema: Json) -> Json:
        while "$ref" in schema:
            found: Any = self._raw
            for key in schema["$ref"].removeprefix("#/").split("/"):
                found = found[key.replace("~1", "/")]
            schema = found
        return schema

    def _merged(self, parts: list[Json]) -> Json:
        merged: Json = {}
        for part in parts:
            for one in self.alternatives(part):
                if one == {"type": "null"}:
                    continue
                properties = {**merged.get("properties", {}), **one.get("properties", {})}
                required = [*merged.get("required", []), *one.get("required", [])]
                merged |= one
                if properties:
                    merged |= {"properties": properties, "required": required}
        return merged
