"""A definition as a tree whose every value knows its line, from YAML or from stored JSON.

Refused in YAML: aliases (a small file must not unfold into a huge one), deep nesting, repeated keys, and
numbers that are not written exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from carbonpoints.core.errors import Message

_DEPTH = 16
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")


@dataclass(frozen=True)
class Problem:
    """One wrong place: the file, the line (1-based; 0 when read from JSON), the field's path, a sentence."""

    file: str
    line: int
    field: str
    message: Message
    code: str = "invalid"
    """Stable and machine-readable."""

    def __str__(self) -> str:
        """Return it as compilers do."""
        return f"{self.file}:{self.line}: {self.field or 'file'}: {self.message}"


class DefinitionError(ValueError):
    """A definition is wrong; `problems` holds every place, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Node:
    """A value and the line it stands on. A list holds Nodes, a mapping holds Nodes by key."""

    value: object
    line: int

    def at(self, path: str) -> Node:
        """Return the node at a dotted path, or the nearest one above it that exists."""
        node = self
        for step in path.split(".") if path else ():
            found: object = None
            if isinstance(node.value, dict):
                found = node.value.get(step)
            elif isinstance(node.value, list) and step.isdecimal() and int(step) < len(node.value):
                found = node.value[int(step)]
            if not isinstance(found, Node):
                return node
            node = found
        return node


def join_path(path: str, step: str) -> str:
    """Return the dotted path one step further down."""
    return f"{path}.{step}" if path else step


def yaml_tree(text: str, file: str) -> Node:
    """Return the tree of a YAML text; DefinitionError with the line when it is no YAML we accept."""
    try:
        _refuse_shapes(text, file)
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = _YamlTree(file)
        root = Node(None, 1) if document is None else tree.node(document, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(file, mark.line + 1 if mark else 1, "", _not_yaml(error.problem))
        raise DefinitionError((problem,)) from None
    except yaml.YAMLError as error:
        raise DefinitionError((Problem(file, 1, "", _not_yaml(error)),)) from None
    if tree.problems:
        raise DefinitionError(tuple(tree.problems))
    return root


def _not_yaml(error: object) -> Message:
    return Message("is not YAML we accept: %(error)s", error=error)


def _refuse_shapes(text: str, file: str) -> None:
    """Refuse aliases and deep nesting from the stream of events, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise DefinitionError((Problem(file, _line(event), "", Message("aliases are not allowed")),))
        if depth > _DEPTH:
            raise DefinitionError(
                (Problem(file, _line(event), "", Message("is nested deeper than %(depth)s", depth=_DEPTH)),)
            )


def _line(part: Any) -> int:
    return int(part.start_mark.line) + 1


class _YamlTree:
    """Turns composed YAML into Nodes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def node(self, part: yaml.Node, path: str) -> Node:
        if isinstance(part, yaml.MappingNode):
            return Node(self._entries(part, path), _line(part))
        if isinstance(part, yaml.SequenceNode):
            items = enumerate(part.value)
            return Node([self.node(item, join_path(path, str(no))) for no, item in items], _line(part))
        return Node(self._scalar(part, path), _line(part))

    def _entries(self, part: yaml.MappingNode, path: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_part, value_part in part.value:
            key = str(key_part.value)
            if key in entries:
                self._note(key_part, join_path(path, key), Message("is given twice"))
            entries[key] = Node(self.node(value_part, join_path(path, key)).value, _line(key_part))
        return entries

    def _scalar(self, part: yaml.Node, path: str) -> str | int | bool | None:
        text = str(part.value)
        kind = part.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool" and text in ("true", "false"):
            return text == "true"
        if kind == "int" and _WHOLE.match(text):
            return int(text)
        if kind not in ("str", "timestamp"):
            self._note(part, path, Message("%(text)s could be read in two ways: put it in quotes", text=text))
        return text

    def _note(self, part: yaml.Node, path: str, message: Message) -> None:
        self.problems.append(Problem(self.file, _line(part), path, message))


def content_tree(content: object) -> Node:
    """Return the tree of JSON-able content; every line is 0."""
    if isinstance(content, Mapping):
        return Node({str(key): content_tree(item) for key, item in content.items()}, 0)
    if isinstance(content, list | tuple):
        return Node([content_tree(item) for item in content], 0)
    return Node(content, 0)
