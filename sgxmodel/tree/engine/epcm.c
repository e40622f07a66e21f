// SPDX-License-Identifier: GPL-2.0-only
/*
 * The EPCM and the ENCLS leaves, from the pseudo-code of the SDM (volume 3D).
 *
 * 0, an error code, or FAULT(vector).  A leaf is a step of its own.  What a page
 * holds is one number; EWB seals it with its identity, its flags and a version
 * in a VA slot, and ELDU tests the seal, so that losing or mixing up the data
 * of two pages shows.
 */
#include "engine.h"

#define FAULT(vector) (0x40000000 | (vector))
#define PF FAULT(14)
#define GP FAULT(13)

enum {
	INVALID_SIGNATURE = 8, MAC_COMPARE_FAIL = 9, NOT_TRACKED = 11, VA_SLOT_OCCUPIED = 12,
	INVALID_EINITTOKEN = 16,
	CHILD_PRESENT = 13, ENCLAVE_ACT = 14, ENTRYEPOCH_LOCKED = 15, PREV_TRK_INCMPL = 17,
	PG_IS_SECS = 18, PAGE_ATTRIBUTES_MISMATCH = 19, PAGE_NOT_MODIFIABLE = 20,
	PAGE_NOT_BLOCKED = 10, BLKSTATE = 3, PG_INVLD = 6, NOTBLOCKABLE = 30,
};

struct frame epcm[ENG_FRAMES];
u64 expected_data[ENG_ENCLAVES][64];
static u32 last_eid, last_version;

static int first_frame(int node)
{
	int n = 0;

	for (int i = 0; i < node; i++)
		n += keep->config.epc[i];
	return n;
}

/* What the CPU takes a page for. */
const char *epcm_kind(int frame)
{
	static const char *const kinds[] = {
		"a SECS", "a TCS", "a regular page", "a VA page", "a trimmed page",
	};

	return epcm[frame].valid ? kinds[epcm[frame].type] : "invalid";
}

/* The frame behind an address of the EPC, or -1. */
int frame_at(const void *addr)
{
	u64 offset = (u64)(uintptr_t)addr - EPC_VIRT;
	u64 node = offset / EPC_STRIDE, page = offset % EPC_STRIDE >> 12;

	if ((u64)(uintptr_t)addr < EPC_VIRT || node >= (u64)keep->config.nodes ||
	    page >= (u64)keep->config.epc[node])
		return -1;
	return first_frame(node) + page;
}

void *epc_address(int frame)
{
	int node = 0;

	while (frame >= keep->config.epc[node])
		frame -= keep->config.epc[node++];
	return (void *)(EPC_VIRT + node * EPC_STRIDE + frame * 4096UL);
}

/* What an earlier kernel left; a child is one of the last SECS before it, or of the first. */
void dirty_epc(void)
{
	const struct eng_config *c = &keep->config;
	int secs = -1;

	for (int i = 0; i < c->dirty && secs < 0; i++)
		if (c->holds[i] == PT_SECS)
			secs = i;
	for (int i = 0; i < c->dirty; i++) {
		struct frame *p = &epcm[i];

		if (c->holds[i] < 0)
			continue;
		p->valid = 1;
		p->type = c->holds[i];
		if (p->type == PT_SECS) {
			secs = i;
			p->eid = ++last_eid;
			p->epoch = p->initialized = 1;
		} else if (p->type != PT_VA && secs >= 0) {
			p->secs = secs;
			epcm[secs].children++;
		}
	}
}

static struct frame *at(const void *addr)
{
	int n = frame_at(addr);

	pages_touched = queue_touched = 1;
	return n < 0 ? NULL : &epcm[n];
}

static int number(const struct frame *p)
{
	return (int)(p - epcm);
}

static int is_child(const struct frame *p)
{
	return p->type == PT_REG || p->type == PT_TCS || p->type == PT_TRIM;
}

static int is_secs(const struct frame *p)
{
	return p && p->valid && p->type == PT_SECS;
}

static struct frame *secs_of(const struct frame *p)
{
	return &epcm[p->secs];
}

/* Whether a guest made the enclave that it belongs to. */
int epcm_is_guests(int frame)
{
	const struct frame *p = &epcm[frame];

	return p->valid && (is_child(p) ? secs_of(p)->guest : p->guest);
}

/* Whether a CPU is inside that entered in this epoch or before. */
static int threads_inside(const struct frame *secs, u32 epoch)
{
	for (int i = 0; i < W.ntask; i++)
		if (W.task[i].inside == (int)secs->eid && W.task[i].entry_epoch <= epoch)
			return 1;
	return 0;
}

static int is_tracked(const struct frame *p, u32 epoch)
{
	const struct frame *secs = secs_of(p);

	return secs->epoch > epoch && !threads_inside(secs, epoch);
}

/* As volume 3D of the SDM and arch/x86/include/asm/sgx.h name them. */
static const char *code_text(int ret)
{
	static const char *const names[] = {
		[BLKSTATE] = "SGX_BLKSTATE", [PG_INVLD] = "SGX_PG_INVLD",
		[INVALID_SIGNATURE] = "SGX_INVALID_SIGNATURE",
		[MAC_COMPARE_FAIL] = "SGX_MAC_COMPARE_FAIL",
		[PAGE_NOT_BLOCKED] = "SGX_PAGE_NOT_BLOCKED", [NOT_TRACKED] = "SGX_NOT_TRACKED",
		[VA_SLOT_OCCUPIED] = "SGX_VA_SLOT_OCCUPIED",
		[CHILD_PRESENT] = "SGX_CHILD_PRESENT", [ENCLAVE_ACT] = "SGX_ENCLAVE_ACT",
		[ENTRYEPOCH_LOCKED] = "SGX_ENTRYEPOCH_LOCKED",
		[INVALID_EINITTOKEN] = "SGX_INVALID_EINITTOKEN",
		[PREV_TRK_INCMPL] = "SGX_PREV_TRK_INCMPL", [PG_IS_SECS] = "SGX_PG_IS_SECS",
		[PAGE_ATTRIBUTES_MISMATCH] = "SGX_PAGE_ATTRIBUTES_MISMATCH",
		[PAGE_NOT_MODIFIABLE] = "SGX_PAGE_NOT_MODIFIABLE",
		[NOTBLOCKABLE] = "SGX_NOTBLOCKABLE",
	};

	return !ret ? "0" : ret == PF ? "#PF" : ret == GP ? "#GP" : names[ret];
}

static int traced(const char *leaf, const struct frame *p, int ret)
{
	if (!p)
		TRACE("%s(no EPC page) = %s", leaf, code_text(ret));
	else
		TRACE("%s(EPC page %d) = %s", leaf, number(p), code_text(ret));
	return ret;
}

static void begin(void)
{
	eng_yield_point();
}

int hw_ecreate(const struct eng_secs *template, void *addr)
{
	struct frame *p = at(addr);

	HERE();
	begin();
	if (!cur()->guest && fail_on_request(FAIL_ECREATE))
		return traced("ECREATE", p, GP);
	if (!p || p->valid)
		return traced("ECREATE", p, PF);
	if (template->size & (template->size - 1) || template->base & (template->size - 1))
		return traced("ECREATE", p, GP);
	memset(p, 0, sizeof(*p));
	p->valid = 1;
	p->type = PT_SECS;
	p->eid = ++last_eid;
	p->base = template->base;
	p->size = template->size;
	p->attributes = template->attributes;
	p->epoch = 1;
	p->guest = cur()->guest;
	return traced("ECREATE", p, 0);
}

static void new_child(struct frame *p, struct frame *secs, u64 linaddr, int type)
{
	memset(p, 0, sizeof(*p));
	p->valid = 1;
	p->type = type;
	p->secs = number(secs);
	p->linaddr = linaddr;
	secs->children++;
}

static int in_range(const struct frame *secs, u64 linaddr)
{
	return linaddr >= secs->base && linaddr < secs->base + secs->size;
}

int hw_eadd(void *secs_addr, u64 linaddr, u64 flags, const void *contents, void *addr)
{
	struct frame *p = at(addr), *secs = at(secs_addr);
	int type = flags >> 8 & 0xff;

	HERE();
	begin();
	if (!cur()->guest && fail_on_request(FAIL_EADD))
		return traced("EADD", p, PF);
	if (!p || p->valid || !is_secs(secs))
		return traced("EADD", p, PF);
	if (secs->initialized || !in_range(secs, linaddr) || (type != PT_REG && type != PT_TCS))
		return traced("EADD", p, GP);
	new_child(p, secs, linaddr, type);
	p->perms = type == PT_TCS ? 0 : flags & 7;
	p->data = *(const u64 *)contents;
	/* At once: a thread may touch the page before the ioctl returns. */
	expected_data[((linaddr >> 32) - 1) % ENG_ENCLAVES][linaddr >> 12 & 63] = p->data;
	return traced("EADD", p, 0);
}

int hw_eextend(void *secs_addr, void *addr)
{
	struct frame *p = at((void *)((uintptr_t)addr & ~4095UL)), *secs = at(secs_addr);

	HERE();
	begin();
	if (fail_on_request(FAIL_EEXTEND))
		return traced("EEXTEND", p, PF);
	if (!p || !p->valid || (p->type != PT_REG && p->type != PT_TCS))
		return PF;
	return secs_of(p) != secs || secs->initialized ? GP : 0;
}

/* The launch key has to be that of who signed, on the CPU that executes this. */
int hw_einit(void *secs_addr, const void *modulus, size_t len)
{
	struct frame *secs = at(secs_addr);
	u64 signer[4];

	HERE();
	begin();
	if (!cur()->guest && fail_on_request(FAIL_EINIT))
		return traced("EINIT", secs, INVALID_SIGNATURE);
	if (!is_secs(secs))
		return traced("EINIT", secs, PF);
	if (secs->initialized)
		return traced("EINIT", secs, GP);
	eng_digest(modulus, len, signer);
	if (eng_cpu_feature(CPU_LAUNCH_CONTROL) && memcmp(signer, cur()->signer, sizeof(signer)))
		return traced("EINIT", secs, INVALID_EINITTOKEN);
	secs->initialized = 1;
	return traced("EINIT", secs, 0);
}

int hw_eremove(void *addr)
{
	struct frame *p = at(addr);

	HERE();
	begin();
	if (p && p->valid && fail_on_request(FAIL_EREMOVE))
		return traced("EREMOVE", p, GP);
	if (!p)
		return traced("EREMOVE", p, PF);
	if (!p->valid)
		return traced("EREMOVE", p, 0);
	if (p->type == PT_SECS && p->children) {
		/* sgx_vepc_release() tries twice; then it is a zombie. */
		if (++p->refusals >= 2)
			sometimes(p->refusals == 2 ? SEEN_ZOMBIE : SEEN_ZOMBIE_STAYED);
		if (W.current == W.ksgxd)
			sometimes(SEEN_WAITED_FOR_CHILDREN);
		return traced("EREMOVE", p, CHILD_PRESENT);
	}
	/* An accepted TRIM page goes while threads are inside. */
	if (is_child(p) && !(p->type == PT_TRIM && !p->modified) &&
	    threads_inside(secs_of(p), ~0U))
		return traced("EREMOVE", p, ENCLAVE_ACT);
	/* EMODT and EACCEPT are how an enclave gives up a page; else its data is lost. */
	if (is_child(p) && secs_of(p)->initialized && !secs_of(p)->guest &&
	    !(p->type == PT_TRIM && !p->modified) && probe_keeps(addr))
		violate("8-evicted", driver_function(),
			"EREMOVE of a page that its enclave still uses\n"
			"the enclave is open, and the page was not trimmed and accepted");
	if (is_child(p))
		secs_of(p)->children--;
	if (p->refusals >= 2)
		sometimes(SEEN_ZOMBIE_FREED);
	memset(p, 0, sizeof(*p));
	if (W.current == W.ksgxd)
		sometimes(SEEN_SANITISED);
	return traced("EREMOVE", p, 0);
}

int hw_epa(void *addr)
{
	struct frame *p = at(addr);

	HERE();
	begin();
	if (fail_on_request(FAIL_EPA))
		return traced("EPA", p, PF);
	if (!p || p->valid)
		return traced("EPA", p, PF);
	memset(p, 0, sizeof(*p));
	p->valid = 1;
	p->type = PT_VA;
	sometimes(SEEN_VA_PAGE);
	return traced("EPA", p, 0);
}

int hw_eblock(void *addr)
{
	struct frame *p = at(addr);

	HERE();
	begin();
	if (!p)
		return traced("EBLOCK", p, PF);
	if (!p->valid)
		return traced("EBLOCK", p, PG_INVLD);
	if (!is_child(p))
		return traced("EBLOCK", p, p->type == PT_SECS ? PG_IS_SECS : NOTBLOCKABLE);
	if (p->blocked)
		return traced("EBLOCK", p, BLKSTATE);
	p->blocked = 1;
	p->blocked_epoch = secs_of(p)->epoch;
	return traced("EBLOCK", p, 0);
}

int hw_etrack(void *addr)
{
	struct frame *secs = at(addr);

	HERE();
	begin();
	if (!is_secs(secs))
		return traced("ETRACK", secs, PF);
	if (threads_inside(secs, secs->epoch - 1))
		return traced("ETRACK", secs, PREV_TRK_INCMPL);
	secs->epoch++;
	return traced("ETRACK", secs, 0);
}

/* -- EWB and ELDU: what is sealed --------------------------------------------------------- */

struct sealed {
	u64 type, eid, linaddr, flags, data, base, size, attributes, epoch;
};

/* Offsets in a PCMD: the SECINFO's flags, the enclave's id, the MAC. */
#define PCMD_FLAGS 0
#define PCMD_ENCLAVE 64
#define PCMD_MAC 112
#define PCMD_BYTES 128

static u64 mac(const struct sealed *s, u32 version)
{
	const u64 *w = (const u64 *)s;
	u64 h = version * 0x9e3779b97f4a7c15ULL + 1;

	for (size_t i = 0; i < sizeof(*s) / 8; i++) {
		h = (h ^ w[i]) * 0xff51afd7ed558ccdULL;
		h ^= h >> 33;
	}
	return h | 1;
}

static void seal(const struct frame *p, struct sealed *s)
{
	memset(s, 0, sizeof(*s));
	s->type = p->type;
	s->flags = p->perms | p->pending << 3 | p->modified << 4 | p->pr << 5 |
		   p->initialized << 6;
	s->data = p->data;
	if (p->type == PT_SECS) {
		s->eid = p->eid;
		s->base = p->base;
		s->size = p->size;
		s->attributes = p->attributes;
		s->epoch = p->epoch;
	} else {
		s->eid = secs_of(p)->eid;
		s->linaddr = p->linaddr;
	}
}

static u32 *slot_at(const void *va_slot)
{
	uintptr_t addr = (uintptr_t)va_slot;
	struct frame *va = at((void *)(addr & ~4095UL));
	unsigned slot = (addr & 4095) / 8;

	if (!va || !va->valid || va->type != PT_VA)
		return NULL;
	return slot < ENG_VA_SLOTS && slot < (unsigned)keep->config.va_slots ?
	       &va->version[slot] : NULL;
}

static int va_full(const u32 *slot)
{
	for (int n = 0; n < ENG_FRAMES; n++)
		if (slot >= epcm[n].version && slot < epcm[n].version + ENG_VA_SLOTS) {
			for (int i = 0; i < eng_tunables.va_slots; i++)
				if (!epcm[n].version[i])
					return 0;
			return 1;
		}
	return 0;
}

int hw_ewb(void *addr, void *contents, void *pcmd, void *va_slot)
{
	struct frame *p = at(addr);
	struct sealed s;
	u32 *slot;

	HERE();
	begin();
	slot = slot_at(va_slot);
	if (!p || !p->valid || !slot)
		return traced("EWB", p, PF);
	if (p->type == PT_VA)
		return traced("EWB", p, GP);
	if (p->type == PT_SECS && p->children)
		return traced("EWB", p, CHILD_PRESENT);
	if (is_child(p) && !p->blocked)
		return traced("EWB", p, PAGE_NOT_BLOCKED);
	if (is_child(p) && !is_tracked(p, p->blocked_epoch))
		return traced("EWB", p, NOT_TRACKED);
	if (*slot)
		return traced("EWB", p, VA_SLOT_OCCUPIED);
	check_access(contents, sizeof(s), 1, NULL);
	check_access(pcmd, PCMD_BYTES, 1, NULL);
	*slot = ++last_version;
	seal(p, &s);
	memcpy(contents, &s, sizeof(s));
	memset(pcmd, 0, PCMD_BYTES);
	*(u64 *)((u8 *)pcmd + PCMD_FLAGS) = s.flags | s.type << 8;
	*(u64 *)((u8 *)pcmd + PCMD_ENCLAVE) = s.eid;
	*(u64 *)((u8 *)pcmd + PCMD_MAC) = mac(&s, *slot);
	if (is_child(p))
		secs_of(p)->children--;
	memset(p, 0, sizeof(*p));
	sometimes(s.type == PT_SECS ? SEEN_SECS_WRITTEN : SEEN_WRITTEN);
	if (va_full(slot))
		sometimes(SEEN_VA_FULL);
	W.progress_step = W.step;
	return traced("EWB", p, 0);
}

int hw_eldu(void *addr, void *secs_addr, u64 linaddr, const void *contents, const void *pcmd,
	    void *va_slot)
{
	struct frame *p = at(addr), *secs = secs_addr ? at(secs_addr) : NULL;
	struct sealed s;
	u32 *slot;

	HERE();
	begin();
	slot = slot_at(va_slot);
	if (!p || p->valid || !slot || (secs_addr && !is_secs(secs)))
		return traced("ELDU", p, PF);
	check_access(contents, sizeof(s), 0, NULL);
	check_access(pcmd, PCMD_BYTES, 0, NULL);
	memcpy(&s, contents, sizeof(s));
	if (!*(const u64 *)((const u8 *)pcmd + PCMD_ENCLAVE) || (s.type == PT_SECS) == !!secs)
		return traced("ELDU", p, GP);
	if (secs && *(const u64 *)((const u8 *)pcmd + PCMD_ENCLAVE) != secs->eid)
		return traced("ELDU", p, GP);
	if (*(const u64 *)((const u8 *)pcmd + PCMD_MAC) != mac(&s, *slot) ||
	    (secs && s.linaddr != linaddr))
		return traced("ELDU", p, MAC_COMPARE_FAIL);
	if (secs) {
		new_child(p, secs, linaddr, s.type);
	} else {
		memset(p, 0, sizeof(*p));
		p->valid = 1;
		p->type = PT_SECS;
		p->eid = s.eid;
		p->base = s.base;
		p->size = s.size;
		p->attributes = s.attributes;
		p->epoch = s.epoch;
	}
	p->perms = s.flags & 7;
	p->pending = s.flags >> 3 & 1;
	p->modified = s.flags >> 4 & 1;
	p->pr = s.flags >> 5 & 1;
	p->initialized = s.flags >> 6 & 1;
	p->data = s.data;
	*slot = 0;
	sometimes(secs ? SEEN_LOADED : SEEN_SECS_LOADED);
	return traced("ELDU", p, 0);
}

/* -- SGX2 --------------------------------------------------------------------------------- */

int hw_eaug(void *secs_addr, u64 linaddr, void *addr)
{
	struct frame *p = at(addr), *secs = at(secs_addr);

	HERE();
	begin();
	if (fail_on_request(FAIL_EAUG))
		return traced("EAUG", p, GP);
	if (!p || p->valid || !is_secs(secs))
		return traced("EAUG", p, PF);
	if (!secs->initialized || !in_range(secs, linaddr))
		return traced("EAUG", p, GP);
	new_child(p, secs, linaddr, PT_REG);
	p->perms = 3;
	p->pending = 1;
	sometimes(SEEN_ADDED);
	return traced("EAUG", p, 0);
}

int hw_emodpr(u64 flags, void *addr)
{
	struct frame *p = at(addr);

	HERE();
	begin();
	if (fail_on_request(FAIL_EMODPR))
		return traced("EMODPR", p, PAGE_NOT_MODIFIABLE);
	if (!p || !p->valid)
		return traced("EMODPR", p, PF);
	if (p->pending || p->modified)
		return traced("EMODPR", p, PAGE_NOT_MODIFIABLE);
	if (p->type != PT_REG)
		return traced("EMODPR", p, PF);
	if (!secs_of(p)->initialized)
		return traced("EMODPR", p, GP);
	p->perms &= flags & 7;
	p->pr = 1;
	p->changed = 1;
	p->changed_epoch = secs_of(p)->epoch;
	sometimes(SEEN_RESTRICTED);
	return traced("EMODPR", p, 0);
}

int hw_emodt(u64 flags, void *addr)
{
	struct frame *p = at(addr);
	int type = flags >> 8 & 0xff;

	HERE();
	begin();
	if (fail_on_request(FAIL_EMODT))
		return traced("EMODT", p, PAGE_NOT_MODIFIABLE);
	if (!p || !p->valid)
		return traced("EMODT", p, PF);
	if (p->pending || p->modified)
		return traced("EMODT", p, PAGE_NOT_MODIFIABLE);
	if (!((p->type == PT_REG && (type == PT_TCS || type == PT_TRIM)) ||
	      (p->type == PT_TCS && type == PT_TRIM)))
		return traced("EMODT", p, PF);
	if (!secs_of(p)->initialized)
		return traced("EMODT", p, GP);
	p->type = type;
	p->modified = 1;
	p->changed = 1;
	p->changed_epoch = secs_of(p)->epoch;
	p->perms = 0;
	p->pr = 0;
	sometimes(SEEN_RETYPED);
	return traced("EMODT", p, 0);
}

/* The page behind the operand of EDBGRD and EDBGWR, or why there is none. */
static int debuggable(const struct frame *p)
{
	if (!p || !p->valid)
		return PF;
	if (!is_child(p))
		return GP;
	if (p->pending || p->modified || p->type == PT_TRIM)
		return PF;
	return secs_of(p)->attributes & 2 ? 0 : GP;
}

int hw_edbgrd(void *addr, unsigned long *data)
{
	struct frame *p = at((void *)((uintptr_t)addr & ~4095UL));
	int ret;

	HERE();
	begin();
	ret = debuggable(p);
	if (ret)
		sometimes(SEEN_EDBGRD_FAILED);
	else
		*data = p->data, cur()->edbgrd = (uintptr_t)addr & 4095;
	return traced("EDBGRD", p, ret);
}

int hw_edbgwr(void *addr, unsigned long data)
{
	struct frame *p = at((void *)((uintptr_t)addr & ~4095UL));
	int ret;

	HERE();
	begin();
	ret = debuggable(p);
	if (!ret)
		cur()->edbgwr = (uintptr_t)addr & 4095;
	if (!ret && p->data != data) {
		p->data = data;
		expected_data[((p->linaddr >> 32) - 1) % ENG_ENCLAVES][p->linaddr >> 12 & 63] = data;
	}
	return traced("EDBGWR", p, ret);
}

/* -- the user's side: a CPU inside an enclave --------------------------------------------------- */

void tlb_flush(struct task *task)
{
	task->inside = 0;		/* the interrupt is an asynchronous exit */
	task->entry_epoch = 0;
	task->tlb_page = -1;
	task->tlb_mm = 0;
}

/* The CPU is interrupted, and that it was is waited for. */
void interrupt(int task)
{
	tlb_flush(&W.task[task]);
	race_meet(task);
}

void eng_ipi(unsigned long mask)
{
	HERE();
	eng_yield_point();
	for (int i = 0; i < W.ntask; i++)
		if (mask >> i & 1) {
			if (W.task[i].inside)
				sometimes(SEEN_INSIDE);
			interrupt(i);
		}
	sometimes(SEEN_IPI);
	TRACE("IPI to CPUs %lx", mask);
	eng_yield_point();
}

/*
 * The frame behind an address; -1: not present (#PF); -2: a PTE that the CPU
 * refuses, which kills the process: the kernel must never leave one behind.
 */
int hw_translate(struct task *task, struct mm_struct *mm, int page)
{
	u64 linaddr = ((u64)(mm->encl + 1) << 32) + ((u64)page << 12);
	struct frame *p;
	int n;

	/* What the TLB has is used as it is, whatever became of the page. */
	if (task->tlb_mm == mm->proc + 1 && task->tlb_page == page) {
		p = &epcm[task->tlb_frame];
		if (!p->valid || !is_child(p) || p->linaddr != linaddr)
			violate("13-mappings", "", "a CPU inside the enclave uses a stale TLB "
				"entry for page %d", page);
		return task->tlb_frame;
	}
	if (!mm->pte[page] || !(mm->pte[page] & PTE_WRITE))
		return -1;
	n = (int)(mm->pte[page] >> 12) - 1;
	p = &epcm[n];
	if (!p->valid || !is_child(p) || p->linaddr != linaddr || p->blocked)
		/* munmap() may be about to take the PTE: the fault will say so. */
		return vma_at(mm, linaddr) ? -2 - n : -1;
	mm->pte[page] |= PTE_YOUNG;
	return n;
}

static void enter(struct task *task, struct mm_struct *mm, int page, int n)
{
	struct frame *secs = secs_of(&epcm[n]);

	if (task->inside != (int)secs->eid) {
		task->inside = secs->eid;
		task->entry_epoch = secs->epoch;
	}
	task->tlb_mm = mm->proc + 1;
	task->tlb_page = page;
	task->tlb_frame = n;
}

static int refused(struct task *task, struct mm_struct *mm, int page, int n)
{
	struct frame *p = &epcm[-2 - n];

	tlb_flush(task);
	violate("13-mappings", mapped_by(mm, page), "the PTE of page %d maps EPC page %d, which is %s",
		page, -2 - n, p->blocked && p->valid ? "blocked" : "no longer this page");
	return RESULT_SIGSEGV;
}

/* Who is answerable for a PTE: a mapping that the driver let go of has its parent's. */
const char *mapped_by(const struct mm_struct *mm, int page)
{
	const struct vm_area_struct *vma = vma_at(mm, base_of(mm->encl) + page * 4096UL);

	return vma && !vma->vm_private_data ? "sgx_vma_open" : "sgx_vma_fault";
}

/* A write. 0; -1: fault first; else what the process dies of. */
int hw_touch(struct task *task, struct mm_struct *mm, int page)
{
	int n = hw_translate(task, mm, page);
	struct frame *p;

	if (n == -1) {
		tlb_flush(task);
		return -1;
	}
	if (n < -1)
		return refused(task, mm, page, n);
	p = &epcm[n];
	if (p->pending || p->modified || p->type != PT_REG || !(p->perms & 2)) {
		tlb_flush(task);
		return RESULT_SIGSEGV;
	}
	enter(task, mm, page, n);
	if (p->data != expected_data[mm->encl][page])
		violate("8-evicted", mapped_by(mm, page), "data of page %d is lost", page);
	p->data = ++expected_data[mm->encl][page];
	TRACE("writes to page %d (EPC page %d)", page, n);
	return 0;
}

int hw_accept(struct task *task, struct mm_struct *mm, int page)
{
	int n = hw_translate(task, mm, page);
	struct frame *p;

	if (n == -1) {
		tlb_flush(task);
		return -1;
	}
	if (n < -1)
		return refused(task, mm, page, n);
	p = &epcm[n];
	enter(task, mm, page, n);
	if (!p->pending && !p->modified && !p->pr)
		return 0;		/* accepted already: PAGE_ATTRIBUTES_MISMATCH */
	if (p->changed && !is_tracked(p, p->changed_epoch)) {
		TRACE("EACCEPT(EPC page %d) = SGX_NOT_TRACKED", n);
		return NOT_TRACKED;
	}
	if (p->pending)
		expected_data[mm->encl][page] = p->data;
	p->pending = p->modified = p->pr = p->changed = 0;
	TRACE("EACCEPT(EPC page %d) = 0", n);
	return 0;
}

/* For the checks that are compiled with the driver. */
struct probe_frame {
	u8 valid, type;
	u64 linaddr;
};

void probe_epcm(int n, struct probe_frame *out);
void probe_epcm(int n, struct probe_frame *out)
{
	*out = (struct probe_frame){ epcm[n].valid, epcm[n].type, epcm[n].linaddr };
}

struct probe_entry {
	int valid, type, secs, page, pending, modified, blocked, children, initialized, used;
};

void probe_entry(int n, struct probe_entry *out);
void probe_entry(int n, struct probe_entry *out)
{
	const struct frame *p = &epcm[n];
	int child = p->type != PT_SECS && p->type != PT_VA;

	*out = (struct probe_entry){
		.valid = p->valid, .type = p->type, .secs = p->secs, .pending = p->pending,
		.page = child && p->valid ? (int)((p->linaddr - epcm[p->secs].base) >> 12) : 0,
		.modified = p->modified, .blocked = p->blocked, .children = p->children,
		.initialized = p->initialized,
	};
	for (int i = 0; i < ENG_VA_SLOTS; i++)
		out->used += p->version[i] != 0;
}
