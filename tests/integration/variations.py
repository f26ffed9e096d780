"""Bad requests made of good ones, by what the OpenAPI document says of each parameter and field."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20
UNKNOWN = "bogus"
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    1 << 63,
    -(1 << 63),
    1e308,
    "",
    "x" * MIB,
    "\u0000",
    "\u202e\u200b",
    "' OR 1=1 --",
    "../../etc/passwd",
    [],
    [None],
    {},
    {"a": {"b": [{}]}},
    [["x"] * 1000],
    "2026-13-45T99:99:99Z",
)
"""Values that are wrong for most fields; none of them may be an internal error."""
TEXT = (
    b"{",
    b"[]",
    b'"text"',
    b"7",
    b"null",
    b"\xff\xfe",
    b'{"a": 1e999}',
    b'{"a": NaN}',
    b'{"a": ' + b"[" * 10_000,
    b'{"a": "\\ud800"}',
    b'{"name": "one", "name": "one", "bogus": 1}',
)
"""Bodies that are no object of the schema."""
IN_PATH = ("%00", "x" * 5000, "%ff%fe", "..%2f..%2fetc", "%e2%80%ae", "a%20b", "%27%20OR%201=1")


@dataclass(frozen=True, slots=True)
class Bad:
    """A request. `field`: what the refusal must name, if the request must be refused for it."""

    what: str
    path: str
    options: Mapping[str, Any]
    field: str | None = None


class Variations:
    """Of one operation: `good` is the path and the options of a request that is let in."""

    def __init__(
        self, document: Mapping[str, Any], operation: Mapping[str, Any], path: str, options: Any
    ) -> None:
        self._schemas = document["components"]["schemas"]
        self._operation = operation
        self._path = path
        self._options = options

    def refused(self) -> Iterator[Bad]:
        """What must be refused as VALIDATION_ERROR."""
        schema = self._body()
        good = self._options.get("json")
        if schema is not None and good is not None:
            for content in TEXT:
                yield Bad(f"body {content[:20]!r}", self._path, self._with(content), "")
            yield self._changed({**good, UNKNOWN: 1}, "an unknown field", UNKNOWN)
            for name in schema.get("required", ()):
                left = {key: value for key, value in good.items() if key != name}
                yield self._changed(left, f"{name} is missing", name)
            for name, field in schema["properties"].items():
                for wrong in self._wrong(field):
                    what = f"{name} = {str(wrong)[:20]}"
                    yield self._changed({**good, name: wrong}, what, name)
        for parameter in self._queries():
            for wrong in self._wrong_text(parameter["schema"]):
                name = parameter["name"]
                query = {**self._options["params"], name: wrong}
                what = f"?{name}={wrong[:20]}"
                yield Bad(what, self._path, {**self._options, "params": query}, name)

    def odd(self) -> Iterator[Bad]:
        """What may be right or wrong, but must not break anything."""
        schema, good = self._body(), self._options.get("json")
        if schema is not None and good is not None:
            for name in schema["properties"]:
                for value in ODD:
                    yield self._changed({**good, name: value}, f"{name} = {str(value)[:20]}", None)
            strange = {"headers": {"Content-Type": "text/plain; charset=utf-7"}}
            yield Bad("another content type", self._path, {**self._options, **strange})
        for parameter in self._queries():
            for value in ("", "x" * 5000, "\u0000", "-1", "1e999", "true", "\u202e", "%"):
                query = {**self._options["params"], parameter["name"]: value}
                what = f"?{parameter['name']}={value[:20]!r}"
                yield Bad(what, self._path, {**self._options, "params": query})
        for name, value in (("If-Match", "x"), ("Range", "bytes=9-1"), ("Last-Event-ID", "x" * 99)):
            yield Bad(name, self._path, {**self._options, "headers": {name: value}})

    def elsewhere(self, template: str) -> Iterator[Bad]:
        """Other things named in the path."""
        parts = template.split("/")
        for position, part in enumerate(parts):
            if part.startswith("{"):
                for value in IN_PATH:
                    changed = self._path.split("/")
                    changed[position] = value
                    yield Bad(f"{part}={value[:20]}", "/".join(changed), self._options)

    def _with(self, content: bytes) -> dict[str, Any]:
        kept = {key: value for key, value in self._options.items() if key != "json"}
        headers = {"Content-Type": "application/json"}
        return {**kept, "content": content, "headers": headers}

    def _changed(self, body: Any, what: str, field: str | None) -> Bad:
        return Bad(what, self._path, self._with(json.dumps(body).encode()), field)

    def _body(self) -> Mapping[str, Any] | None:
        content = self._operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is None:
            return None
        whole = self._resolved(schema)
        return whole if "properties" in whole else None

    def _queries(self) -> Iterator[Mapping[str, Any]]:
        for parameter in self._operation.get("parameters", ()):
            if parameter["in"] == "query":
                yield parameter

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" in schema:
            found: Mapping[str, Any] = self._schemas[schema["$ref"].rsplit("/", 1)[1]]
            return found
        return schema

    def _forms(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        whole = self._resolved(schema)
        forms = whole.get("anyOf") or whole.get("oneOf")
        return [inner for form in forms for inner in self._forms(form)] if forms else [whole]

    def _wrong(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        """Values that no form of the field takes."""
        forms = self._forms(schema)
        types = {form.get("type") for form in forms}
        if None in types and not any("enum" in form or "const" in form for form in forms):
            return  # it may be anything
        if "object" not in types:
            yield {"a": 1}
        if "array" not in types:
            yield [1]
        if "null" not in types:
            yield None
        text = [form for form in forms if form.get("type") == "string"]
        if text and all("maxLength" in form for form in text):
            yield "x" * (max(form["maxLength"] for form in text) + 1)
        if not text and types <= {"integer", "number", "null", "boolean"}:
            yield "no number"
        yield from self._beyond(forms)
        for form in forms:
            if "maxItems" in form:
                yield ["x"] * (form["maxItems"] + 1)

    def _wrong_text(self, schema: Mapping[str, Any]) -> Iterator[str]:
        forms = self._forms(schema)
        types = {form.get("type") for form in forms}
        text = [form for form in forms if form.get("type") == "string"]
        if not text and types <= {"integer", "number", "null", "boolean"}:
            yield "no number"
        if text and all("enum" in form for form in text) and types <= {"string", "null"}:
            yield "none of them"
        if text and all("maxLength" in form for form in text):
            yield "x" * (max(form["maxLength"] for form in text) + 1)
        yield from map(str, self._beyond(forms))

    def _beyond(self, forms: list[Mapping[str, Any]]) -> Iterator[int]:
        numbers = [form for form in forms if form.get("type") in ("integer", "number")]
        if len(numbers) == 1 and "maximum" in numbers[0]:
            yield int(numbers[0]["maximum"]) + 1
        if len(numbers) == 1 and "minimum" in numbers[0]:
            yield int(numbers[0]["minimum"]) - 1
