"""Formulas by column names: "y ~ age + sex | income", experts before the bar, the gate behind it."""

import re

NAME = re.compile(r"\s*(?:`([^`]+)`|([^\W\d][\w.]*))\s*$")


class Formula:
    """What a formula names.

    response: the name before ~, or None; expert_inputs, gate_inputs: names, None for all of `.`; factors:
    names in C().
    Errors: ValueError for what is no sum of names: interactions and functions are columns to be made first.
    """

    def __init__(self, text):
        if not isinstance(text, str) or text.count("~") != 1:
            raise ValueError(
                'formula: expected "response ~ inputs" or "response ~ inputs of experts | inputs of the '
                f'gate", got {text!r}'
            )
        left, right = text.split("~")
        sides = right.split("|")
        if len(sides) > 2:
            raise ValueError(
                f"formula: expected at most one bar, got {text!r}; before it stand the experts' inputs, "
                "behind it the gate's"
            )
        self.factors = []
        self.response = self._name(left, text) if left.strip() else None
        self.expert_inputs = self._terms(sides[0], text)
        self.one_sided = len(sides) == 1
        self.gate_inputs = self.expert_inputs if self.one_sided else self._terms(sides[1], text)

    def inputs(self, columns, left_out=()):
        """All names in order of their appearance; `.` stands for the columns but the response."""
        everything = [name for name in columns if name != self.response and name not in left_out]
        names = []
        for side in (self.expert_inputs, self.gate_inputs):
            names += [name for name in (everything if side is None else side) if name not in names]
        return names

    def _terms(self, side, text):
        if side.strip() == ".":
            return None
        if side.strip() in ("0", "1"):
            return []
        names = []
        for part in side.split("+"):
            wrapped = re.fullmatch(r"\s*C\((.*)\)\s*", part)
            name = self._name(wrapped[1] if wrapped else part, text)
            if wrapped and name not in self.factors:
                self.factors.append(name)
            if name not in names:
                names.append(name)
        return names

    @staticmethod
    def _name(part, text):
        found = NAME.match(part)
        if not found:
            raise ValueError(
                f"formula: expected names joined by +, got {part.strip()!r} in {text!r}; make products and "
                "functions a column "
                "first, and write names with blanks as `sepal length`"
            )
        return found[1] or found[2]
