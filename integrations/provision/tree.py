"""A YAML or JSON file as a tree that knows its lines: errors can say where they are."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from django.utils.translation import gettext as _

_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be done, with its place in the file. `line` is 0 where the whole file is meant."""

    line: int
    path: str
    words: str

    def told(self, file: str) -> str:
        place = f"{file}:{self.line}" if self.line else file
        return f"{place}: {self.path}: {self.words}" if self.path else f"{place}: {self.words}"


class Kind(enum.Enum):
    TEXT = "text"
    FLAG = "flag"
    NOTHING = "nothing"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Node:
    """One place of the file. `text` is a scalar as it is written: a number keeps its plus and its leading zeros."""

    path: str
    line: int
    kind: Kind
    text: str = ""
    items: tuple[Node, ...] = ()
    fields: Mapping[str, Node] = field(default_factory=dict)

    @property
    def flag(self) -> bool:
        return yaml.SafeLoader.bool_values[self.text.lower()]

    def under(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def read(text: str, problems: list[Problem]) -> Node | None:
    """The tree of a file; what is wrong with its writing goes to `problems`. Never shows the text around an error."""
    try:
        loader = _Loader(_tamed(text))
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is None:
            problems.append(Problem(0, "", _("the file is empty")))
            return None
        return _Growing(problems).grow(root, "", root.start_mark.line + 1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(mark.line + 1 if mark else 0, "", str(error.problem or error.context)))
    except yaml.YAMLError:
        problems.append(Problem(0, "", _("the file has characters that YAML does not allow")))
    except RecursionError:
        problems.append(Problem(0, "", _("the file is nested too deeply")))
    return None


def _tamed(text: str) -> str:
    """JSON is YAML but for the tabs between its tokens."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


class _Loader(yaml.SafeLoader):
    """Composes without anchors and aliases: an alias can be endless, and a secret may begin with `&` or `*`."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            words = _("a value that begins with & or * must be in quotes")
            raise yaml.MarkedYAMLError(problem=words, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


class _Growing:
    def __init__(self, problems: list[Problem]):
        self._problems = problems

    def grow(self, node: yaml.Node, path: str, line: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return Node(path, line, Kind.MAP, fields=self._fields(node, path))
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            children = tuple(self.grow(item, f"{path}[{n}]", item.start_mark.line + 1) for n, item in items)
            return Node(path, line, Kind.LIST, items=children)
        return self._scalar(node, path, line)

    def _fields(self, node: yaml.MappingNode, path: str) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_PREFIX}merge":
                self._problems.append(Problem(line, path, _("a key must be a simple word")))
                continue
            child = f"{path}.{key.value}" if path else key.value
            if key.value in fields:
                words = _("this key is there already, in line %(line)d") % {"line": fields[key.value].line}
                self._problems.append(Problem(line, child, words))
                continue
            fields[key.value] = self.grow(value, child, line)
        return fields

    def _scalar(self, node: yaml.Node, path: str, line: int) -> Node:
        kind = {"bool": Kind.FLAG, "null": Kind.NOTHING}.get(node.tag.removeprefix(_PREFIX), Kind.TEXT)
        if not node.tag.startswith(_PREFIX):
            self._problems.append(Problem(line, path, _("a value that begins with ! must be in quotes")))
            kind = Kind.NOTHING
        # JSON writes characters beyond the first plane as two halves.
        text = node.value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\0" in text:
            self._problems.append(Problem(line, path, _("a value cannot have a NUL in it")))
            kind = Kind.NOTHING
        return Node(path, line, kind, text=text)
