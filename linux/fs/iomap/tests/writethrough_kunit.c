// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of buffered write-through: what can be told without a file system
 * and a device.  Included by writethrough.c.
 */
#include <kunit/test.h>
#include <linux/backing-dev.h>

#define BLOCKS_PER_PAGE	4
#define BLOCK		(PAGE_SIZE / BLOCKS_PER_PAGE)

/*
 * An inode with some folios in its mapping, as far as the engine looks at it.
 */
struct writethrough_test {
	struct inode		*inode;
	struct folio		*folios[3];
	char			*data;		/* a page for each, none zero */
};

static void writethrough_free_folios(void *data)
{
	struct writethrough_test *t = data;
	unsigned int i;

	xa_destroy(&t->inode->i_data.i_pages);
	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		struct folio *folio = t->folios[i];

		if (!folio)
			continue;
		kfree(folio_detach_private(folio));
		folio->mapping = NULL;
		folio_put(folio);
	}
}

static int writethrough_test_init(struct kunit *test)
{
	struct writethrough_test *t;
	struct inode *inode;
	unsigned int i;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	inode = kunit_kzalloc(test, sizeof(*inode), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, inode);
	inode_init_once(inode);
	inode->i_blkbits = ilog2(BLOCK);
	inode->i_mapping = &inode->i_data;
	inode->i_data.host = inode;
	t->inode = inode;
	t->data = kunit_kmalloc(test, ARRAY_SIZE(t->folios) * PAGE_SIZE,
				GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->data);
	for (i = 0; i < ARRAY_SIZE(t->folios) * PAGE_SIZE; i++)
		t->data[i] = 'a' + i % 23;

	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  writethrough_free_folios, t));
	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_ZERO, 0);

		KUNIT_ASSERT_NOT_NULL(test, folio);
		folio->mapping = &inode->i_data;
		folio->index = i;
		t->folios[i] = folio;
	}
	return 0;
}

static void writethrough_chunk_small(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct address_space *mapping = t->inode->i_mapping;
	const size_t most = FOLIO_BATCH_SIZE * PAGE_SIZE;

	/* all that there is, if it fits */
	KUNIT_EXPECT_EQ(test, 1, iomap_writethrough_chunk(mapping, 0, 1));
	KUNIT_EXPECT_EQ(test, 100,
			iomap_writethrough_chunk(mapping, PAGE_SIZE - 1, 100));
	KUNIT_EXPECT_EQ(test, most, iomap_writethrough_chunk(mapping, 0, most));
	/* else as many pages as a batch has, the first one being partial */
	KUNIT_EXPECT_EQ(test, most,
			iomap_writethrough_chunk(mapping, 0, most + 1));
	KUNIT_EXPECT_EQ(test, most - 1,
			iomap_writethrough_chunk(mapping, 1, most));
	KUNIT_EXPECT_EQ(test, most - PAGE_SIZE + 1,
			iomap_writethrough_chunk(mapping, PAGE_SIZE - 1, most));
	KUNIT_EXPECT_EQ(test, most,
			iomap_writethrough_chunk(mapping, 5 * PAGE_SIZE,
						 MAX_RW_COUNT));
	KUNIT_EXPECT_EQ(test, most,
			iomap_writethrough_chunk(mapping,
						 MAX_LFS_FILESIZE -
						 2 * most + 1,
						 2 * most - 1));
}

static void writethrough_chunk_large(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct address_space *mapping = t->inode->i_mapping;
	size_t max;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		kunit_skip(test, "no large folios");

	mapping_set_folio_order_range(mapping, 0, 4);
	max = mapping_max_folio_size(mapping);
	KUNIT_ASSERT_EQ(test, PAGE_SIZE << 4, max);

	/* up to where the largest folio that is possible there would end */
	KUNIT_EXPECT_EQ(test, 1, iomap_writethrough_chunk(mapping, 0, 1));
	KUNIT_EXPECT_EQ(test, max, iomap_writethrough_chunk(mapping, 0, max));
	KUNIT_EXPECT_EQ(test, max,
			iomap_writethrough_chunk(mapping, 0, max + 1));
	KUNIT_EXPECT_EQ(test, 1,
			iomap_writethrough_chunk(mapping, max - 1, 2));
	KUNIT_EXPECT_EQ(test, max - PAGE_SIZE,
			iomap_writethrough_chunk(mapping, 3 * max + PAGE_SIZE,
						 MAX_RW_COUNT));
}

/* Whatever the copy does not get done, in the end one byte is tried alone. */
static void writethrough_shrink(struct kunit *test)
{
	size_t bytes = 1000;
	unsigned int tries = 0;

	KUNIT_EXPECT_EQ(test, 7, iomap_writethrough_shrink(4096, 7));
	KUNIT_EXPECT_EQ(test, 2048, iomap_writethrough_shrink(4096, 0));
	KUNIT_EXPECT_EQ(test, 1, iomap_writethrough_shrink(1, 0));
	while (bytes > 1 && tries++ < 100) {
		size_t less = iomap_writethrough_shrink(bytes, 0);

		KUNIT_ASSERT_LT(test, less, bytes);
		bytes = less;
	}
	KUNIT_EXPECT_EQ(test, 1, bytes);
}

/* The mapping is asked for whole blocks, and answers for some. */
static struct {
	loff_t			pos;
	unsigned int		len;
	unsigned int		flags;
	u64			offset, length;	/* of the answer */
	u16			iomap_flags;
	int			error;
} writethrough_asked;

static int writethrough_fake_map(struct iomap_writepage_ctx *wpc, loff_t pos,
				 unsigned int len, unsigned int flags)
{
	writethrough_asked.pos = pos;
	writethrough_asked.len = len;
	writethrough_asked.flags = flags;
	wpc->iomap.type = IOMAP_MAPPED;
	wpc->iomap.offset = writethrough_asked.offset;
	wpc->iomap.length = writethrough_asked.length;
	wpc->iomap.flags = writethrough_asked.iomap_flags;
	return writethrough_asked.error;
}

static const struct iomap_writeback_ops writethrough_fake_ops = {
	.writethrough_map	= writethrough_fake_map,
};

static void writethrough_map_rounding(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_iter iter = { .inode = t->inode, .flags = IOMAP_WRITE };
	struct iomap_writepage_ctx wpc = {
		.inode	= t->inode,
		.ops	= &writethrough_fake_ops,
	};

	writethrough_asked.offset = 0;
	writethrough_asked.length = 100 * BLOCK;
	writethrough_asked.error = 0;

	/* a byte in the middle of a block */
	iter.pos = 5 * BLOCK + 17;
	KUNIT_EXPECT_EQ(test, 1, iomap_writethrough_map(&iter, &wpc, 1, 1));
	KUNIT_EXPECT_EQ(test, 5 * BLOCK, writethrough_asked.pos);
	KUNIT_EXPECT_EQ(test, BLOCK, writethrough_asked.len);

	/*
	 * the end of one and the start of another; more is left, but not asked
	 */
	iter.pos = 6 * BLOCK - 1;
	KUNIT_EXPECT_EQ(test, 2,
			iomap_writethrough_map(&iter, &wpc, 2, 50 * BLOCK));
	KUNIT_EXPECT_EQ(test, 5 * BLOCK, writethrough_asked.pos);
	KUNIT_EXPECT_EQ(test, 2 * BLOCK, writethrough_asked.len);

	/* whole blocks stay what they are */
	iter.pos = 5 * BLOCK;
	KUNIT_EXPECT_EQ(test, 3 * BLOCK,
			iomap_writethrough_map(&iter, &wpc, 3 * BLOCK,
					       3 * BLOCK));
	KUNIT_EXPECT_EQ(test, 5 * BLOCK, writethrough_asked.pos);
	KUNIT_EXPECT_EQ(test, 3 * BLOCK, writethrough_asked.len);
}

/* An overwrite asks for all that is left of it. */
static void writethrough_map_overwrite(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_iter iter = {
		.inode	= t->inode,
		.pos	= 2 * BLOCK,
		.flags	= IOMAP_WRITE | IOMAP_OVERWRITE_ONLY,
	};
	struct iomap_writepage_ctx wpc = {
		.inode	= t->inode,
		.ops	= &writethrough_fake_ops,
	};

	writethrough_asked.offset = 0;
	writethrough_asked.length = 100 * BLOCK;
	writethrough_asked.error = 0;
	KUNIT_EXPECT_EQ(test, BLOCK,
			iomap_writethrough_map(&iter, &wpc, BLOCK, 9 * BLOCK));
	KUNIT_EXPECT_EQ(test, 2 * BLOCK, writethrough_asked.pos);
	KUNIT_EXPECT_EQ(test, 9 * BLOCK, writethrough_asked.len);
	KUNIT_EXPECT_EQ(test, iter.flags, writethrough_asked.flags);
}

static void writethrough_map_trimmed(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_iter iter = { .inode = t->inode, .flags = IOMAP_WRITE };
	struct iomap_writepage_ctx wpc = {
		.inode	= t->inode,
		.ops	= &writethrough_fake_ops,
	};

	/* the extent ends before the write, which begins inside a block */
	writethrough_asked.offset = 2 * BLOCK;
	writethrough_asked.length = 4 * BLOCK;
	writethrough_asked.error = 0;
	iter.pos = 3 * BLOCK + 10;
	KUNIT_EXPECT_EQ(test, 3 * BLOCK - 10,
			iomap_writethrough_map(&iter, &wpc, 8 * BLOCK,
					       8 * BLOCK));
	/* it reaches just as far */
	KUNIT_EXPECT_EQ(test, 3 * BLOCK - 10,
			iomap_writethrough_map(&iter, &wpc, 3 * BLOCK - 10,
					       8 * BLOCK));
	/* beyond what an unsigned long holds everywhere */
	iter.pos = (1ULL << 40) + 1;
	writethrough_asked.offset = 1ULL << 40;
	KUNIT_EXPECT_EQ(test, 4 * BLOCK - 1,
			iomap_writethrough_map(&iter, &wpc, 8 * BLOCK,
					       8 * BLOCK));

	writethrough_asked.error = -ENOSPC;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			iomap_writethrough_map(&iter, &wpc, BLOCK, BLOCK));
}

/*
 * A copy into the first folio that comes as far as @have of @len bytes.
 * Returns what counts, and sees to it that the rest is still in the iov_iter.
 */
static size_t writethrough_copy_some(struct kunit *test, size_t off, size_t len,
				     size_t have, size_t *copied)
{
	struct writethrough_test *t = test->priv;
	struct kvec kvec = { t->data, have };
	struct iov_iter from;
	size_t good;

	iov_iter_kvec(&from, ITER_SOURCE, &kvec, 1, have);
	good = iomap_writethrough_copy_folio(t->inode, t->folios[0], off, len,
					     &from, copied);
	KUNIT_EXPECT_EQ(test, have - good, iov_iter_count(&from));
	KUNIT_EXPECT_MEMEQ(test, t->data,
			   (char *)folio_address(t->folios[0]) + off, good);
	return good;
}

static bool writethrough_uptodate(struct kunit *test, unsigned int block)
{
	struct writethrough_test *t = test->priv;

	return iomap_writethrough_block_uptodate(t->inode, t->folios[0],
						 block * BLOCK);
}

static void writethrough_copy_whole(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	size_t copied;

	KUNIT_ASSERT_NOT_NULL(test, ifs_alloc(t->inode, t->folios[0], 0));
	KUNIT_EXPECT_EQ(test, 2 * BLOCK,
			writethrough_copy_some(test, BLOCK, 2 * BLOCK,
					       2 * BLOCK, &copied));
	KUNIT_EXPECT_EQ(test, 2 * BLOCK, copied);
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 0));
	KUNIT_EXPECT_TRUE(test, writethrough_uptodate(test, 1));
	KUNIT_EXPECT_TRUE(test, writethrough_uptodate(test, 2));
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 3));
	KUNIT_EXPECT_FALSE(test, folio_test_uptodate(t->folios[0]));

	/* the last blocks that were missing */
	writethrough_copy_some(test, 0, BLOCK, BLOCK, &copied);
	writethrough_copy_some(test, 3 * BLOCK, BLOCK, BLOCK, &copied);
	KUNIT_EXPECT_TRUE(test, folio_test_uptodate(t->folios[0]));
}

/* Blocks that are not up to date count as a whole, or not at all. */
static void writethrough_copy_short(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	size_t copied;

	KUNIT_ASSERT_NOT_NULL(test, ifs_alloc(t->inode, t->folios[0], 0));

	/* inside the first */
	KUNIT_EXPECT_EQ(test, 0,
			writethrough_copy_some(test, 0, 3 * BLOCK, BLOCK - 1,
					       &copied));
	KUNIT_EXPECT_EQ(test, BLOCK - 1, copied);
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 0));
	/* inside the first, which the write begins in */
	KUNIT_EXPECT_EQ(test, 0,
			writethrough_copy_some(test, 100, 3 * BLOCK, 50,
					       &copied));
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 0));
	/* not a byte */
	KUNIT_EXPECT_EQ(test, 0,
			writethrough_copy_some(test, 0, BLOCK, 0, &copied));
	KUNIT_EXPECT_EQ(test, 0, copied);
	/* inside the third */
	KUNIT_EXPECT_EQ(test, 2 * BLOCK,
			writethrough_copy_some(test, 0, 4 * BLOCK,
					       2 * BLOCK + 1, &copied));
	KUNIT_EXPECT_TRUE(test, writethrough_uptodate(test, 0));
	KUNIT_EXPECT_TRUE(test, writethrough_uptodate(test, 1));
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 2));
	/* just before the fourth */
	KUNIT_EXPECT_EQ(test, BLOCK,
			writethrough_copy_some(test, 2 * BLOCK, 2 * BLOCK,
					       BLOCK, &copied));
	KUNIT_EXPECT_TRUE(test, writethrough_uptodate(test, 2));
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 3));
	/* from one that is up to date into one that is not */
	KUNIT_EXPECT_EQ(test, BLOCK - 30,
			writethrough_copy_some(test, 2 * BLOCK + 30, BLOCK,
					       BLOCK - 20, &copied));
	KUNIT_EXPECT_FALSE(test, folio_test_uptodate(t->folios[0]));
}

/* In one that is up to date each byte counts. */
static void writethrough_copy_short_uptodate(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	size_t copied;

	KUNIT_ASSERT_NOT_NULL(test, ifs_alloc(t->inode, t->folios[0], 0));
	iomap_set_range_uptodate(t->folios[0], BLOCK, BLOCK);
	KUNIT_EXPECT_EQ(test, 5,
			writethrough_copy_some(test, BLOCK + 3, 100, 5,
					       &copied));
	KUNIT_EXPECT_EQ(test, BLOCK - 1,
			writethrough_copy_some(test, BLOCK, 2 * BLOCK,
					       BLOCK - 1, &copied));
	KUNIT_EXPECT_FALSE(test, writethrough_uptodate(test, 2));
}

/* Without per-block state the folio is one block. */
static void writethrough_copy_one_block(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct folio *folio = t->folios[0];
	size_t copied;

	t->inode->i_blkbits = PAGE_SHIFT;
	KUNIT_EXPECT_NULL(test, ifs_alloc(t->inode, folio, 0));
	KUNIT_EXPECT_EQ(test, 0,
			writethrough_copy_some(test, 0, PAGE_SIZE,
					       PAGE_SIZE - 1, &copied));
	KUNIT_EXPECT_FALSE(test, folio_test_uptodate(folio));
	KUNIT_EXPECT_EQ(test, PAGE_SIZE,
			writethrough_copy_some(test, 0, PAGE_SIZE, PAGE_SIZE,
					       &copied));
	KUNIT_EXPECT_TRUE(test, folio_test_uptodate(folio));
	KUNIT_EXPECT_EQ(test, 9,
			writethrough_copy_some(test, 1, PAGE_SIZE - 1, 9,
					       &copied));
}

static void writethrough_copy_batch(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_iter iter = { .inode = t->inode, .pos = BLOCK };
	size_t have = PAGE_SIZE + BLOCK + 5, hint;
	struct kvec kvec = { t->data, have };
	struct folio_batch fbatch;
	struct iov_iter from;
	unsigned int i;

	folio_batch_init(&fbatch);
	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		ifs_alloc(t->inode, t->folios[i], 0);
		folio_batch_add(&fbatch, t->folios[i]);
	}

	/* to the end of the first, and of the second not all */
	iov_iter_kvec(&from, ITER_SOURCE, &kvec, 1, have);
	KUNIT_EXPECT_EQ(test, PAGE_SIZE + BLOCK,
			iomap_writethrough_copy(&iter, &fbatch, 2 * PAGE_SIZE,
						&from, &hint));
	KUNIT_EXPECT_EQ(test, 5, iov_iter_count(&from));
	KUNIT_EXPECT_MEMEQ(test, t->data,
			   (char *)folio_address(t->folios[0]) + BLOCK,
			   PAGE_SIZE - BLOCK);
	KUNIT_EXPECT_MEMEQ(test, t->data + PAGE_SIZE - BLOCK,
			   folio_address(t->folios[1]), 2 * BLOCK);

	/* nothing, and how much there would have been */
	iov_iter_kvec(&from, ITER_SOURCE, &kvec, 1, 5);
	iter.pos = 2 * PAGE_SIZE;
	fbatch.folios[0] = t->folios[2];
	KUNIT_EXPECT_EQ(test, 0,
			iomap_writethrough_copy(&iter, &fbatch, BLOCK, &from,
						&hint));
	KUNIT_EXPECT_EQ(test, 5, hint);
}

static void writethrough_dirty_blocks(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct folio *folio = t->folios[0];

	KUNIT_ASSERT_NOT_NULL(test, ifs_alloc(t->inode, folio, 0));
	KUNIT_EXPECT_FALSE(test,
			   iomap_writethrough_folio_dirty(t->inode, folio));
	/* the last block, and by one byte of it */
	iomap_set_range_dirty(folio, PAGE_SIZE - 1, 1);
	KUNIT_EXPECT_TRUE(test,
			  iomap_writethrough_folio_dirty(t->inode, folio));
	/* all but that */
	iomap_set_range_dirty(folio, 0, PAGE_SIZE);
	ifs_start_range_write(t->inode, folio, 0, PAGE_SIZE - BLOCK);
	KUNIT_EXPECT_TRUE(test,
			  iomap_writethrough_folio_dirty(t->inode, folio));
	ifs_start_range_write(t->inode, folio, PAGE_SIZE - BLOCK, BLOCK);
	KUNIT_EXPECT_FALSE(test,
			   iomap_writethrough_folio_dirty(t->inode, folio));
	/* the first one */
	iomap_set_range_dirty(folio, 0, 1);
	KUNIT_EXPECT_TRUE(test,
			  iomap_writethrough_folio_dirty(t->inode, folio));
}

/* The folios, where whoever looks one up finds it. */
static void writethrough_cache_folios(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		void *old = xa_store_irq(&t->inode->i_data.i_pages, i,
					 t->folios[i], GFP_KERNEL);

		KUNIT_ASSERT_NULL(test, old);
	}
}

/* Nobody holds the folio or its lock; its state has a reference of its own. */
static bool writethrough_left_alone(struct folio *folio)
{
	return !folio_test_locked(folio) &&
		folio_ref_count(folio) == 1 + !!folio->private;
}

/* Of all blocks only one of a folio is dirty. */
static void writethrough_dirty_only(struct kunit *test, unsigned int nr,
				    unsigned int block)
{
	struct writethrough_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		struct folio *folio = t->folios[i];
		struct iomap_folio_state *ifs = ifs_alloc(t->inode, folio, 0);

		KUNIT_ASSERT_NOT_NULL(test, ifs);
		folio_clear_dirty(folio);
		bitmap_clear(ifs->state, BLOCKS_PER_PAGE, BLOCKS_PER_PAGE);
	}
	folio_set_dirty(t->folios[nr]);
	iomap_set_range_dirty(t->folios[nr], block * BLOCK, BLOCK);
}

static void writethrough_range_dirty(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct inode *inode = t->inode;
	struct folio *folio = t->folios[0];

	/* without per-block state the folio is one block */
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_range_dirty(inode, folio, 0,
								PAGE_SIZE));
	folio_set_dirty(folio);
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_range_dirty(inode, folio,
							       BLOCK, 1));

	writethrough_dirty_only(test, 0, 1);
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_range_dirty(inode, folio, 0,
							       PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_range_dirty(inode, folio, 0,
								BLOCK));
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_range_dirty(inode, folio, 0,
							       BLOCK + 1));
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_range_dirty(inode, folio,
							       2 * BLOCK - 1,
							       1));
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_range_dirty(inode, folio,
								2 * BLOCK,
								2 * BLOCK));
	folio_clear_dirty(folio);
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_range_dirty(inode, folio, 0,
								PAGE_SIZE));
}

/*
 * What an atomic write has to write back first: in its range, and only there.
 */
static void writethrough_atomic_dirty(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_writethrough_atomic atomic = {
		.folios		= t->folios,
		.nr_folios	= ARRAY_SIZE(t->folios),
	};
	struct iomap_iter iter = {
		.inode	= t->inode,
		.pos	= BLOCK,
		.len	= 2 * PAGE_SIZE,
	};
	unsigned int nr, block;

	for (nr = 0; nr < ARRAY_SIZE(t->folios); nr++) {
		for (block = 0; block < BLOCKS_PER_PAGE; block++) {
			loff_t pos = nr * PAGE_SIZE + block * BLOCK;
			bool inside = pos >= iter.pos &&
				pos < iter.pos + iter.len;
			bool dirty;

			writethrough_dirty_only(test, nr, block);
			dirty = iomap_writethrough_atomic_dirty(&atomic, &iter);
			KUNIT_EXPECT_EQ_MSG(test, inside, dirty,
					    "block %u of folio %u", block, nr);
		}
	}
	folio_clear_dirty(t->folios[2]);
}

/*
 * Is a folio dirty, and some of the range in it is not?  Then writing it back
 * makes it possible to drop that.
 */
static void writethrough_part_dirty(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct address_space *mapping = t->inode->i_mapping;
	struct folio *folio = t->folios[1];
	struct iomap_folio_state *ifs;
	const loff_t at = PAGE_SIZE;

	/* not cached, then clean, then one block, which is dirty as a whole */
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, 10,
							       4 * PAGE_SIZE));
	writethrough_cache_folios(test);
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, 10,
							       4 * PAGE_SIZE));
	folio_set_dirty(folio);
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, 0,
							       3 * PAGE_SIZE));

	/* all of its blocks are */
	ifs = ifs_alloc(t->inode, folio, 0);
	KUNIT_ASSERT_NOT_NULL(test, ifs);
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, 0,
							       3 * PAGE_SIZE));
	/* all but the first, which may be in the range, or be all of it */
	bitmap_clear(ifs->state, BLOCKS_PER_PAGE, 1);
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_part_dirty(mapping, 0,
							      3 * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_part_dirty(mapping, at,
							      at + BLOCK));
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping,
							       at + BLOCK,
							       3 * PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, 0, at));
	/* all but the last */
	bitmap_set(ifs->state, BLOCKS_PER_PAGE, BLOCKS_PER_PAGE - 1);
	bitmap_clear(ifs->state, 2 * BLOCKS_PER_PAGE - 1, 1);
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_part_dirty(mapping, at,
							      2 * at));
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, at,
							       2 * at - BLOCK));
	KUNIT_EXPECT_TRUE(test,
			  iomap_writethrough_part_dirty(mapping, at,
							2 * at - BLOCK + 1));
	/* it is about a folio that is dirty */
	folio_clear_dirty(folio);
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_part_dirty(mapping, at,
							       2 * at));
	KUNIT_EXPECT_TRUE(test, writethrough_left_alone(t->folios[0]));
	KUNIT_EXPECT_TRUE(test, writethrough_left_alone(folio));
}

/* One bio has to do, if the device is to see to it that it does not tear. */
static void writethrough_atomic_map(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct iomap_writethrough_atomic atomic = { };
	struct iomap_iter iter = {
		.inode	= t->inode,
		.pos	= 4 * PAGE_SIZE,
		.len	= 4 * PAGE_SIZE,
		.flags	= IOMAP_WRITE | IOMAP_ATOMIC,
	};
	struct iomap_writepage_ctx wpc = {
		.inode	= t->inode,
		.ops	= &writethrough_fake_ops,
	};

	writethrough_asked.offset = iter.pos;
	writethrough_asked.length = iter.len;
	writethrough_asked.iomap_flags = IOMAP_F_ATOMIC_BIO;
	writethrough_asked.error = 0;
	atomic.nr_folios = BIO_MAX_VECS;
	KUNIT_EXPECT_EQ(test, 0,
			iomap_writethrough_atomic_map(&atomic, &iter, &wpc));
	KUNIT_EXPECT_EQ(test, iter.pos, writethrough_asked.pos);
	KUNIT_EXPECT_EQ(test, iter.len, writethrough_asked.len);
	KUNIT_EXPECT_EQ(test, iter.flags, writethrough_asked.flags);
	atomic.nr_folios = BIO_MAX_VECS + 1;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			iomap_writethrough_atomic_map(&atomic, &iter, &wpc));

	/* what is remapped may take as many as it likes, of any length */
	writethrough_asked.iomap_flags = IOMAP_F_SHARED;
	writethrough_asked.length = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 0,
			iomap_writethrough_atomic_map(&atomic, &iter, &wpc));

	writethrough_asked.error = -ENOSPC;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			iomap_writethrough_atomic_map(&atomic, &iter, &wpc));
	writethrough_asked.iomap_flags = 0;
}

/* All folios are locked and at rest, or it is left at that. */
static void writethrough_atomic_nowait(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct folio *locked[ARRAY_SIZE(t->folios)];
	struct iomap_writethrough_atomic atomic = { .folios = locked };
	struct iomap_iter iter = {
		.inode	= t->inode,
		.pos	= BLOCK,
		.len	= 2 * PAGE_SIZE,
		.flags	= IOMAP_WRITE | IOMAP_ATOMIC | IOMAP_NOWAIT,
	};
	unsigned int i;

	writethrough_cache_folios(test);
	KUNIT_EXPECT_EQ(test, 0,
			iomap_writethrough_atomic_lock(&atomic, &iter));
	KUNIT_ASSERT_EQ(test, 3, atomic.nr_folios);
	for (i = 0; i < atomic.nr_folios; i++) {
		KUNIT_EXPECT_PTR_EQ(test, locked[i], t->folios[i]);
		KUNIT_EXPECT_TRUE(test, folio_test_locked(locked[i]));
		KUNIT_EXPECT_NOT_NULL(test, locked[i]->private);
	}
	iomap_writethrough_atomic_unlock(&atomic);

	/* the second is on its way to the device */
	folio_test_set_writeback(t->folios[1]);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			iomap_writethrough_atomic_lock(&atomic, &iter));
	KUNIT_EXPECT_EQ(test, 2, atomic.nr_folios);
	iomap_writethrough_atomic_unlock(&atomic);
	folio_test_clear_writeback(t->folios[1]);

	/* somebody has locked the third */
	folio_lock(t->folios[2]);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			iomap_writethrough_atomic_lock(&atomic, &iter));
	KUNIT_EXPECT_EQ(test, 2, atomic.nr_folios);
	iomap_writethrough_atomic_unlock(&atomic);
	folio_unlock(t->folios[2]);

	KUNIT_EXPECT_EQ(test, 0, atomic.nr_folios);
	for (i = 0; i < ARRAY_SIZE(t->folios); i++)
		KUNIT_EXPECT_TRUE(test, writethrough_left_alone(t->folios[i]));
}

/*
 * The states that a folio of which two blocks are written through can be in, by
 * what has been done to it.
 */
struct writethrough_model {
	bool	flight[2];
	bool	dirty[2];
	bool	whole;		/* under writeback as a whole */
	bool	late;		/* too late to join */
};

enum writethrough_op {
	/* submitted, if the folio need not be waited for */
	WRITE_0, WRITE_1,
	FAIL_0, FAIL_1,		/* the same, but the submission fails */
	LEAVE_0, LEAVE_1,	/* the same, but nothing is copied */
	DIRTY_0, DIRTY_1,
	COMPLETE_0, COMPLETE_1,
	GET_LATE,
	START_WHOLE, COMPLETE_WHOLE,
	NR_OPS,
};

static bool writethrough_model_busy(const struct writethrough_model *m)
{
	return m->flight[0] || m->flight[1] || m->whole;
}

static bool writethrough_model_can_write(const struct writethrough_model *m,
					 unsigned int block)
{
	if (!writethrough_model_busy(m))
		return true;
	return !m->whole && !m->late && !m->flight[block];
}

static void writethrough_model_started(struct writethrough_model *m)
{
	if (!writethrough_model_busy(m))
		m->late = false;
}

static void writethrough_do_write(struct writethrough_test *t,
				  struct writethrough_model *m,
				  enum writethrough_op op)
{
	struct folio *folio = t->folios[0];
	unsigned int block = op & 1;
	size_t off = block * BLOCK;
	struct folio_batch fbatch;

	if (op <= FAIL_1) {
		writethrough_model_started(m);
		iomap_writethrough_start_folio(t->inode, folio, off, BLOCK);
		m->dirty[block] = false;
	}
	if (op <= WRITE_1) {
		m->flight[block] = true;
	} else if (op <= FAIL_1) {
		iomap_writethrough_redirty_folio(t->inode, folio, off, BLOCK);
		m->dirty[block] = true;
	}

	folio_get(folio);
	folio_batch_init(&fbatch);
	folio_batch_add(&fbatch, folio);
	iomap_writethrough_unlock(&fbatch, 0);
	folio_lock(folio);
}

static void writethrough_do_whole(struct writethrough_test *t,
				  struct writethrough_model *m)
{
	struct folio *folio = t->folios[0];
	struct iomap_folio_state *ifs = folio->private;

	/* as iomap_writeback_folio() does */
	folio_clear_dirty_for_io(folio);
	ifs->writeback_joined = 0;
	atomic_set(&ifs->write_bytes_pending, PAGE_SIZE);
	bitmap_clear(ifs->state, BLOCKS_PER_PAGE, BLOCKS_PER_PAGE);
	__folio_start_writeback(folio, false);
	m->dirty[0] = false;
	m->dirty[1] = false;
	m->whole = true;
}

/* Returns false if the operation is not possible, or nobody would do it. */
static bool writethrough_do_op(struct kunit *test, struct writethrough_model *m,
			       enum writethrough_op op)
{
	struct writethrough_test *t = test->priv;
	struct folio *folio = t->folios[0];
	struct iomap_folio_state *ifs = folio->private;
	struct iomap_iter iter = { .inode = t->inode, .flags = IOMAP_NOWAIT };
	unsigned int block = op & 1;
	size_t off = block * BLOCK;
	int error;

	switch (op) {
	case WRITE_0 ... LEAVE_1:
		error = iomap_writethrough_settle_folio(&iter, folio, off,
							off + BLOCK);
		KUNIT_EXPECT_EQ(test, error,
				writethrough_model_can_write(m, block) ?
				0 : -EAGAIN);
		if (!error)
			writethrough_do_write(t, m, op);
		return !error;
	case DIRTY_0 ... DIRTY_1:
		if (m->dirty[block])
			return false;
		iomap_set_range_dirty(folio, off, BLOCK);
		folio_set_dirty(folio);
		m->dirty[block] = true;
		return true;
	case COMPLETE_0 ... COMPLETE_1:
		if (!m->flight[block])
			return false;
		iomap_writethrough_end_folio(t->inode, folio, off, BLOCK);
		iomap_finish_folio_write(t->inode, folio, BLOCK);
		m->flight[block] = false;
		return true;
	case GET_LATE:
		if (m->late || !writethrough_model_busy(m) || m->whole)
			return false;
		ifs->writeback_joined = IOMAP_WRITETHROUGH_JOIN_NR;
		ifs->writeback_start = jiffies -
			msecs_to_jiffies(IOMAP_WRITETHROUGH_JOIN_MSECS);
		m->late = true;
		return true;
	case START_WHOLE:
		if (writethrough_model_busy(m) || !folio_test_dirty(folio))
			return false;
		writethrough_do_whole(t, m);
		return true;
	case COMPLETE_WHOLE:
		if (!m->whole)
			return false;
		iomap_finish_folio_write(t->inode, folio, PAGE_SIZE);
		m->whole = false;
		return true;
	default:
		return false;
	}
}

static bool writethrough_as_modelled(struct kunit *test,
				     const struct writethrough_model *m)
{
	struct writethrough_test *t = test->priv;
	struct folio *folio = t->folios[0];
	struct iomap_folio_state *ifs = folio->private;
	size_t pending = m->whole ? PAGE_SIZE : 0;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		pending += m->flight[i] * BLOCK;
		if (test_bit(2 * BLOCKS_PER_PAGE + i, ifs->state) !=
		    m->flight[i])
			return false;
		if (test_bit(BLOCKS_PER_PAGE + i, ifs->state) != m->dirty[i])
			return false;
		if (m->dirty[i] && !folio_test_dirty(folio))
			return false;
	}
	return folio_test_writeback(folio) == writethrough_model_busy(m) &&
		atomic_read(&ifs->write_bytes_pending) == pending &&
		!ifs->writeback_reserved;
}

/*
 * Do what @path says, one digit an operation, and compare after each.  @first
 * is the weight of the first digit.  Returns how many paths that was: those
 * that begin with an operation that is not possible are shorter ones.  0 is
 * failure.
 */
static unsigned int writethrough_follow(struct kunit *test, unsigned int path,
					unsigned int first)
{
	struct writethrough_test *t = test->priv;
	struct folio *folio = t->folios[0];
	struct iomap_folio_state *ifs = folio->private;
	struct writethrough_model m = { };
	unsigned int weight, paths = 1;
	bool good = true;

	bitmap_zero(ifs->state, 3 * BLOCKS_PER_PAGE);
	ifs->writeback_joined = 0;
	folio_clear_dirty(folio);
	folio_lock(folio);
	for (weight = first; weight && good; weight /= NR_OPS) {
		if (!writethrough_do_op(test, &m, path / weight % NR_OPS)) {
			paths = weight - path % weight;
			break;
		}
		good = writethrough_as_modelled(test, &m);
	}
	/* nothing stays behind when all has completed */
	writethrough_do_op(test, &m, COMPLETE_0);
	writethrough_do_op(test, &m, COMPLETE_1);
	writethrough_do_op(test, &m, COMPLETE_WHOLE);
	good = good && writethrough_as_modelled(test, &m);
	folio_unlock(folio);
	if (!good)
		KUNIT_FAIL(test, "path %u goes wrong at weight %u", path,
			   weight);
	return good ? paths : 0;
}

/* Every order of up to five operations */
static void writethrough_join_orders(struct kunit *test)
{
	static const unsigned int depth = 5;
	struct writethrough_test *t = test->priv;
	struct super_block *sb = kunit_kzalloc(test, sizeof(*sb), GFP_KERNEL);
	unsigned int path = 0, done = 1, first = 1, i;

	/* a folio can be put under writeback, and nobody else hears of it */
	KUNIT_ASSERT_NOT_NULL(test, sb);
	sb->s_bdi = &noop_backing_dev_info;
	t->inode->i_sb = sb;
	inode_state_assign_raw(t->inode, I_DIRTY_PAGES);
	mapping_set_no_writeback_tags(t->inode->i_mapping);
	mapping_set_writethrough(t->inode->i_mapping);
	KUNIT_ASSERT_NOT_NULL(test, ifs_alloc(t->inode, t->folios[0], 0));
	iomap_set_range_uptodate(t->folios[0], 0, PAGE_SIZE);

	for (i = 1; i < depth; i++)
		first *= NR_OPS;
	while (done && path < first * NR_OPS) {
		done = writethrough_follow(test, path, first);
		path += done;
		cond_resched();
	}
	t->inode->i_sb = NULL;
}

/* By a few for however long, by many for some milliseconds */
static void writethrough_join_limits(struct kunit *test)
{
	const u32 while_ago = jiffies -
		msecs_to_jiffies(IOMAP_WRITETHROUGH_JOIN_MSECS);
	struct iomap_folio_state ifs = { .writeback_start = jiffies };

	KUNIT_EXPECT_FALSE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_joined = 1;
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_start = while_ago;
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_joined = IOMAP_WRITETHROUGH_JOIN_NR - 1;
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_joined = IOMAP_WRITETHROUGH_JOIN_NR;
	KUNIT_EXPECT_FALSE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_start = jiffies;
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_can_join(&ifs));
	ifs.writeback_joined = UINT_MAX;
	KUNIT_EXPECT_TRUE(test, iomap_writethrough_can_join(&ifs));
}

static void writethrough_trim_batch(struct kunit *test)
{
	struct writethrough_test *t = test->priv;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		folio_get(t->folios[i]);
		folio_lock(t->folios[i]);
		folio_batch_add(&fbatch, t->folios[i]);
	}
	iomap_writethrough_trim(&fbatch, 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 3, folio_batch_count(&fbatch));
	iomap_writethrough_trim(&fbatch, 2 * PAGE_SIZE + 1);
	KUNIT_EXPECT_EQ(test, 3, folio_batch_count(&fbatch));
	iomap_writethrough_trim(&fbatch, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 2, folio_batch_count(&fbatch));
	KUNIT_EXPECT_FALSE(test, folio_test_locked(t->folios[2]));
	KUNIT_EXPECT_TRUE(test, folio_test_locked(t->folios[1]));
	iomap_writethrough_trim(&fbatch, 0);
	KUNIT_EXPECT_EQ(test, 0, folio_batch_count(&fbatch));
	for (i = 0; i < ARRAY_SIZE(t->folios); i++) {
		KUNIT_EXPECT_FALSE(test, folio_test_locked(t->folios[i]));
		KUNIT_EXPECT_EQ(test, 1, folio_ref_count(t->folios[i]));
	}
}

/* Grow the size by a write to the second folio, and look at what is before. */
static void writethrough_grow(struct kunit *test, loff_t old_size, loff_t pos,
			      size_t written)
{
	struct writethrough_test *t = test->priv;
	struct iomap_iter iter = { .inode = t->inode, .pos = pos };
	struct iomap_writepage_ctx wpc = { .inode = t->inode };
	char *to = folio_address(t->folios[1]);
	loff_t from = max_t(loff_t, old_size, PAGE_SIZE);
	bool grows = pos + written > old_size;
	unsigned int i;

	memset(to, 'x', PAGE_SIZE);
	i_size_write(t->inode, old_size);
	iomap_writethrough_update_size(&iter, &wpc, t->folios[1], written);
	KUNIT_EXPECT_EQ(test, grows ? pos + written : old_size,
			i_size_read(t->inode));
	KUNIT_EXPECT_EQ(test, grows,
			!!(iter.iomap.flags & IOMAP_F_SIZE_CHANGED));
	KUNIT_EXPECT_EQ(test, grows, !!(wpc.iomap.flags & IOMAP_F_DIRTY));
	for (i = 0; i < PAGE_SIZE; i++) {
		bool tail = PAGE_SIZE + i >= from && PAGE_SIZE + i < pos;

		if (to[i] != (tail ? 0 : 'x'))
			break;
	}
	KUNIT_EXPECT_EQ(test, PAGE_SIZE, i);
}

static void writethrough_size(struct kunit *test)
{
	/* inside, and up to the end */
	writethrough_grow(test, 2 * PAGE_SIZE, PAGE_SIZE, 10);
	writethrough_grow(test, 2 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE);
	/* over the end, at the end */
	writethrough_grow(test, PAGE_SIZE + 10, PAGE_SIZE, 11);
	writethrough_grow(test, PAGE_SIZE + 10, PAGE_SIZE + 10, 1);
	/* behind the end: in the folio, before it */
	writethrough_grow(test, PAGE_SIZE + 10, PAGE_SIZE + 20, 1);
	writethrough_grow(test, 100, PAGE_SIZE + 20, 1);
	writethrough_grow(test, 0, PAGE_SIZE, PAGE_SIZE);
}

static void writethrough_first_error(struct kunit *test)
{
	struct iomap_writethrough wt = { };

	iomap_writethrough_set_error(&wt, -EIO);
	iomap_writethrough_set_error(&wt, -ENOSPC);
	KUNIT_EXPECT_EQ(test, -EIO, wt.error);
}

/* What a device or a completion says is not about this call. */
static void writethrough_io_errors(struct kunit *test)
{
	struct iomap_writethrough wt = { };

	KUNIT_EXPECT_EQ(test, -EIO, iomap_writethrough_io_error(-EIO));
	KUNIT_EXPECT_EQ(test, -ENOSPC, iomap_writethrough_io_error(-ENOSPC));
	KUNIT_EXPECT_EQ(test, -EIO, iomap_writethrough_io_error(-EAGAIN));
	KUNIT_EXPECT_EQ(test, -EIO, iomap_writethrough_io_error(-EOPNOTSUPP));
	iomap_writethrough_set_error(&wt, -EAGAIN);
	KUNIT_EXPECT_EQ(test, -EIO, wt.error);
}

struct writethrough_fua_case {
	const char		*name;
	u16			iomap_flags;
	u16			ioend_flags;
	blk_features_t		features;
	bool			fua;
};

static const struct writethrough_fua_case writethrough_fua_cases[] = {
	{ "no cache", 0, 0, 0, true },
	{ "cache with FUA", 0, 0, BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA, true },
	{ "cache without FUA", 0, 0, BLK_FEAT_WRITE_CACHE, false },
	{ "metadata", IOMAP_F_DIRTY, 0, BLK_FEAT_FUA, false },
	{ "unwritten", 0, IOMAP_IOEND_UNWRITTEN, BLK_FEAT_FUA, false },
	{ "shared", 0, IOMAP_IOEND_SHARED, BLK_FEAT_FUA, false },
	{ "merge barrier", 0, IOMAP_IOEND_BOUNDARY, 0, true },
	{ "new", IOMAP_F_NEW, 0, 0, true },
};

KUNIT_ARRAY_PARAM_DESC(writethrough_fua, writethrough_fua_cases, name);

static void writethrough_fua(struct kunit *test)
{
	const struct writethrough_fua_case *c = test->param_value;
	struct request_queue *queue;
	struct block_device *bdev;
	struct iomap_ioend *ioend;
	struct iomap iomap = { .flags = c->iomap_flags };

	queue = kunit_kzalloc(test, sizeof(*queue), GFP_KERNEL);
	bdev = kunit_kzalloc(test, sizeof(*bdev), GFP_KERNEL);
	ioend = kunit_kzalloc(test, sizeof(*ioend), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, queue);
	KUNIT_ASSERT_NOT_NULL(test, bdev);
	KUNIT_ASSERT_NOT_NULL(test, ioend);
	queue->limits.features = c->features;
	bdev->bd_queue = queue;
	ioend->io_bio.bi_bdev = bdev;
	ioend->io_flags = c->ioend_flags;
	KUNIT_EXPECT_EQ(test, c->fua,
			iomap_writethrough_can_fua(&iomap, ioend));
}

struct writethrough_flags_case {
	const char		*name;
	fop_flags_t		fop_flags;
	rwf_t			flags;
	int			rw;
	int			ret;
	int			ki_flags;
};

static const struct writethrough_flags_case writethrough_flags_cases[] = {
	{ "write", FOP_WRITETHROUGH, RWF_WRITETHROUGH, WRITE, 0,
	  IOCB_WRITETHROUGH },
	{ "read", FOP_WRITETHROUGH, RWF_WRITETHROUGH, READ, -EOPNOTSUPP },
	{ "not supported", FOP_DONTCACHE, RWF_WRITETHROUGH, WRITE,
	  -EOPNOTSUPP },
	{ "none", FOP_WRITETHROUGH, 0, WRITE },
	{ "dsync", FOP_WRITETHROUGH, RWF_WRITETHROUGH | RWF_DSYNC, WRITE, 0,
	  IOCB_WRITETHROUGH | IOCB_DSYNC },
	{ "sync", FOP_WRITETHROUGH, RWF_WRITETHROUGH | RWF_SYNC, WRITE, 0,
	  IOCB_WRITETHROUGH | IOCB_SYNC | IOCB_DSYNC },
	{ "dontcache too", FOP_WRITETHROUGH | FOP_DONTCACHE,
	  RWF_WRITETHROUGH | RWF_DONTCACHE, WRITE, 0,
	  IOCB_WRITETHROUGH | IOCB_DONTCACHE },
	{ "dontcache not", FOP_WRITETHROUGH, RWF_WRITETHROUGH | RWF_DONTCACHE,
	  WRITE, -EOPNOTSUPP },
	{ "append", FOP_WRITETHROUGH, RWF_WRITETHROUGH | RWF_APPEND, WRITE, 0,
	  IOCB_WRITETHROUGH | IOCB_APPEND },
};

KUNIT_ARRAY_PARAM_DESC(writethrough_flags, writethrough_flags_cases, name);

/* A refusal leaves the iocb as it was. */
static void writethrough_flags(struct kunit *test)
{
	const struct writethrough_flags_case *c = test->param_value;
	struct writethrough_test *t = test->priv;
	const struct file_operations fop = { .fop_flags = c->fop_flags };
	struct kiocb iocb = { };
	struct file *file;

	file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, file);
	file->f_op = &fop;
	file->f_mapping = t->inode->i_mapping;
	file->f_inode = t->inode;
	iocb.ki_filp = file;
	KUNIT_EXPECT_EQ(test, c->ret,
			kiocb_set_rw_flags(&iocb, c->flags, c->rw));
	KUNIT_EXPECT_EQ(test, c->ki_flags, iocb.ki_flags);
}

/* Both flags do not do: the file system has to offer them together. */
static void writethrough_atomic_valid(struct kunit *test)
{
	const struct file_operations fop = {
		.fop_flags = FOP_WRITETHROUGH | FOP_WRITETHROUGH_ATOMIC,
	};
	const struct file_operations not_atomic = {
		.fop_flags = FOP_WRITETHROUGH,
	};
	struct kiocb iocb = { .ki_pos = 2 * PAGE_SIZE };
	struct iov_iter from;
	struct file *file;

	file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, file);
	file->f_op = &fop;
	iocb.ki_filp = file;
	iov_iter_ubuf(&from, ITER_SOURCE, NULL, PAGE_SIZE);

	iocb.ki_flags = IOCB_WRITETHROUGH;
	KUNIT_EXPECT_EQ(test, 0, generic_atomic_write_valid(&iocb, &from));
	iocb.ki_flags = 0;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			generic_atomic_write_valid(&iocb, &from));
	iocb.ki_flags = IOCB_DIRECT;
	KUNIT_EXPECT_EQ(test, 0, generic_atomic_write_valid(&iocb, &from));

	file->f_op = &not_atomic;
	KUNIT_EXPECT_EQ(test, 0, generic_atomic_write_valid(&iocb, &from));
	iocb.ki_flags = IOCB_WRITETHROUGH;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			generic_atomic_write_valid(&iocb, &from));
	/* what is wrong for everybody comes first */
	iocb.ki_pos = PAGE_SIZE / 2;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			generic_atomic_write_valid(&iocb, &from));
}

static struct kunit_case writethrough_test_cases[] = {
	KUNIT_CASE(writethrough_chunk_small),
	KUNIT_CASE(writethrough_chunk_large),
	KUNIT_CASE(writethrough_shrink),
	KUNIT_CASE(writethrough_map_rounding),
	KUNIT_CASE(writethrough_map_overwrite),
	KUNIT_CASE(writethrough_map_trimmed),
	KUNIT_CASE(writethrough_copy_whole),
	KUNIT_CASE(writethrough_copy_short),
	KUNIT_CASE(writethrough_copy_short_uptodate),
	KUNIT_CASE(writethrough_copy_one_block),
	KUNIT_CASE(writethrough_copy_batch),
	KUNIT_CASE(writethrough_dirty_blocks),
	KUNIT_CASE(writethrough_range_dirty),
	KUNIT_CASE(writethrough_part_dirty),
	KUNIT_CASE(writethrough_atomic_dirty),
	KUNIT_CASE(writethrough_atomic_map),
	KUNIT_CASE(writethrough_atomic_nowait),
	KUNIT_CASE(writethrough_join_orders),
	KUNIT_CASE(writethrough_join_limits),
	KUNIT_CASE(writethrough_trim_batch),
	KUNIT_CASE(writethrough_size),
	KUNIT_CASE(writethrough_first_error),
	KUNIT_CASE(writethrough_io_errors),
	KUNIT_CASE_PARAM(writethrough_fua, writethrough_fua_gen_params),
	KUNIT_CASE_PARAM(writethrough_flags, writethrough_flags_gen_params),
	KUNIT_CASE(writethrough_atomic_valid),
	{},
};

static struct kunit_suite writethrough_test_suite = {
	.name		= "iomap_writethrough",
	.init		= writethrough_test_init,
	.test_cases	= writethrough_test_cases,
};

kunit_test_suite(writethrough_test_suite);
