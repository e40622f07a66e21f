# SPDX-License-Identifier: GPL-2.0-only
"""The operators, by name: each a sentence, an example and a function over syntax trees."""

from sgxmodel.mutate.operators import conditions, flags, flow, lists, locks, values
from sgxmodel.mutate.operators.base import OPERATORS, Edit, Operator

__all__ = [
    "OPERATORS", "Edit", "Operator", "conditions", "flags", "flow", "lists", "locks", "values",
]  # fmt: skip
