# SPDX-License-Identifier: GPL-2.0-only
"""What sgx_init() meets, and what it leaves behind when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from properties.tree.trees import edited, kinds
from sgxmodel import cli
from sgxmodel.errors import ScenarioError
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import MACHINES
from sgxmodel.scenario.text import format, parse

I1 = ("6-references", "arch_memory_failure")
I2 = ("20-end", "sgx_page_cache_init")
M3 = ("11-free-count", "sgx_free_epc_page")
RACE = ("18-plain-read", "arch_memory_failure")
KNOWN = {
    "init-far": {M3, RACE},
    "init-no-device": {I1},
    "init-no-driver": {I1},
    "init-no-node": {M3},
    "init-no-page-memory": {I2},
    "init-no-provision": {I1},
    "init-no-remap": {I2},
    "init-no-section": {I2},
    "init-no-sgx1": {I1},
    "init-no-thread": {I1},
    "init-one-node": {M3},
}
"""I2 is at the end of all that fail; after I1 a run does not get there."""
FIX = [
    ("main.c", "err_page_cache:\n",
     "err_page_cache:\n\txa_destroy(&sgx_epc_address_space);\n\tkfree(sgx_numa_nodes);\n"),
    ("main.c", "zero EPC sections.\\n\");\n",
     "zero EPC sections.\\n\");\n\t\tkfree(sgx_numa_nodes);\n"),
]  # fmt: skip
FAULTS = {
    "still-mapped": ("init-no-thread", ("20-end", "sgx_init"),
                     "\t\tmemunmap(sgx_epc_sections[i].virt_addr);\n", ""),
    "still-running": ("init-no-device", ("6-references", "__sgx_sanitize_pages"),
                      "\tkthread_stop(ksgxd_tsk);\n", ""),
    "still-registered": ("init-no-device", ("20-end", "sgx_init"),
                         "\tmisc_deregister(&sgx_dev_provision);\n", ""),
    "both-needed": ("init-kvm-only", ("15-errno", "sgx_init"),
                    "if (sgx_vepc_init() && ret)", "if (sgx_vepc_init() || ret)"),
    "none-needed": ("init-no-driver", ("15-errno", "sgx_init"),
                    "if (sgx_vepc_init() && ret)", "if (sgx_vepc_init() && 0)"),
    "not-tried": ("init-no-node", ("15-errno", "sgx_init"),
                  "if (sgx_vepc_init() && ret)", "if (ret && sgx_vepc_init())"),
    "short-address": ("init-far", ("10-epcm", "sgx_setup_epc_section"),
                      "(low & GENMASK_ULL(31, 12))", "(low & GENMASK_ULL(30, 12))"),
    "unmapped-twice": ("init-no-page-memory", ("6-references", "sgx_setup_epc_section"),
                       "\t\tmemunmap(section->virt_addr);\n",
                       "\t\tmemunmap(section->virt_addr);\n\t\tmemunmap(section->virt_addr);\n"),
    "counted-once": ("init-one-node", ("11-free-count", "sgx_page_cache_init"),
                     "sgx_numa_nodes[nid].size += size;", "sgx_numa_nodes[nid].size = size;"),
    "no-fallback": ("init-no-node", ("11-free-count", "sgx_page_cache_init"),
                    "\t\t\tnid = 0;\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_what_an_unmodified_driver_does(tree: Path, name: str) -> None:
    assert kinds(tree, name, 200) == KNOWN.get(name, set())


@pytest.mark.parametrize("name", [n for n in KNOWN if KNOWN[n] & {I1, I2}])
def test_the_fix(tree: Path, name: str, tmp_path: Path) -> None:
    assert kinds(edited(tree, tmp_path, FIX), name, 200) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_sgx_init_is_found(tree: Path, fault: str, tmp_path: Path) -> None:
    name, key, old, new = FAULTS[fault]
    broken = edited(tree, tmp_path, [*FIX, ("main.c", old, new)])
    assert key in kinds(broken, name, 200)


@pytest.mark.parametrize("name", MACHINES)
def test_round_trip(name: str) -> None:
    assert parse(format(MACHINES[name])) == MACHINES[name]


def test_the_model_says_that_it_begins_later() -> None:
    with pytest.raises(ScenarioError, match="check a kernel tree"):
        build(revision("mainline"), MACHINES["init-no-sgx"])
    result = CliRunner().invoke(cli.main, ["check", "mainline", "-s", "init-no-sgx"])
    assert result.exit_code == 2
    assert "check a kernel tree" in " ".join(result.output.split())


@pytest.mark.parametrize("line", ["machine", "machine none", "machine no-sgx no-sgx"])
def test_a_machine_that_is_none(line: str) -> None:
    with pytest.raises(ScenarioError, match="no-launch-control"):
        parse(f"scenario s\n{line}\nenclave A 1\ntask T: open A\n")
