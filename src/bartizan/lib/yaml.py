"""YAML 1.2 (core schema) with the line of every value; duplicate keys are errors, and nothing but plain data is built.

libyaml reads the syntax. What a plain scalar means is decided here, because YAML 1.1 takes `no`, `off` and `1:30` for
something else than text. Source: YAML 1.2.2, section 10.3.2.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_NODES = 300_000


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value and the line (from 1) of each value in it, by path."""

    value: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest thing above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class YamlError(ValueError):
    """The text can't be read as YAML."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _scalar(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Builder:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES or len(path) > 64:
            raise YamlError(node.start_mark.line + 1, "the document is too large or too deep")
        self.lines[path] = node.start_mark.line + 1
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == node.tag or ":" in kind or "/" in kind:
            raise YamlError(node.start_mark.line + 1, f"the tag {node.tag} isn't allowed here")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.value) if node.style in (None, "") else node.value
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            line = key.start_mark.line + 1
            if name is None:
                raise YamlError(line, "a key must be plain text")
            if name in found:
                raise YamlError(line, f"the key {name!r} is given twice")
            found[name] = self.build(value, (*path, name))
            self.lines[(*path, name)] = line
        return found


def documents(text: str) -> Iterator[Document]:
    """Each document in `text` that isn't empty. Raises YamlError."""
    try:
        for node in yaml.compose_all(text, Loader=yaml.CLoader):
            if node is not None:
                builder = _Builder()
                value = builder.build(node, ())
                if value is not None:
                    yield Document(value, builder.lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise YamlError(mark.line + 1 if mark else 1, str(getattr(error, "problem", None) or error)) from error


class _Writer(yaml.SafeDumper):
    """Quotes what would be read as something else than text by YAML 1.1 or by 1.2; shares nothing by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written_text(writer: _Writer, text: str) -> yaml.Node:
    if all(character == "\n" or character.isprintable() for character in text):
        style = "|" if "\n" in text else None if isinstance(_scalar(text), str) else "'"
    else:
        style = '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _written_text)


def written(values: Iterable[Any]) -> str:
    """The values as YAML documents, which `documents` reads as the same."""
    return yaml.dump_all(values, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120, explicit_start=True)
