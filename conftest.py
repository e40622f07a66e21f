# SPDX-License-Identifier: GPL-2.0-only
"""Load the profile before tests are collected: their settings are made at import."""

from __future__ import annotations

import pytest

from sgxmodel import pytest_plugin


def pytest_configure(config: pytest.Config) -> None:
    pytest_plugin.activate(config)
