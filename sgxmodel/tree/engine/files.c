// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files with references, and shmem: the page cache of an enclave's backing file.
 *
 * A page that was truncated lives on for whoever holds it, but the file does
 * not have it any more.  A page that was written and not marked dirty may be
 * dropped by the kernel once nobody holds it: that is a loss of data.
 */
#include "engine.h"

#define CACHED 48

struct page {
	struct file *file;		/* NULL: truncated, or no page of a file */
	unsigned long index;
	int refs;
	int dirty;
	int swapped;
	u64 sum;
	u8 *data;
};

struct backing {
	int used, top;			/* no page is at top or above */
	struct page *page[CACHED];
};

static struct backing backings[ENG_ENCLAVES * 4];
static struct page user_pages[ENG_TASKS] GIVEN;
static u64 user_data[ENG_TASKS][2];

/* -- files ------------------------------------------------------------------------------- */

static struct file *new_file(void)
{
	struct file *file = engine_alloc(sizeof(*file), "sizeof(struct file)");

	file->refs = 1;
	file->shmem = -1;
	file->mapping.file = file;
	file->inode.i_mapping = &file->mapping;
	file->f_mapping = &file->mapping;
	file->f_inode = &file->inode;
	return file;
}

struct file *file_new(int encl)
{
	struct file *file = new_file();

	file->encl = encl;
	return file;
}

/* The last reference: user tasks release when their call returns (task work). */
void eng_fput(struct file *file)
{
	check_access(file, sizeof(long), 1, NULL);
	race_release(file);
	if (--file->refs)
		return;
	race_acquire(file);
	if (file->shmem >= 0) {
		shmem_release(file);
		return;
	}
	TRACE("fput() :: the last reference on the file is gone");
	if (W.current == W.ksgxd) {
		queue_work(WORK_FPUT, file);
		return;
	}
	file->later = cur()->fput_later;
	cur()->fput_later = file;
}

void file_release(struct file *file)
{
	tree_release(file);
	engine_free(file);
}

/* task_work_run(): last in, first out. */
void run_task_work(struct task *task)
{
	struct file *file;

	while ((file = task->fput_later)) {
		task->fput_later = file->later;
		file_release(file);
	}
}

static struct file opened[FD_COUNT] GIVEN;	/* for good: the process has the first reference */

struct file *eng_descriptor(int fd)
{
	if (fd == FD_NOTHING)
		return NULL;
	if (!opened[fd].refs)
		opened[fd] = (struct file){ .refs = 1, .shmem = -1 };
	return &opened[fd];
}

/* After the last call. */
void descriptors_end(void)
{
	for (int fd = 0; fd < FD_COUNT; fd++)
		if (opened[fd].refs > 1)
			violate("6-references", "sgx_set_attribute",
				"a reference to an open file is never dropped");
}

struct file *eng_fget(unsigned int fd)
{
	struct file *file = eng_descriptor(fd);

	HERE();
	if (file)
		file->refs++;
	return file;
}

void eng_fd_cleanup(struct file **file)
{
	if (*file)
		eng_fput(*file);
}

/* -- shmem ---------------------------------------------------------------------------------- */

struct file *eng_shmem_file_setup(unsigned long size, const char *func)
{
	struct file *file;

	HERE();
	eng_might_sleep(func);
	if (fail_on_request(FAIL_FILE))
		return (struct file *)-12L;
	file = new_file();
	file->size = size;
	for (unsigned i = 0; i < sizeof(backings) / sizeof(backings[0]); i++)
		if (!backings[i].used) {
			memset(&backings[i], 0, sizeof(backings[i]));
			backings[i].used = 1;
			file->shmem = i;
			return file;
		}
	fatal("14-progress", func, "backing files without end");
}

static struct page **slot_of(struct file *file, unsigned long index)
{
	struct backing *b = &backings[file->shmem];

	for (int i = 0; i < b->top; i++)
		if (b->page[i] && b->page[i]->index == index)
			return &b->page[i];
	for (int i = 0; i < CACHED; i++)
		if (!b->page[i]) {
			b->top = i < b->top ? b->top : i + 1;
			return &b->page[i];
		}
	fatal("14-progress", "shmem", "the backing file has more pages than the enclave needs");
}

/* The lock of a page cache is taken and released in here. */
static void page_cache(const struct file *file)
{
	race_acquire(&file->mapping);
	race_release(&file->mapping);
}

static u64 sum_of(const struct page *page)
{
	const u64 *word = (const u64 *)page->data;
	u64 sum[4] = { 0 };

	for (int i = 0; i < 512; i += 4)
		for (int k = 0; k < 4; k++)
			sum[k] += word[i + k] ^ (u64)i << 32;
	return sum[0] * 3 + sum[1] * 5 + sum[2] * 7 + sum[3] * 11;
}

static void free_page(struct page *page)
{
	engine_free(page->data);
	engine_free(page);
}

struct page *eng_shmem_read_page(struct address_space *mapping, unsigned long index,
				 const char *func)
{
	struct file *file = mapping->file;
	struct page **at, *page;

	HERE();
	check_access(file, sizeof(long), 0, NULL);
	eng_might_sleep(func);
	eng_yield_point();
	if (index >= (file->size + 4095) / 4096)
		return (struct page *)-22L;
	at = slot_of(file, index);
	if (!*at) {
		if (fail_on_request(FAIL_BACKING)) {
			cur()->exhausted = 1;
			return (struct page *)-12L;
		}
		page = engine_alloc(sizeof(*page), "sizeof(struct page)");
		page->data = engine_alloc(4096, "backing page");
		page->file = file;
		page->index = index;
		memcg_charge(index);
		*at = page;
	}
	page = *at;
	if (page->swapped) {
		if (fail_on_request(FAIL_BACKING)) {
			cur()->exhausted = 1;
			sometimes(SEEN_SWAP_FAILED);
			return (struct page *)-12L;
		}
		page->swapped = 0;
		sometimes(SEEN_SWAPPED_IN);
		TRACE("swap_in(backing page %lu)", index);
	}
	page_cache(file);
	if (!page->refs++)
		page->sum = sum_of(page), page->dirty = 0;
	TRACE("shmem_read_mapping_page(backing page %lu) :: references %d -> %d", index,
	      page->refs - 1, page->refs);
	return page;
}

void eng_shmem_truncate(struct inode *inode, unsigned long start, unsigned long end)
{
	struct file *file = inode->i_mapping->file;

	HERE();
	check_access(file, sizeof(long), 0, NULL);
	eng_might_sleep("shmem_truncate_range");
	eng_yield_point();
	page_cache(file);
	for (int i = 0; i < CACHED; i++) {
		struct page *page = backings[file->shmem].page[i];

		if (!page || page->index < start / 4096 || page->index > end / 4096)
			continue;
		backings[file->shmem].page[i] = NULL;
		page->file = NULL;
		sometimes(SEEN_TRUNCATED);
		TRACE("shmem_truncate_range(backing page %lu)", page->index);
		if (!page->refs)
			free_page(page);
	}
}

/*
 * shrink_folio_list() of one page: whoever holds it keeps it.  What was written
 * and is not dirty was reported when it was put, so what holds data is dirty here.
 */
static void shrink_page(struct page **at)
{
	struct page *page = *at;

	if (page->refs) {
		sometimes(SEEN_PRESSURE_IN_USE);
	} else if (eng_memchr_inv(page->data, 0, 4096)) {
		page->swapped = 1;
		sometimes(SEEN_SWAPPED);
		TRACE("swap_out(backing page %lu)", page->index);
	} else {
		*at = NULL;
		sometimes(SEEN_DROPPED);
		TRACE("drop(backing page %lu) :: it was clean", page->index);
		free_page(page);
	}
}

/* Memory pressure, page by page: no lock of the driver protects them from it. */
void shmem_shrink(void)
{
	for (unsigned i = 0; i < sizeof(backings) / sizeof(backings[0]); i++)
		for (int k = 0; k < CACHED; k++) {
			struct page **at = &backings[i].page[k];

			if (!backings[i].used || !*at || (*at)->swapped)
				continue;
			eng_yield_point();
			if (backings[i].used && *at && !(*at)->swapped)
				shrink_page(at);
		}
}

void shmem_release(struct file *file)
{
	struct backing *b = &backings[file->shmem];

	for (int i = 0; i < CACHED; i++)
		if (b->page[i]) {
			if (b->page[i]->refs)
				violate("6-references", driver_function(),
					"the backing file is freed while backing page %lu is held",
					b->page[i]->index);
			b->page[i]->file = NULL;
			if (!b->page[i]->refs)
				free_page(b->page[i]);
		}
	b->used = 0;
	engine_free(file);
}

static const struct page *page_of(struct file *file, unsigned long index)
{
	const struct backing *b = &backings[file->shmem];

	for (int i = 0; i < b->top; i++)
		if (b->page[i] && b->page[i]->index == index)
			return b->page[i];
	return NULL;
}

int eng_backing_refs(struct file *file, unsigned long index);
int eng_backing_refs(struct file *file, unsigned long index)
{
	const struct page *page = page_of(file, index);

	return page ? page->refs : 0;
}

/* Whether a page of a backing file is there: 1 in memory, 2 in swap. */
int eng_backing_has(struct file *file, unsigned long index);
int eng_backing_has(struct file *file, unsigned long index)
{
	const struct page *page = page_of(file, index);

	return page ? 1 + page->swapped : 0;
}

/* Whether a page of a backing file is there and holds more than zeroes. */
int eng_backing_holds(struct file *file, unsigned long index);
int eng_backing_holds(struct file *file, unsigned long index)
{
	const struct page *page = page_of(file, index);

	return page && eng_memchr_inv(page->data, 0, 4096);
}

void eng_get_page(struct page *page)
{
	HERE();
	check_access(page, sizeof(long), 1, NULL);
	eng_yield_point();
	page->refs++;
}

void eng_put_page(struct page *page, const char *func)
{
	HERE();
	check_access(page, sizeof(long), 1, NULL);
	eng_yield_point();
	check_access(page, sizeof(long), 1, NULL);
	if (page->refs <= 0)
		fatal("6-references", func, "put_page() of backing page %lu, which is not held",
		      page->index);
	race_release(page);
	if (page->data != (u8 *)user_data[cur()->id])
		DETAIL("put_page(backing page %lu) :: references %d -> %d", page->index,
		       page->refs, page->refs - 1);
	if (--page->refs || !page->data || page->data == (u8 *)user_data[cur()->id])
		return;
	if (!page->file) {
		free_page(page);
		return;
	}
	if (!page->dirty && sum_of(page) != page->sum)
		violate("8-evicted", func, "backing page %lu was written but is not dirty\n"
			"the kernel may drop it and later read back zeroes or stale data",
			page->index);
}

void eng_set_page_dirty(struct page *page)
{
	HERE();
	check_access(page, sizeof(long), 1, NULL);
	DETAIL("set_page_dirty(backing page %lu)", page->index);
	page->dirty = 1;
}

void *eng_page_address(struct page *page)
{
	check_access(page, sizeof(long), 0, NULL);
	return page->data;
}

/* The source of an EADD: what page of which enclave it is, in eight bytes. */
int eng_get_user_pages(unsigned long addr, struct page **pages)
{
	int me = cur()->id;

	eng_might_sleep("get_user_pages");
	if (cur()->pub.mm && !cur()->pub.mm->mmap_lock.owner && !cur()->pub.mm->mmap_lock.readers)
		violate("17-lock-order", driver_function(), "get_user_pages() without mmap_lock");
	user_data[me][0] = addr >> 12;
	user_pages[me].data = (u8 *)user_data[me];
	user_pages[me].refs++;
	user_pages[me].file = NULL;
	*pages = &user_pages[me];
	return 1;
}
