"""Asking a tree for what a section should have: whatever it has else, or has wrong, is a problem with its line."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

from .tree import Kind, Node, Problem


class Section:
    """A mapping of the file with the keys that it may have. One that is absent or broken is empty and stays quiet."""

    def __init__(self, node: Node, problems: list[Problem], known: Collection[str]):
        self.node, self.problems = node, problems
        self.broken = node.kind is not Kind.MAP
        self.fields = {name: child for name, child in node.fields.items() if child.kind is not Kind.NOTHING}
        if self.broken and node.kind is not Kind.NOTHING:
            self.wrong(_("here must be keys with their values"))
        for name in node.fields.keys() - set(known):
            words = _("unknown key; known here are: %(names)s") % {"names": ", ".join(known) or "–"}
            self.wrong(words, name)

    def wrong(self, words: str, name: str = "") -> None:
        """Note a problem of this section, or of its field `name`: at the field's own line where the file has it."""
        place = self.node.fields.get(name, self.node)
        self.problems.append(Problem(place.line, self.node.under(name) if name else self.node.path, words))

    def wrong_at(self, node: Node, words: str) -> None:
        self.problems.append(Problem(node.line, node.path, words))

    def text(self, name: str, *, required: bool = False, longest: int = 200) -> str | None:
        """The text of a field; None when it is absent or wrong."""
        child = self.fields.get(name)
        if child is None:
            if required and not self.broken and not self._noted(name):
                self.wrong(_("is missing"), name)
            return None
        text = self.text_of(child, longest)
        if required and text == "":
            self.wrong_at(child, _("is empty"))
            return None
        return text

    def text_of(self, node: Node, longest: int = 200) -> str | None:
        if node.kind is Kind.FLAG:
            self.wrong_at(node, _("this is a text: write it in quotes"))
            return None
        if node.kind is not Kind.TEXT:
            self.wrong_at(node, _("here must be a single value"))
            return None
        if len(node.text) > longest:
            self.wrong_at(node, _("is longer than %(longest)d characters") % {"longest": longest})
            return None
        return node.text.strip()

    def flag(self, name: str) -> bool | None:
        child = self.fields.get(name)
        if child is None:
            return None
        if child.kind is not Kind.FLAG:
            self.wrong_at(child, _("here must be true or false"))
            return None
        return child.flag

    def texts(self, name: str, longest: int = 200) -> list[tuple[Node, str]] | None:
        """A list of texts with their places; None when the file does not speak of it."""
        items = self.items(name)
        if items is None:
            return None
        found = [(item, self.text_of(item, longest)) for item in items]
        for item, text in found:
            if text == "":
                self.wrong_at(item, _("is empty"))
        return [(item, text) for item, text in found if text]

    def items(self, name: str) -> tuple[Node, ...] | None:
        child = self.fields.get(name)
        if child is None:
            return None
        if child.kind is not Kind.LIST:
            self.wrong_at(child, _("here must be a list"))
            return None
        return child.items

    def section(self, name: str, known: Collection[str]) -> Section:
        """A mapping below this one; an absent one is empty, at the line of this one."""
        child = self.node.fields.get(name) or Node(self.node.under(name), self.node.line, Kind.MAP)
        return Section(child, self.problems, known)

    def sections(self, name: str, known: Collection[str]) -> list[Section]:
        return [Section(item, self.problems, known) for item in self.items(name) or ()]

    def _noted(self, name: str) -> bool:
        """Whether the field is there, but was found to be wrong when the file was read."""
        return any(problem.path == self.node.under(name) for problem in self.problems)
