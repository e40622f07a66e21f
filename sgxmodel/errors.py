# SPDX-License-Identifier: GPL-2.0-only
"""What a user can do wrong: one base class, one class per cause.

The command line prints ``str(error)`` and leaves with status 2; nothing here
is a finding about the code under check.
"""

from __future__ import annotations


class UserError(Exception):
    """Something outside the project is wrong; the message says what to do."""


class NotationError(UserError):
    """Model code uses something that the notation does not have."""

    def __init__(self, filename: str, lineno: int, message: str) -> None:
        super().__init__(f"{filename}:{lineno}: {message}")
        self.filename = filename
        self.lineno = lineno


class LinkError(UserError):
    """A revision calls a function that nobody defines, or replaces one that is not there."""


class UnknownNameError(UserError):
    """A target, scenario or invariant that does not exist."""


class ScenarioError(UserError):
    """The text of a scenario is broken."""


class TraceError(UserError):
    """A trace file is broken, foreign, newer, or no longer matches the code."""


class TreeError(UserError):
    """A kernel tree cannot be built or does not boot."""
