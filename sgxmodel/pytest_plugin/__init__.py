# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: which target, which seed, how many shards; and what was found.

It is loaded wherever the package is installed, so it imports nothing of the
model before a test asks for it, and says nothing unless it was activated (the
project's conftest.py does that) or one of its options was given.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import pytest

from sgxmodel.pytest_plugin.causes import SIGHTINGS, Causes
from sgxmodel.testing import PROFILE_NAMES

if TYPE_CHECKING:
    from sgxmodel.revisions import Revision
    from sgxmodel.search.sighting import Sightings

TARGET, SHARDS = "list_fixed", 2
MARKERS = (
    "sgx_search: explores schedules of --sgx-target; a new --sgx-seed explores anew",
    "sgx_quality: how small the found counterexamples become",
)
ACTIVE = pytest.StashKey[bool]()
SEEN = pytest.StashKey["Sightings"]()
KINDS = pytest.StashKey[set[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """One group of options; None means that it was not given."""
    group = parser.getgroup("sgxmodel", "sgxmodel: the SGX EPC reclaimer")
    group.addoption("--sgx-target", metavar="NAME", help=f"the revision to test ({TARGET})")
    group.addoption("--sgx-seed", type=int, metavar="N", help="the run's seed (0)")
    group.addoption(
        "--sgx-shards",
        type=_positive,
        metavar="N",
        help=f"parts that a search is split into, each with a seed of its own ({SHARDS})",
    )
    group.addoption(
        "--sgx-profile",
        choices=PROFILE_NAMES,
        help="how much to search (dev, or ci where the variable CI is set)",
    )
    group.addoption(
        "--sgx-traces", metavar="DIR", help="where traces of violations go (sgxmodel-traces)"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' should be a whole number above 0")
    return int(text)


# -- what was asked for -----------------------------------------------------------------------


def target_name(config: pytest.Config) -> str:
    """The revision under test, by name."""
    return str(config.getoption("sgx_target") or TARGET)


def seed(config: pytest.Config) -> int:
    """The run's seed; a shard adds its number."""
    return int(config.getoption("sgx_seed") or 0)


def profile(config: pytest.Config) -> str:
    """The profile by name: --sgx-profile, --hypothesis-profile, the environment."""
    given = config.getoption("sgx_profile") or config.getoption("--hypothesis-profile", None)
    return str(given or ("ci" if os.environ.get("CI") else "dev"))


def shards(config: pytest.Config) -> int:
    """Debugging looks at one shard."""
    default = 1 if profile(config) == "debug" else SHARDS
    return int(config.getoption("sgx_shards") or default)


def activate(config: pytest.Config) -> None:
    """For a conftest.py: load the profile, print the header line and the section."""
    from sgxmodel.testing import profiles

    name = profile(config)
    if name in PROFILE_NAMES:  # else it is one that the user registered
        profiles.load(name)
    config.stash[ACTIVE] = True


def pytest_configure(config: pytest.Config) -> None:
    """Register markers and the section; a target that does not exist ends the run here."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    if config.getoption("sgx_target") is not None:
        _known(target_name(config))
    if not hasattr(config, "workerinput"):  # an xdist worker tells its controller
        causes = Causes(config, target_name(config), seed(config))
        config.pluginmanager.register(causes, "sgxmodel-causes")


def _known(name: str) -> Revision:
    """The revision of that name; a name that does not exist is an error of usage."""
    from sgxmodel.errors import UnknownNameError
    from sgxmodel.revisions import revision

    try:
        return revision(name)
    except UnknownNameError as error:
        raise pytest.UsageError(str(error)) from None


def _active(config: pytest.Config) -> bool:
    options = ("sgx_target", "sgx_seed", "sgx_shards", "sgx_profile")
    given = any(config.getoption(name) is not None for name in options)
    return given or config.stash.get(ACTIVE, False)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What this run is, in the header of the output."""
    if not _active(config):
        return []
    return [
        f"sgxmodel: target {target_name(config)}, profile {profile(config)}, "
        f"seed {seed(config)}, {shards(config)} shards"
    ]


# -- fixtures ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sgx_target(pytestconfig: pytest.Config) -> Revision:
    """The revision under test."""
    return _known(target_name(pytestconfig))


@pytest.fixture(scope="session")
def sgx_seed(pytestconfig: pytest.Config) -> int:
    """The run's seed."""
    return seed(pytestconfig)


@pytest.fixture
def sgx_shard_seed(sgx_shard: int, sgx_seed: int) -> int:
    """The seed of one shard: the run's seed plus the shard's number."""
    return sgx_seed + sgx_shard


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses ``sgx_shard`` (or its seed) is one item for each shard."""
    if "sgx_shard" in metafunc.fixturenames:
        numbers = range(shards(metafunc.config))
        metafunc.parametrize("sgx_shard", numbers, ids=[f"shard{n}" for n in numbers])


# -- what was seen: each item's report carries it, so that it crosses from workers ------------


@pytest.fixture
def sgx_sightings(request: pytest.FixtureRequest) -> Sightings:
    """Where a test notes the violations that it sees; see ``causes.py``."""
    from sgxmodel.search.sighting import Sightings

    seen: Sightings = request.node.stash.setdefault(SEEN, Sightings())
    return seen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what a test saw into its report."""
    report = yield
    seen = item.stash.get(SEEN, None)
    if call.when == "call" and seen is not None and seen.best:
        vars(report)[SIGHTINGS] = [seen.best[key].plain() for key in sorted(seen.best)]
        kinds = ", ".join(f"{invariant} in {function}" for invariant, function in sorted(seen.best))
        item.user_properties.append(("violated", kinds))
        _stop_early(item.session, seen.best)
    return report


def _stop_early(session: pytest.Session, keys: Iterable[tuple[str, str]]) -> None:
    """-x and --maxfail count violations, as the tests that see them do not fail."""
    kinds = session.config.stash.setdefault(KINDS, set())
    kinds.update(keys)
    most = int(session.config.getoption("maxfail") or 0)
    if most and len(kinds) >= most:
        session.shouldfail = f"stopping after {len(kinds)} violations"
