# SPDX-License-Identifier: GPL-2.0-only
"""``python -m sgxmodel``: the command, where its script is not on the path."""

from sgxmodel.cli import main

if __name__ == "__main__":
    main(prog_name="sgxmodel")
