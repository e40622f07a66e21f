/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Constants of the driver that a scenario sets.  Included after the driver's
 * own headers: arrays of SGX_NR_TO_SCAN become variable-length, a VA page keeps
 * its layout and uses fewer slots, so that a full one is reachable.  Calls, not
 * variables: reading them is no access that a task could be preempted at.
 */
int __attribute__((const)) eng_scan(void);
int __attribute__((const)) eng_low(void);
int __attribute__((const)) eng_high(void);
int __attribute__((const)) eng_va_slots(void);

#undef SGX_NR_TO_SCAN
#define SGX_NR_TO_SCAN eng_scan()
#undef SGX_NR_LOW_PAGES
#define SGX_NR_LOW_PAGES eng_low()
#undef SGX_NR_HIGH_PAGES
#define SGX_NR_HIGH_PAGES eng_high()
#undef SGX_VA_SLOT_COUNT
#define SGX_VA_SLOT_COUNT eng_va_slots()
