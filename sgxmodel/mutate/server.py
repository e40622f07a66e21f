# SPDX-License-Identifier: GPL-2.0-only
"""What the server that forks a process for each mutant does when it starts: no one else imports it.

multiprocessing's fork server ends once all that it has forked have ended, so they must
not outlive the command, and it must not either.
"""

from __future__ import annotations

import os

from sgxmodel.processes import end_with

PID = os.getpid()
"""The parent of all that it forks."""

# If the command has ended before this, the server finds that out by itself.
end_with(os.getppid())
