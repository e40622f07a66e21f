/* SPDX-License-Identifier: GPL-2.0-only */
/* WARN, BUG and printk: each WARN is a report of the engine, each time it fires. */
#ifndef SHIM_REPORT_H
#define SHIM_REPORT_H

void eng_warn(const char *func, const char *fmt, ...) __printf(2, 3);
void eng_bug(const char *func, const char *what) __attribute__((noreturn));
void eng_printk(const char *fmt, ...) __printf(1, 2);

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define FW_BUG "[Firmware Bug]: "

/* "Once" must not be remembered over runs, or the second run would differ. */
#define WARN(cond, fmt, ...) ({					\
	bool _c = !!(cond);					\
	if (unlikely(_c))					\
		eng_warn(__func__, fmt, ##__VA_ARGS__);		\
	_c; })
#define WARN_ONCE(cond, fmt, ...) WARN(cond, fmt, ##__VA_ARGS__)
#define WARN_ON(cond) WARN(cond, "WARN_ON(%s)", #cond)
#define WARN_ON_ONCE(cond) WARN_ON(cond)
#define VM_WARN_ON(cond) WARN_ON(cond)
#define BUG() eng_bug(__func__, "BUG()")
#define BUG_ON(cond) do { if (unlikely(cond)) eng_bug(__func__, #cond); } while (0)

#define pr_emerg(fmt, ...) eng_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err(fmt, ...) eng_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err_once pr_err
#define pr_err_ratelimited pr_err
#define pr_warn(fmt, ...) eng_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn_once pr_warn
#define pr_warn_ratelimited pr_warn
#define pr_info(fmt, ...) eng_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info_once pr_info
#define pr_notice(fmt, ...) eng_printk(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_debug(fmt, ...) do { if (0) eng_printk(pr_fmt(fmt), ##__VA_ARGS__); } while (0)

#endif
