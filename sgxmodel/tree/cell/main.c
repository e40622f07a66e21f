// SPDX-License-Identifier: GPL-2.0-only
/*
 *	cell possible
 *	cell host PARENT LIBRARY IN OUT SHARED TRUSTED		(numbers, and descriptors)
 *	cell compile READ... -- WRITE... -- COMMAND...
 *
 * Exit status of the first and the last: 100 and enum cell_part where the machine
 * cannot do it; else that of the command.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cell.h"

#define UNABLE 100

/* A cell does not outlive who made it, not even one that is killed. */
static void die_with(int parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

/* The list up to the next "--", which is made its end. */
static char **list(char **at)
{
	while (*at && strcmp(*at, "--"))
		at++;
	if (!*at)
		_exit(1);
	*at = NULL;
	return at + 1;
}

static int compile(char **reads)
{
	char **writes = list(reads), **command = list(writes);
	int part = confine_compiler(reads, writes);

	if (part)
		return UNABLE + part;
	execvp(*command, command);
	perror(*command);
	return 127;
}

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], "host")) {
		die_with(atoi(argv[2]));
		return host(atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]),
			    atoi(argv[7]));
	}
	if (argc > 4 && !strcmp(argv[1], "compile"))
		return compile(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "possible")) {
		int part = confine_possible();

		return part ? UNABLE + part : 0;
	}
	return 1;
}
