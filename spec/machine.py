"""The LALR machine: a stack of states and of what they stand for."""

from __future__ import annotations

from typing import Any

from moec.spec.builder import Builder
from moec.spec.lexer import Token
from moec.spec.table import Reduction, Table


class Machine:
    """Reads tokens one by one by `table`, and builds with `builder` what has been read in full."""

    __slots__ = ("_builder", "_table", "states", "values")

    def __init__(self, table: Table, builder: Builder) -> None:
        self._table = table
        self._builder = builder
        self.states: list[int] = [table.start]
        self.values: list[Any] = []

    def feed(self, token: Token) -> bool:
        """Takes `token`, or changes nothing that matters and gives False where the grammar does not allow it here."""
        kind, states, actions = token.type, self.states, self._table.actions
        while True:
            action = actions[states[-1]].get(kind)
            if action is None:
                return False
            if isinstance(action, int):
                states.append(action)
                self.values.append(token)
                return True
            self._reduce(action)
            if states[-1] == self._table.end:
                return True

    def _reduce(self, rule: Reduction) -> None:
        size, states, values = rule.size, self.states, self.values
        # Most rules give one symbol another name: its value stays where it is.
        if rule.build is not None or size != 1:
            parts = values[-size:] if size else []
            if size:
                del values[-size:]
            values.append(parts[0] if rule.build is None else getattr(self._builder, rule.build)(parts))
        if size:
            del states[-size:]
        target = self._table.actions[states[-1]][rule.origin]
        assert isinstance(target, int)
        states.append(target)

    def accepts(self, *kinds: str) -> bool:
        """Whether tokens of these kinds could come next, one after the other. Builds nothing."""
        states = self.states[:]
        return all(self._step(states, kind) for kind in kinds)

    def _step(self, states: list[int], kind: str) -> bool:
        actions = self._table.actions
        while True:
            action = actions[states[-1]].get(kind)
            if action is None:
                return False
            if isinstance(action, int):
                states.append(action)
                return True
            if action.size:
                del states[-action.size :]
            target = actions[states[-1]][action.origin]
            assert isinstance(target, int)
            states.append(target)
            if target == self._table.end:
                return True

    def acceptable(self) -> frozenset[str]:
        """All kinds of token that could come next."""
        row = self._table.actions[self.states[-1]]
        return frozenset(kind for kind in row if not kind.islower() and self.accepts(kind))

    def take_back(self) -> None:
        """Forgets the last symbol."""
        self.states.pop()
        self.values.pop()

    def __len__(self) -> int:
        return len(self.values)
