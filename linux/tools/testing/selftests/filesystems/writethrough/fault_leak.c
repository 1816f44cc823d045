// SPDX-License-Identifier: GPL-2.0
/*
 * What fault_nth does, of a few scenarios, and with leaks looked for.
 *
 * Mutant: 104-context-leaked
 * lab: --disk 400M,300M --cpus 1 --timeout 900 --kmemleak
 */
#define SELECTION	",first,append,"
#include "fault_nth.c"
