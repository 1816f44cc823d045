// SPDX-License-Identifier: GPL-2.0
/*
 * Buffered write-through: a write to the page cache whose writeback is done by
 * the writer, at once, for exactly the blocks it wrote, and under the folio
 * locks it wrote them under.
 *
 * The front end is that of a buffered write, the back end that of writeback:
 * ioends, and whatever the file system does when they complete.  What is here
 * is the middle.  See Documentation/filesystems/iomap/writethrough.rst.
 */
#include <linux/blkdev.h>
#include <linux/iomap.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/uio.h>
#include <linux/writeback.h>
#include "internal.h"
#include "trace.h"

#include "../internal.h"

/*
 * How much of @count bytes at @pos to try in one batch.  A batch that is not
 * the last should end where a folio does: the next one would lock it once more,
 * and might have to wait for our own I/O to the rest of it, with the inode lock
 * held.  Folios are naturally aligned, so where large ones are possible a batch
 * does not cross a boundary of the largest.  It must not: khugepaged locks the
 * folios between two of these, and then, as it starts writeback of a file that
 * nobody had open for writing, others before them.
 */
static size_t iomap_writethrough_chunk(struct address_space *mapping,
				       loff_t pos, size_t count)
{
	size_t max = mapping_max_folio_size(mapping);

	if (max > PAGE_SIZE)
		return min_t(size_t, count, max - (pos & (max - 1)));
	return min_t(size_t, count,
		     FOLIO_BATCH_SIZE * PAGE_SIZE - offset_in_page(pos));
}

/*
 * Two errors mean something else to the caller when a write returns them: that
 * it should be tried again, or that it never can be done.
 */
static int iomap_writethrough_io_error(int error)
{
	if (error == -EAGAIN || error == -EOPNOTSUPP)
		return -EIO;
	return error;
}

static void iomap_writethrough_set_error(struct iomap_writethrough *wt,
					 int error)
{
	cmpxchg(&wt->error, 0, iomap_writethrough_io_error(error));
}

/*
 * Is a folio of the range dirty, but not all of what it has of the range?
 */
static bool iomap_writethrough_part_dirty(struct address_space *mapping,
					  loff_t pos, loff_t end)
{
	unsigned int blkbits = mapping->host->i_blkbits;
	bool found = false;

	while (pos < end && !found) {
		struct folio *folio = filemap_lock_folio(mapping,
							 pos >> PAGE_SHIFT);
		unsigned int block, last;

		if (IS_ERR(folio)) {
			pos = round_down(pos, PAGE_SIZE) + PAGE_SIZE;
			continue;
		}
		block = offset_in_folio(folio, pos) >> blkbits;
		pos = folio_next_pos(folio);
		last = (folio_size(folio) - max(pos - end, 0) - 1) >> blkbits;
		if (folio_test_dirty(folio) && folio->private)
			for (; block <= last && !found; block++)
				found = ifs_next_dirty_block(folio, block,
							     block) > block;
		folio_unlock(folio);
		folio_put(folio);
	}
	return found;
}

/*
 * An atomic write has failed: what it has left in the cache is not on disk, not
 * even in part, and has to go.
 *
 * Its writeback has ended, so what is not dirty now was not modified since, and
 * reads back as what was there before.  What is dirty is somebody else's by now,
 * and stays; a store to a mapping makes it so for all of the folio.  If it is
 * part of a folio only, it is written, so that the rest can go; if it comes again
 * and again, it is for reclaim to drop what is left.
 *
 * Called in a task that holds no lock of the inode.  It waits for folios, whose
 * holder may be waiting for about anything, so that it must be in nobody's way,
 * see iomap_writethrough_queue().
 */
static void iomap_writethrough_drop(struct iomap_writethrough *wt)
{
	struct address_space *mapping = wt->iocb->ki_filp->f_mapping;
	loff_t pos = wt->iocb->ki_pos - wt->size;
	loff_t end = wt->iocb->ki_pos;
	unsigned int tries = 3;

	trace_iomap_writethrough_drop(mapping->host, pos, wt->size, wt->error);
	while (invalidate_inode_pages2_range(mapping, pos >> PAGE_SHIFT,
					     (end - 1) >> PAGE_SHIFT)) {
		if (!tries-- ||
		    !iomap_writethrough_part_dirty(mapping, pos, end))
			break;
		filemap_fdatawrite_range(mapping, pos, end - 1);
		/* it is fsync that tells of an error */
		filemap_fdatawait_range_keep_errors(mapping, pos, end - 1);
	}
}

/*
 * All I/O of @wt has ended, and nobody else refers to it any more: make what is
 * left durable if asked to, and turn the outcome into a return value.
 *
 * The position has moved with the submission, and goes back if that was in
 * vain: to the caller it only moves if the write succeeded.
 */
static ssize_t iomap_writethrough_complete(struct iomap_writethrough *wt)
{
	struct kiocb *iocb = wt->iocb;
	ssize_t ret = wt->size;

	if (wt->error)
		ret = wt->error;
	if (wt->error && (wt->flags & IOMAP_WRITETHROUGH_ATOMIC))
		iomap_writethrough_drop(wt);
	if (ret > 0 && (wt->flags & IOMAP_WRITETHROUGH_SYNC)) {
		int error;

		/*
		 * The metadata half of fsync, for the empty range: the data has
		 * been written.  This must not wait for a folio, as it runs on
		 * a workqueue that may be served by a single rescuer, and ends
		 * up behind other work there.
		 */
		error = vfs_fsync_range(iocb->ki_filp, 1, 0,
					!(iocb->ki_flags & IOCB_SYNC));
		if (error)
			ret = iomap_writethrough_io_error(error);
	}
	if (ret < 0 && wt->size > 0)
		iocb->ki_pos -= wt->size;

	trace_iomap_writethrough_complete(iocb, wt->error, ret);
	/* for an atomic write it is the first member of what is freed */
	if (wt->flags & (IOMAP_WRITETHROUGH_ASYNC | IOMAP_WRITETHROUGH_ATOMIC))
		kfree(wt);
	return ret;
}

static void iomap_writethrough_complete_async(struct iomap_writethrough *wt)
{
	struct kiocb *iocb = wt->iocb;

	iocb->ki_complete(iocb, iomap_writethrough_complete(wt));
}

static void iomap_writethrough_complete_work(struct work_struct *work)
{
	struct iomap_writethrough *wt =
		container_of(work, struct iomap_writethrough, work);

	iomap_writethrough_complete_async(wt);
}

/* Is there something left to do that takes a task which may block? */
static bool iomap_writethrough_needs_task(struct iomap_writethrough *wt)
{
	if (wt->error)
		return wt->flags & IOMAP_WRITETHROUGH_ATOMIC;
	return wt->flags & IOMAP_WRITETHROUGH_SYNC;
}

/*
 * To make it durable takes no folio, and is done beside the completions of
 * direct I/O, with a thread to rescue them when memory is short.  What has
 * failed may have to wait for a folio, and somebody who has locked that for
 * direct I/O to other files, in search of space:
 *
 *	atomic write			completion of one that has failed
 *
 *	lock folios
 *	no space: free what has been
 *	  preallocated for others,
 *	  wait for their direct I/O	wait for a folio
 */
static void iomap_writethrough_queue(struct iomap_writethrough *wt)
{
	struct super_block *sb = file_inode(wt->iocb->ki_filp)->i_sb;

	INIT_WORK(&wt->work, iomap_writethrough_complete_work);
	queue_work(wt->error ? system_dfl_wq : sb->s_dio_done_wq, &wt->work);
}

/*
 * Called when an ioend of @wt has ended writeback of all its folios, whatever
 * its completion needed before.  May be called from interrupt context.
 *
 * A synchronous @wt lives on the stack of the submitter and is gone once that
 * has been woken.
 */
void iomap_writethrough_ioend_done(struct iomap_writethrough *wt, int error)
{
	if (error)
		iomap_writethrough_set_error(wt, error);
	if (!atomic_dec_and_test(&wt->ref))
		return;

	if (!(wt->flags & IOMAP_WRITETHROUGH_ASYNC))
		complete(&wt->done);
	else if (iomap_writethrough_needs_task(wt))
		iomap_writethrough_queue(wt);
	else
		iomap_writethrough_complete_async(wt);
}

/* What an iocb asks for that iomap has a flag for, too. */
static unsigned int iomap_writethrough_iter_flags(const struct kiocb *iocb)
{
	unsigned int flags = IOMAP_WRITE;

	if (iocb->ki_flags & IOCB_NOWAIT)
		flags |= IOMAP_NOWAIT;
	if (iocb->ki_flags & IOCB_DONTCACHE)
		flags |= IOMAP_DONTCACHE;
	return flags;
}

static struct folio *iomap_writethrough_get_folio(struct iomap_iter *iter,
						  loff_t pos, size_t len,
						  fgf_t fgp)
{
	struct address_space *mapping = iter->inode->i_mapping;

	fgp |= FGP_LOCK | FGP_WRITE | FGP_CREAT | fgf_set_order(len);
	/*
	 * Not FGP_STABLE: there is writeback to wait for whatever the device
	 * wants.
	 */
	if (iter->flags & IOMAP_NOWAIT)
		fgp |= FGP_NOWAIT;
	if (iter->flags & IOMAP_DONTCACHE)
		fgp |= FGP_DONTCACHE;
	return __filemap_get_folio(mapping, pos >> PAGE_SHIFT, fgp,
				   mapping_gfp_mask(mapping));
}

/*
 * Writeback of a folio can be joined by as many as want to for a few
 * milliseconds, and by a few however long that takes.  Then the next writer
 * waits for the end of it, with the folio locked.
 *
 * Most others who wait for a folio to come to rest have locked it, and nobody
 * can join then.  The limit is for those who have not, such as reclaim for a
 * memory cgroup.
 */
#define IOMAP_WRITETHROUGH_JOIN_NR	32
#define IOMAP_WRITETHROUGH_JOIN_MSECS	10

static bool iomap_writethrough_can_join(const struct iomap_folio_state *ifs)
{
	/* not one of ours */
	if (!ifs->writeback_joined)
		return false;
	if (ifs->writeback_joined < IOMAP_WRITETHROUGH_JOIN_NR)
		return true;
	return (u32)jiffies - ifs->writeback_start <
		msecs_to_jiffies(IOMAP_WRITETHROUGH_JOIN_MSECS);
}

/*
 * Other blocks of the locked folio are being written through.  Unless there is
 * a reason not to, @len bytes at @off can be as well: they are added to what is
 * pending right away, so that writeback of the folio does not end before they
 * have been submitted, or given back by iomap_writethrough_give_back().
 *
 *	write-through			completion of the last I/O
 *
 *	lock folio, is under writeback
 *					write_bytes_pending -= bytes: 0
 *	pending is 0: not added
 *	wait for the end of writeback
 *					end writeback
 *	start it
 *
 * It is up to iomap_writethrough_start_folio() to use them.
 */
static bool iomap_writethrough_join(struct inode *inode, struct folio *folio,
				    size_t off, size_t len)
{
	struct iomap_folio_state *ifs = folio->private;

	if (!ifs || !iomap_writethrough_can_join(ifs) ||
	    ifs_range_in_flight(inode, folio, off, len))
		return false;
	if (!atomic_add_unless(&ifs->write_bytes_pending, len, 0))
		return false;
	WARN_ON_ONCE(ifs->writeback_reserved);
	ifs->writeback_reserved = len;
	return true;
}

/* Writeback that was joined goes on without us. */
static void iomap_writethrough_give_back(struct folio *folio)
{
	struct iomap_folio_state *ifs = folio->private;
	size_t len;

	if (!ifs || !ifs->writeback_reserved)
		return;
	len = ifs->writeback_reserved;
	ifs->writeback_reserved = 0;
	iomap_finish_folio_write(folio->mapping->host, folio, len);
}

/*
 * Bring the blocks of a locked folio from @pos to @end to rest: no I/O of them
 * in flight, and no way to modify them but through us.  For I/O of other blocks
 * there is nothing to wait, unless it is background writeback.
 *
 * The folio's mappings are write-protected, so that the next store through one
 * faults, and waits for the I/O that is about to start:
 *
 *	write-through			mmap store
 *
 *	lock folio
 *	write-protect mappings
 *	copy, start writeback		page fault
 *	unlock folio
 *					->page_mkwrite(): lock folio, mark
 *					  dirty, folio_wait_stable()
 *	I/O completes
 *	end writeback
 *					store
 */
static int iomap_writethrough_settle_folio(struct iomap_iter *iter,
					   struct folio *folio, loff_t pos,
					   loff_t end)
{
	unsigned int nr_blocks = i_blocks_per_folio(iter->inode, folio);
	unsigned int block_size = i_blocksize(iter->inode);

	if (!ifs_alloc(iter->inode, folio, iter->flags) && nr_blocks > 1)
		return -EAGAIN;
	if (folio_test_writeback(folio)) {
		size_t off = offset_in_folio(folio,
					     round_down(pos, block_size));

		end = min_t(loff_t, round_up(end, block_size),
			    folio_next_pos(folio));
		if (!iomap_writethrough_join(iter->inode, folio, off,
					     end - folio_pos(folio) - off)) {
			if (iter->flags & IOMAP_NOWAIT)
				return -EAGAIN;
			folio_wait_writeback(folio);
		}
	}
	/*
	 * What the end of that writeback has done to the mapping is seen when the
	 * mapping is looked at; see the release in folio_end_writeback().
	 */
	smp_rmb();

	/* the walk of its mappings may have to wait for an mmap() */
	if ((iter->flags & IOMAP_NOWAIT) && folio_mapped(folio))
		return -EAGAIN;
	if (folio_mkclean(folio))
		folio_mark_dirty(folio);
	return 0;
}

/*
 * A folio that is to be dropped when its writeback ends is not if that finds it
 * locked.  All of the batch are until the last has been added, while the first
 * of two ioends may have been submitted and completed already: then it is up to
 * us.  If writeback goes on it is not, and we must not hold the lock once more.
 */
static void iomap_writethrough_unlock(struct folio_batch *fbatch,
				      unsigned int first)
{
	while (folio_batch_count(fbatch) > first) {
		struct folio *folio = fbatch->folios[--fbatch->nr];

		iomap_writethrough_give_back(folio);
		folio_unlock(folio);
		if (!folio_test_writeback(folio))
			folio_end_dropbehind(folio);
		folio_put(folio);
	}
}

/* Let go of the folios that begin at or after @end. */
static void iomap_writethrough_trim(struct folio_batch *fbatch, loff_t end)
{
	unsigned int nr = folio_batch_count(fbatch);

	while (nr && folio_pos(fbatch->folios[nr - 1]) >= end)
		nr--;
	/* seldom, and asked for several times a batch */
	if (nr < folio_batch_count(fbatch))
		iomap_writethrough_unlock(fbatch, nr);
}

/*
 * Lock the folios of the range from iter->pos on, as many as fit in the batch,
 * and let each come to rest.  Returns the number of bytes that are covered.
 *
 * Everybody who locks several folios of a file does so in ascending order, and
 * a folio that is under writeback but not submitted yet is only ever held back
 * by somebody who is about to lock a folio behind it, or to map, allocate or
 * read blocks, which does not wait for writeback.  Be it that he has put it
 * under writeback or that he has joined that:
 *
 *	write-through			writeback, or write-through
 *
 *	lock folio 1			lock folio 2, start or join writeback,
 *					  keep the I/O back
 *	wait for folio 2, or for its
 *	  writeback			lock folio 3
 *					submit
 *
 * Waiting with folios locked therefore cannot deadlock: whom we wait for never
 * needs a folio at or before the one we wait at.
 */
static ssize_t iomap_writethrough_lock(struct iomap_iter *iter, size_t len,
				       struct folio_batch *fbatch)
{
	loff_t pos = iter->pos, end = pos + len;
	int error = 0;

	while (pos < end && folio_batch_space(fbatch)) {
		struct folio *folio;

		folio = iomap_writethrough_get_folio(iter, pos, end - pos, 0);
		if (IS_ERR(folio)) {
			error = PTR_ERR(folio);
			break;
		}
		folio_batch_add(fbatch, folio);
		error = iomap_writethrough_settle_folio(iter, folio, pos, end);
		if (error)
			break;
		pos = folio_next_pos(folio);
	}

	if (error && (pos == iter->pos || (iter->flags & IOMAP_NOWAIT)))
		return error;
	iomap_writethrough_trim(fbatch, pos);
	return min(pos, end) - iter->pos;
}

/*
 * Map the start of the range, and trim it to that mapping: a batch is one
 * extent.  Space is allocated before a byte is copied.  That it stays where it
 * is until the I/O has ended is due to the inode lock first, and to the folios
 * being locked, and under writeback, when that is dropped.
 *
 * If only blocks that are there may be overwritten, all that is left of the
 * write has to be, not just this batch: such a write is done under the shared
 * inode lock as a whole, or under the exclusive one as a whole, and does not
 * mix with another writer's in the middle.
 */
static ssize_t iomap_writethrough_map(struct iomap_iter *iter,
				      struct iomap_writepage_ctx *wpc,
				      size_t len, size_t left)
{
	unsigned int block_size = i_blocksize(iter->inode);
	loff_t start = round_down(iter->pos, block_size);
	loff_t end = round_up(iter->pos + len, block_size);
	int error;

	if (iter->flags & IOMAP_OVERWRITE_ONLY)
		end = round_up(iter->pos + left, block_size);
	error = wpc->ops->writethrough_map(wpc, start, end - start,
					   iter->flags);
	if (error)
		return error;

	if (WARN_ON_ONCE(wpc->iomap.type != IOMAP_MAPPED &&
			 wpc->iomap.type != IOMAP_UNWRITTEN) ||
	    WARN_ON_ONCE(wpc->iomap.offset > start))
		return -EIO;

	end = min_t(u64, iter->pos + len,
		    wpc->iomap.offset + wpc->iomap.length);
	if (WARN_ON_ONCE(end <= iter->pos))
		return -EIO;
	return end - iter->pos;
}

static int
iomap_writethrough_read_folio(const struct iomap_iter *iter,
			      const struct iomap_write_ops *write_ops,
			      loff_t pos, size_t len, struct folio *folio)
{
	struct iomap_iter sub = *iter;

	sub.pos = pos;
	return __iomap_write_begin(&sub, write_ops, len, folio);
}

/*
 * Read, or zero, what the write leaves of the blocks at its ends.  Returns how
 * much of the range can be written: a failure at its end does not concern its
 * beginning.
 */
static ssize_t iomap_writethrough_read(const struct iomap_iter *iter,
				       const struct iomap_write_ops *write_ops,
				       struct folio_batch *fbatch, size_t len)
{
	unsigned int block_mask = i_blocksize(iter->inode) - 1;
	loff_t end = iter->pos + len;
	unsigned int i;

	if (!((iter->pos | end) & block_mask))
		return len;
	/* there is no mapping of what is in the cache, only of where it goes */
	if (WARN_ON_ONCE(iter->flags & IOMAP_OVERWRITE_ONLY))
		return -EIO;

	for (i = 0; i < folio_batch_count(fbatch); i++) {
		struct folio *folio = fbatch->folios[i];
		loff_t from = max(iter->pos, folio_pos(folio));
		loff_t to = min(end, folio_next_pos(folio));
		int error;

		if (!((from | to) & block_mask))
			continue;
		error = iomap_writethrough_read_folio(iter, write_ops, from,
						      to - from, folio);
		if (error && !i)
			return error;
		if (error)
			return from - iter->pos;
	}
	return len;
}

static bool iomap_writethrough_block_uptodate(struct inode *inode,
					      struct folio *folio, size_t off)
{
	struct iomap_folio_state *ifs = folio->private;

	if (folio_test_uptodate(folio))
		return true;
	return ifs && test_bit(off >> inode->i_blkbits, ifs->state);
}

/*
 * Copy into one folio.  Returns the bytes that count: into an up to date block
 * all that was copied, into any other all of it or nothing.  What does not
 * count is given back to the iov_iter.
 */
static size_t iomap_writethrough_copy_folio(struct inode *inode,
					    struct folio *folio, size_t off,
					    size_t len, struct iov_iter *from,
					    size_t *copied)
{
	size_t good;

	if (mapping_writably_mapped(inode->i_mapping))
		flush_dcache_folio(folio);
	*copied = copy_folio_from_iter_atomic(folio, off, len, from);
	flush_dcache_folio(folio);

	good = *copied;
	if (unlikely(good < len) &&
	    !iomap_writethrough_block_uptodate(inode, folio, off + good)) {
		size_t block = round_down(off + good, i_blocksize(inode));

		good = block > off ? block - off : 0;
		iov_iter_revert(from, *copied - good);
	}
	if (good)
		iomap_set_range_uptodate(folio, off, good);
	return good;
}

/*
 * Copy the batch.  Returns the bytes that count; if there are none, @hint tells
 * how far the copy came, so that the next try can leave out what cannot be
 * copied.
 */
static size_t iomap_writethrough_copy(struct iomap_iter *iter,
				      struct folio_batch *fbatch, size_t len,
				      struct iov_iter *from, size_t *hint)
{
	loff_t pos = iter->pos, end = pos + len;
	unsigned int i;

	*hint = 0;
	for (i = 0; i < folio_batch_count(fbatch); i++) {
		struct folio *folio = fbatch->folios[i];
		size_t off = offset_in_folio(folio, pos);
		size_t bytes = min_t(u64, end - pos, folio_size(folio) - off);
		size_t good;

		good = iomap_writethrough_copy_folio(iter->inode, folio, off,
						     bytes, from, hint);
		pos += good;
		if (good < bytes)
			break;
	}
	return pos - iter->pos;
}

static bool iomap_writethrough_folio_dirty(struct inode *inode,
					   struct folio *folio)
{
	unsigned int last = i_blocks_per_folio(inode, folio) - 1;

	return ifs_next_dirty_block(folio, 0, last) <= last;
}

/*
 * The dirty state of blocks that are going to be written has been cleared.  If
 * others are dirty, so is the folio, and keeps the TOWRITE tag by which an
 * fsync that runs right now is going to find them.  Else it becomes clean.
 *
 * Whoever has pinned a folio may dirty it without holding its lock, block bits
 * first.  Hence the bits are looked at again after PG_dirty has been cleared:
 *
 *	write-through			folio_mark_dirty()
 *
 *	no dirty block left
 *					set the dirty bits
 *					PG_dirty is set already
 *	clear PG_dirty
 *	dirty blocks: set PG_dirty
 */
static void iomap_writethrough_clean_folio(struct inode *inode,
					   struct folio *folio)
{
	struct iomap_folio_state *ifs = folio->private;

	if (ifs && iomap_writethrough_folio_dirty(inode, folio))
		return;
	folio_clear_dirty_for_io(folio);
	if (ifs && iomap_writethrough_folio_dirty(inode, folio))
		filemap_dirty_folio(inode->i_mapping, folio);
}

/*
 * The page cache brings its tag in line with PG_dirty when writeback starts.
 * Writeback that is joined has started already.  As there, whoever sets
 * PG_dirty after it has been looked at sets the tag after that.
 */
static void iomap_writethrough_clear_dirty_tag(struct address_space *mapping,
					       struct folio *folio)
{
	unsigned long flags;

	xa_lock_irqsave(&mapping->i_pages, flags);
	if (!folio_test_dirty(folio))
		__xa_clear_mark(&mapping->i_pages, folio->index,
				PAGECACHE_TAG_DIRTY);
	xa_unlock_irqrestore(&mapping->i_pages, flags);
}

static void iomap_writethrough_start_writeback(struct inode *inode,
					       struct folio *folio)
{
	WARN_ON_ONCE(folio_test_writeback(folio));
	if (folio_test_dirty(folio))
		iomap_writethrough_clean_folio(inode, folio);
	__folio_start_writeback(folio, folio_test_dirty(folio));
}

/*
 * Put blocks under writeback that others of the folio are under.  Bytes have
 * been counted for them; those that are not needed are given back, which does
 * not end writeback as these are pending.
 */
static void iomap_writethrough_use_reserved(struct inode *inode,
					    struct folio *folio, size_t len)
{
	struct iomap_folio_state *ifs = folio->private;

	WARN_ON_ONCE(ifs->writeback_reserved < len);
	WARN_ON_ONCE(!folio_test_writeback(folio));
	if (folio_test_dirty(folio)) {
		iomap_writethrough_clean_folio(inode, folio);
		iomap_writethrough_clear_dirty_tag(inode->i_mapping, folio);
	}
	ifs->writeback_joined++;
	ifs->writeback_reserved -= len;
	iomap_writethrough_give_back(folio);
}

/*
 * Make blocks clean and put them in flight, as the first of the folio or
 * together with those that are already.  Bytes are counted before anything is
 * submitted.
 */
static void iomap_writethrough_start_folio(struct inode *inode,
					   struct folio *folio, size_t off,
					   size_t len)
{
	struct iomap_folio_state *ifs = folio->private;

	if (ifs) {
		ifs_start_range_write(inode, folio, off, len);
		if (ifs->writeback_reserved) {
			iomap_writethrough_use_reserved(inode, folio, len);
			return;
		}

		WARN_ON_ONCE(atomic_read(&ifs->write_bytes_pending));
		atomic_set(&ifs->write_bytes_pending, len);
		ifs->writeback_start = jiffies;
		ifs->writeback_joined = 1;
	}
	iomap_writethrough_start_writeback(inode, folio);
}

/*
 * Blocks of a write-through have been written, or are not going to be.  Called
 * before iomap_finish_folio_write().
 */
void iomap_writethrough_end_folio(struct inode *inode, struct folio *folio,
				  size_t off, size_t len)
{
	if (folio->private)
		ifs_end_range_write(inode, folio, off, len);
}

/*
 * Can this I/O make its data durable by itself?  Not if there is more to write
 * before it can be read back: its extent, if that is converted or remapped upon
 * completion, or what the file system has said of the mapping.
 *
 * That has been said for all the rest of the write, after a wait for its first
 * block, and while nobody could have been half way through a change of it.
 * What is durable by then stays so.
 */
static bool iomap_writethrough_can_fua(const struct iomap *iomap,
				       const struct iomap_ioend *ioend)
{
	struct block_device *bdev = ioend->io_bio.bi_bdev;

	if (iomap->flags & IOMAP_F_DIRTY)
		return false;
	if (ioend->io_flags & (IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_SHARED))
		return false;
	return !bdev_write_cache(bdev) || bdev_fua(bdev);
}

/*
 * An ioend completes through us, and is urgent: somebody waits for it.  The
 * first that is not durable upon completion makes a sync of the whole write
 * necessary, and then FUA buys nothing for the rest.
 */
static void iomap_writethrough_stamp_ioend(struct iomap_writethrough *wt,
					   const struct iomap *iomap,
					   struct iomap_ioend *ioend)
{
	struct bio *bio = &ioend->io_bio;

	if (ioend->io_flags & IOMAP_IOEND_WRITETHROUGH)
		return;
	ioend->io_flags |= IOMAP_IOEND_WRITETHROUGH;
	bio->bi_private = wt;
	bio->bi_opf |= REQ_SYNC | REQ_IDLE;
	bio->bi_ioprio = wt->iocb->ki_ioprio;
	atomic_inc(&wt->ref);

	if (!(wt->flags & IOMAP_WRITETHROUGH_FUA))
		return;
	if (iomap_writethrough_can_fua(iomap, ioend)) {
		bio->bi_opf |= REQ_FUA;
	} else {
		wt->flags &= ~IOMAP_WRITETHROUGH_FUA;
		wt->flags |= IOMAP_WRITETHROUGH_SYNC;
	}
}

/*
 * Blocks that could not be submitted are dirty again, still allocated, for
 * normal writeback to take care of.
 */
static void iomap_writethrough_redirty_folio(struct inode *inode,
					     struct folio *folio, size_t off,
					     size_t len)
{
	iomap_set_range_dirty(folio, off, len);
	filemap_dirty_folio(inode->i_mapping, folio);
	iomap_writethrough_end_folio(inode, folio, off, len);
	iomap_finish_folio_write(inode, folio, len);
}

static int iomap_writethrough_add_folio(struct iomap_writethrough *wt,
					struct iomap_writepage_ctx *wpc,
					struct folio *folio, loff_t start,
					size_t len, loff_t end_pos)
{
	size_t off = offset_in_folio(folio, start);
	ssize_t ret;

	/*
	 * The EOF block may be mapped, and what is behind i_size may have been
	 * stored to.  It must not reach the disk, see
	 * iomap_writeback_handle_eof().
	 */
	if (start + len > end_pos)
		folio_zero_segment(folio, offset_in_folio(folio, end_pos),
				   folio_size(folio));

	iomap_writethrough_start_folio(wpc->inode, folio, off, len);
	ret = iomap_add_to_ioend(wpc, folio, start, end_pos, len);
	if (ret < 0) {
		iomap_writethrough_redirty_folio(wpc->inode, folio, off, len);
		return ret;
	}
	/* one mapping covers the batch, see iomap_writethrough_map() */
	WARN_ON_ONCE(ret != len);
	wpc->nr_folios++;
	iomap_writethrough_stamp_ioend(wt, &wpc->iomap, wpc->wb_ctx);
	return 0;
}

/*
 * Put the blocks of what was copied under writeback.  From the first of them on
 * nothing waits for a folio, or faults, until all have been submitted.
 *
 * The size that the I/O covers ends at i_size, not at the end of the write: the
 * EOF block may carry an earlier append, whose size has to reach the disk with
 * it as the block will not be dirty any more.
 */
static void iomap_writethrough_add(struct iomap_writethrough *wt,
				   struct iomap_writepage_ctx *wpc,
				   struct folio_batch *fbatch, loff_t pos,
				   size_t len)
{
	unsigned int block_size = i_blocksize(wpc->inode);
	loff_t end_pos = i_size_read(wpc->inode);
	loff_t start = round_down(pos, block_size);
	loff_t end = round_up(pos + len, block_size);
	unsigned int i;

	task_io_account_write(end - start);
	wpc->nr_vecs = folio_batch_count(fbatch);
	for (i = 0; i < folio_batch_count(fbatch); i++) {
		struct folio *folio = fbatch->folios[i];
		loff_t next = min(end, folio_next_pos(folio));
		int error;

		error = iomap_writethrough_add_folio(wt, wpc, folio, start,
						     next - start, end_pos);
		if (error)
			iomap_writethrough_set_error(wt, error);
		start = next;
	}
}

static void iomap_writethrough_submit(struct iomap_writepage_ctx *wpc)
{
	/* an error ends up in the ioend, and from there with us */
	if (wpc->wb_ctx)
		wpc->ops->writeback_submit(wpc, 0);
	wpc->wb_ctx = NULL;
}

/*
 * The in-core size grows under the folio lock, as for any buffered write.
 *
 * What was behind the old size in the first folio is inside the file now.  A
 * mapping may have stored to it, and plain writes leave it to
 * pagecache_isize_extended() to zero that before writeback.  Our I/O starts
 * earlier, and may carry part of it in the block that the write begins in.
 */
static void iomap_writethrough_update_size(struct iomap_iter *iter,
					   struct iomap_writepage_ctx *wpc,
					   struct folio *folio, size_t written)
{
	loff_t old_size = i_size_read(iter->inode);

	if (iter->pos + written <= old_size)
		return;
	if (old_size < iter->pos && folio_pos(folio) < iter->pos) {
		loff_t from = max(old_size, folio_pos(folio));

		folio_zero_segment(folio, offset_in_folio(folio, from),
				   offset_in_folio(folio, iter->pos));
	}
	i_size_write(iter->inode, iter->pos + written);
	iter->iomap.flags |= IOMAP_F_SIZE_CHANGED;
	/* and that has to be durable, too, see iomap_writethrough_can_fua() */
	wpc->iomap.flags |= IOMAP_F_DIRTY;
}

static ssize_t
iomap_writethrough_locked(struct iomap_writethrough *wt,
			  struct iomap_iter *iter,
			  struct iomap_writepage_ctx *wpc,
			  const struct iomap_write_ops *write_ops,
			  struct folio_batch *fbatch, struct iov_iter *from,
			  size_t len, size_t *hint)
{
	ssize_t ret;

	ret = iomap_writethrough_lock(iter, len, fbatch);
	if (ret <= 0)
		return ret;
	if (!(iter->flags & IOMAP_OVERWRITE_ONLY) &&
	    write_ops && write_ops->iomap_valid &&
	    !write_ops->iomap_valid(iter->inode, &iter->iomap)) {
		iter->iomap.flags |= IOMAP_F_STALE;
		return 0;
	}

	ret = iomap_writethrough_map(iter, wpc, ret, iov_iter_count(from));
	if (ret < 0)
		return ret;
	/* The last moment to decide that the write would have to wait. */
	if ((iter->flags & IOMAP_NOWAIT) && ret < iov_iter_count(from))
		return -EAGAIN;
	iomap_writethrough_trim(fbatch, iter->pos + ret);

	ret = iomap_writethrough_read(iter, write_ops, fbatch, ret);
	if (ret < 0)
		return ret;
	iomap_writethrough_trim(fbatch, iter->pos + ret);

	ret = iomap_writethrough_copy(iter, fbatch, ret, from, hint);
	if (!ret)
		return 0;
	iomap_writethrough_trim(fbatch, iter->pos + ret);

	iomap_writethrough_update_size(iter, wpc, fbatch->folios[0], ret);
	iomap_writethrough_add(wt, wpc, fbatch, iter->pos, ret);
	return ret;
}

/*
 * Write through the next batch: at most @len bytes at iter->pos.  Returns what
 * was written, 0 if the copy made no progress or the mapping is stale, or an
 * error before anything was changed.
 */
static ssize_t iomap_writethrough_batch(struct iomap_writethrough *wt,
					struct iomap_iter *iter,
					struct iomap_writepage_ctx *wpc,
					const struct iomap_write_ops *write_ops,
					struct iov_iter *from, size_t len,
					size_t *hint)
{
	loff_t old_size = i_size_read(iter->inode);
	struct folio_batch fbatch __uninitialized;	/* but for its count */
	unsigned int nofs_flag;
	ssize_t ret;

	if (fatal_signal_pending(current))
		return -EINTR;

	/*
	 * The source may be a mapping of what we are about to lock, so that it
	 * cannot be faulted in later.
	 */
	if (unlikely(fault_in_iov_iter_readable(from, len) == len))
		return -EFAULT;

	folio_batch_init(&fbatch);
	nofs_flag = memalloc_nofs_save();
	ret = iomap_writethrough_locked(wt, iter, wpc, write_ops, &fbatch,
					from, len, hint);
	iomap_writethrough_unlock(&fbatch, 0);
	iomap_writethrough_submit(wpc);
	memalloc_nofs_restore(nofs_flag);

	if (ret <= 0) {
		if (!(iter->iomap.flags & IOMAP_F_STALE))
			iomap_write_failed(iter->inode, iter->pos, len);
		return ret;
	}
	if (old_size < iter->pos)
		pagecache_isize_extended(iter->inode, old_size, iter->pos);
	wt->size += ret;
	wt->iocb->ki_pos += ret;
	return ret;
}

/*
 * The copy made no progress: part of the source went away after it had been
 * faulted in.  Try less, so that sooner or later all of it is there at once.
 */
static size_t iomap_writethrough_shrink(size_t bytes, size_t hint)
{
	return hint ? hint : max_t(size_t, bytes / 2, 1);
}

/**
 * iomap_writethrough_overwrite - write through to blocks that are allocated
 * @wt: context from iomap_writethrough_begin()
 * @from: data to write, block aligned in length
 * @wpc: writeback context of the file system
 *
 * Write @from at the block aligned position of the iocb, all of it inside
 * i_size.  The file system looks up the mapping under the folio locks, by
 * ->writethrough_map with IOMAP_OVERWRITE_ONLY, and nowhere else.
 *
 * The caller holds the inode lock shared, or exclusive: the file cannot shrink
 * and no extent that is allocated goes away.
 *
 * Returns 0 if all was submitted; -EAGAIN if the rest is a case for
 * iomap_writethrough_allocate(), because the file system has to allocate or
 * because the copy has stopped inside a block, or if it would block and
 * IOCB_NOWAIT is set; or another error.  In any case the position of the iocb
 * and @from tell how far it came.
 */
int iomap_writethrough_overwrite(struct iomap_writethrough *wt,
				 struct iov_iter *from,
				 struct iomap_writepage_ctx *wpc)
{
	struct iomap_iter iter = {
		.inode		= wpc->inode,
		.pos		= wt->iocb->ki_pos,
		.flags		= IOMAP_OVERWRITE_ONLY |
				  iomap_writethrough_iter_flags(wt->iocb),
	};
	struct address_space *mapping = wpc->inode->i_mapping;
	unsigned int block_mask = i_blocksize(wpc->inode) - 1;
	struct blk_plug plug;
	int error = 0;

	mapping_set_writethrough(mapping);
	blk_start_plug(&plug);
	while (iov_iter_count(from)) {
		ssize_t ret;
		size_t hint, bytes;

		bytes = iomap_writethrough_chunk(mapping, iter.pos,
						 iov_iter_count(from));
		/* one batch or none, so do not even begin with more */
		if ((iter.flags & IOMAP_NOWAIT) &&
		    bytes < iov_iter_count(from)) {
			error = -EAGAIN;
			break;
		}
		ret = iomap_writethrough_batch(wt, &iter, wpc, NULL, from,
					       bytes, &hint);
		if (ret < 0) {
			error = ret;
			break;
		}
		iter.pos += ret;
		/*
		 * The copy was short, and stopped inside a block.  What is left
		 * of it is not for us: there is no mapping to read it from.
		 */
		if (!ret || (iter.pos & block_mask)) {
			error = -EAGAIN;
			break;
		}
		/* once a byte has been written, all are going to be */
		iter.flags &= ~IOMAP_NOWAIT;
		cond_resched();
	}
	blk_finish_plug(&plug);

	/* including what is left to the exclusive lock */
	if (wt->size)
		wt->iocb->ki_flags &= ~IOCB_NOWAIT;
	return error;
}
EXPORT_SYMBOL_GPL(iomap_writethrough_overwrite);

static int iomap_writethrough_iter(struct iomap_writethrough *wt,
				   struct iomap_iter *iter,
				   struct iomap_writepage_ctx *wpc,
				   const struct iomap_write_ops *write_ops,
				   struct iov_iter *from, size_t *limit)
{
	do {
		size_t bytes = min_t(u64, *limit, iomap_length(iter));
		size_t hint = 0;
		ssize_t ret;

		bytes = iomap_writethrough_chunk(iter->inode->i_mapping,
						 iter->pos, bytes);

		ret = iomap_writethrough_batch(wt, iter, wpc, write_ops, from,
					       bytes, &hint);
		if (ret < 0)
			return ret;
		if (iter->iomap.flags & IOMAP_F_STALE)
			break;
		*limit = ret ? SIZE_MAX :
			       iomap_writethrough_shrink(bytes, hint);
		iomap_iter_advance(iter, ret);
		cond_resched();
	} while (iov_iter_count(from) && iomap_length(iter));

	return 0;
}

/**
 * iomap_writethrough_allocate - write through, and allocate as needed
 * @wt: context from iomap_writethrough_begin()
 * @from: data to write
 * @wpc: writeback context of the file system
 * @ops: the iomap operations of a buffered write
 * @write_ops: as for a buffered write; ->get_folio and ->put_folio are not used
 * @private: handed to @ops
 *
 * Write @from at the position of the iocb, whatever is there: @ops reserve the
 * space as they do for any buffered write, and ->writethrough_map turns the
 * reservation into blocks before a byte is copied.
 *
 * The caller holds the inode lock exclusively.  Not for IOCB_NOWAIT.
 *
 * Returns 0 if all was submitted, or an error.  In any case the position of the
 * iocb and @from tell how far it came.
 */
int iomap_writethrough_allocate(struct iomap_writethrough *wt,
				struct iov_iter *from,
				struct iomap_writepage_ctx *wpc,
				const struct iomap_ops *ops,
				const struct iomap_write_ops *write_ops,
				void *private)
{
	struct iomap_iter iter = {
		.inode		= wpc->inode,
		.pos		= wt->iocb->ki_pos,
		.len		= iov_iter_count(from),
		.flags		= iomap_writethrough_iter_flags(wt->iocb),
		.private	= private,
	};
	size_t limit = SIZE_MAX;
	struct blk_plug plug;
	int ret;

	mapping_set_writethrough(wpc->inode->i_mapping);
	blk_start_plug(&plug);
	while ((ret = iomap_iter(&iter, ops)) > 0)
		iter.status = iomap_writethrough_iter(wt, &iter, wpc,
						      write_ops, from, &limit);
	blk_finish_plug(&plug);
	return ret;
}
EXPORT_SYMBOL_GPL(iomap_writethrough_allocate);

/*
 * An atomic write: after a crash all of it is there, or nothing.  Either it is
 * one bio that the device does not tear, or the file system has all of it
 * written elsewhere, and then remaps it at once.
 *
 * As nothing may stop half way, all that is needed is at hand before the first
 * byte is copied: the source is pinned, and the batch has the size of the
 * write.
 */
struct iomap_writethrough_atomic {
	struct iomap_writethrough	wt;	/* first, see _complete() */
	struct iomap_ioend_group	group;
	struct folio			**folios;
	struct bio_vec			*source;
	unsigned int			nr_folios;
	unsigned int			nr_pages;
	bool				no_faults;	/* they are locked out */
};

static struct iomap_writethrough_atomic *
iomap_writethrough_to_atomic(struct iomap_writethrough *wt)
{
	return container_of(wt, struct iomap_writethrough_atomic, wt);
}

/* What is only needed for the submission. */
static void iomap_writethrough_atomic_release(struct iomap_writethrough *wt)
{
	struct iomap_writethrough_atomic *atomic =
		iomap_writethrough_to_atomic(wt);

	while (atomic->nr_pages)
		unpin_user_page(atomic->source[--atomic->nr_pages].bv_page);
	kvfree(atomic->source);
	atomic->source = NULL;
}

/* What is left to the submitter to complete. */
static void iomap_writethrough_atomic_finish(struct iomap_writethrough *wt)
{
	struct iomap_writethrough_atomic *atomic =
		iomap_writethrough_to_atomic(wt);

	if (atomic->group.in_task)
		iomap_ioend_group_finish(&atomic->group);
}

/*
 * Pin the source, so that the copy is not short.  It may be a mapping of what
 * we are about to write to: to pin it takes locks that come before ours.
 */
static int iomap_writethrough_pin(struct iomap_writethrough_atomic *atomic,
				  struct iov_iter *from)
{
	struct iov_iter iter = *from;

	while (iov_iter_count(&iter)) {
		struct page *pages[16], **p = pages, **next = pages;
		size_t offset;
		ssize_t len;

		len = iov_iter_extract_pages(&iter, &p, SIZE_MAX,
					     ARRAY_SIZE(pages), 0, &offset);
		if (len <= 0)
			return len ? len : -EFAULT;
		while (len > 0) {
			size_t bytes = min_t(size_t, len, PAGE_SIZE - offset);

			bvec_set_page(&atomic->source[atomic->nr_pages++],
				      *next++, bytes, offset);
			offset = 0;
			len -= bytes;
		}
	}
	return 0;
}

static struct iomap_writethrough *
iomap_writethrough_atomic_alloc(struct iov_iter *from)
{
	struct iomap_writethrough_atomic *atomic;
	size_t nr_folios = DIV_ROUND_UP(iov_iter_count(from), PAGE_SIZE);
	size_t nr_pages = nr_folios + 1;
	int error;

	/* see generic_atomic_write_valid() */
	if (WARN_ON_ONCE(!iter_is_ubuf(from)))
		return ERR_PTR(-EINVAL);

	atomic = kzalloc_obj(*atomic);
	if (!atomic)
		return ERR_PTR(-ENOMEM);
	atomic->source = kvmalloc(nr_pages * sizeof(*atomic->source) +
				  nr_folios * sizeof(*atomic->folios),
				  GFP_KERNEL);
	if (!atomic->source) {
		kfree(atomic);
		return ERR_PTR(-ENOMEM);
	}
	atomic->folios = (struct folio **)(atomic->source + nr_pages);

	error = iomap_writethrough_pin(atomic, from);
	if (error) {
		iomap_writethrough_atomic_release(&atomic->wt);
		kfree(atomic);
		return ERR_PTR(error);
	}
	return &atomic->wt;
}

static void
iomap_writethrough_atomic_unlock(struct iomap_writethrough_atomic *atomic)
{
	while (atomic->nr_folios) {
		struct folio *folio = atomic->folios[--atomic->nr_folios];

		folio_unlock(folio);
		if (!folio_test_writeback(folio))
			folio_end_dropbehind(folio);
		folio_put(folio);
	}
}

/*
 * Lock all folios of the range, in ascending order like everybody, and let each
 * come to rest.  Unlike others an atomic write does not join writeback of other
 * blocks, which takes this one wait; nobody can join with the folio locked.
 * Others may join ours later.  It ends for the folio when all have completed,
 * for the atomic write's blocks not before all of that is remapped.
 *
 * With page faults locked out the lock of a clean folio is not waited for.
 * khugepaged takes the lock for that after those of clean folios, since it reads
 * into holes.  (Of one that is dirty, which the flush waits for, it lets go.)
 *
 *	atomic write			khugepaged
 *
 *					lock the first folio
 *	lock mapping->invalidate_lock
 *	lock the first folio
 *					read the second:
 *					  lock mapping->invalidate_lock, shared
 *
 * Returns 1 if one is locked by somebody else then.
 */
static int
iomap_writethrough_atomic_lock(struct iomap_writethrough_atomic *atomic,
			       struct iomap_iter *iter)
{
	loff_t pos = iter->pos, end = pos + iter->len;

	while (pos < end) {
		struct folio *folio;
		int error;

		folio = iomap_writethrough_get_folio(iter, pos, end - pos,
						     atomic->no_faults ?
						     FGP_NOWAIT : 0);
		if (atomic->no_faults && folio == ERR_PTR(-EAGAIN))
			return 1;
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		atomic->folios[atomic->nr_folios++] = folio;
		if (!(iter->flags & IOMAP_NOWAIT))
			folio_wait_writeback(folio);
		else if (folio_test_writeback(folio))
			return -EAGAIN;
		error = iomap_writethrough_settle_folio(iter, folio, pos, end);
		if (error)
			return error;
		pos = folio_next_pos(folio);
	}
	return 0;
}

static bool iomap_writethrough_range_dirty(struct inode *inode,
					   struct folio *folio, size_t off,
					   size_t len)
{
	unsigned int first = off >> inode->i_blkbits;
	unsigned int last = (off + len - 1) >> inode->i_blkbits;

	if (!folio_test_dirty(folio))
		return false;
	if (!folio->private)
		return true;
	return ifs_next_dirty_block(folio, first, last) <= last;
}

/*
 * Is anything in the range dirty?  Then what is on disk is not what was in the
 * file, and if we fail there is nothing to go back to.
 */
static bool
iomap_writethrough_atomic_dirty(struct iomap_writethrough_atomic *atomic,
				struct iomap_iter *iter)
{
	loff_t end = iter->pos + iter->len;
	unsigned int i;

	for (i = 0; i < atomic->nr_folios; i++) {
		struct folio *folio = atomic->folios[i];
		loff_t from = max_t(loff_t, iter->pos, folio_pos(folio));
		loff_t to = min_t(loff_t, end, folio_next_pos(folio));

		if (iomap_writethrough_range_dirty(iter->inode, folio,
						   offset_in_folio(folio, from),
						   to - from))
			return true;
	}
	return false;
}

/*
 * Write back what is dirty in the range, before any folio is locked: an error
 * is that of whoever wrote it, and nothing has been touched.
 */
static int iomap_writethrough_flush(struct iomap_iter *iter)
{
	struct address_space *mapping = iter->inode->i_mapping;
	loff_t last = iter->pos + iter->len - 1;

	if (!filemap_range_needs_writeback(mapping, iter->pos, last))
		return 0;
	if (iter->flags & IOMAP_NOWAIT)
		return -EAGAIN;
	return filemap_write_and_wait_range(mapping, iter->pos, last);
}

/*
 * Map all of the range, or nothing.  One bio has to hold all of it if the
 * device is to see to it that it does not tear.
 */
static int
iomap_writethrough_atomic_map(struct iomap_writethrough_atomic *atomic,
			      struct iomap_iter *iter,
			      struct iomap_writepage_ctx *wpc)
{
	const struct iomap *iomap = &wpc->iomap;
	int error;

	error = wpc->ops->writethrough_map(wpc, iter->pos, iter->len,
					   iter->flags);
	if (error)
		return error;
	if (WARN_ON_ONCE(iomap->offset > iter->pos))
		return -EIO;
	if (!(iomap->flags & IOMAP_F_ATOMIC_BIO))
		return WARN_ON_ONCE(!(iomap->flags & IOMAP_F_SHARED)) ?
		       -EIO : 0;
	if (WARN_ON_ONCE(iomap->offset + iomap->length <
			 iter->pos + iter->len))
		return -EIO;
	if (atomic->nr_folios > BIO_MAX_VECS ||
	    iter->len > iomap_max_bio_size(iomap))
		return -EINVAL;
	return 0;
}

/*
 * Whole blocks, from pages that are pinned: nothing to read, and never short.
 */
static void
iomap_writethrough_atomic_copy(struct iomap_writethrough_atomic *atomic,
			       struct iomap_iter *iter)
{
	loff_t pos = iter->pos, end = pos + iter->len;
	struct iov_iter from;
	unsigned int i;

	iov_iter_bvec(&from, ITER_SOURCE, atomic->source, atomic->nr_pages,
		      iter->len);
	for (i = 0; i < atomic->nr_folios; i++) {
		struct folio *folio = atomic->folios[i];
		size_t off = offset_in_folio(folio, pos);
		size_t bytes = min_t(u64, end - pos, folio_size(folio) - off);
		size_t copied;

		WARN_ON_ONCE(iomap_writethrough_copy_folio(iter->inode, folio,
							   off, bytes, &from,
							   &copied) != bytes);
		pos += bytes;
	}
}

static void
iomap_writethrough_atomic_stamp(struct iomap_writethrough_atomic *atomic,
				const struct iomap *iomap,
				struct iomap_ioend *ioend)
{
	if (ioend->io_flags & IOMAP_IOEND_WRITETHROUGH)
		return;
	iomap_writethrough_stamp_ioend(&atomic->wt, iomap, ioend);
	if (iomap->flags & IOMAP_F_ATOMIC_BIO)
		ioend->io_bio.bi_opf |= REQ_ATOMIC;
	else
		iomap_ioend_group_add(&atomic->group, ioend);
}

/* Add what is left of a folio, up to the end of the mapping at @pos. */
static ssize_t
iomap_writethrough_atomic_add_range(struct iomap_writethrough_atomic *atomic,
				    struct iomap_iter *iter,
				    struct iomap_writepage_ctx *wpc,
				    struct folio *folio, loff_t pos, size_t len)
{
	ssize_t ret;

	if (pos >= wpc->iomap.offset + wpc->iomap.length) {
		ret = wpc->ops->writethrough_map(wpc, pos,
						 iter->pos + iter->len - pos,
						 iter->flags);
		if (ret)
			return ret;
	}
	ret = iomap_add_to_ioend(wpc, folio, pos, i_size_read(iter->inode),
				 len);
	if (ret < 0)
		return ret;
	wpc->nr_folios++;
	iomap_writethrough_atomic_stamp(atomic, &wpc->iomap, wpc->wb_ctx);
	wpc->in_group = !(wpc->iomap.flags & IOMAP_F_ATOMIC_BIO);
	return ret;
}

/*
 * Put the whole range under writeback.  What could not be added makes all of it
 * fail: there is no memory for another bio, or, as the file system has mapped it
 * before, that has been shut down.
 */
static int
iomap_writethrough_atomic_add(struct iomap_writethrough_atomic *atomic,
			      struct iomap_iter *iter,
			      struct iomap_writepage_ctx *wpc)
{
	loff_t pos = iter->pos, end = pos + iter->len;
	unsigned int i;

	task_io_account_write(iter->len);
	wpc->nr_vecs = min(atomic->nr_folios, BIO_MAX_VECS);
	for (i = 0; i < atomic->nr_folios; i++) {
		struct folio *folio = atomic->folios[i];
		loff_t next = min_t(loff_t, end, folio_next_pos(folio));

		iomap_writethrough_start_folio(iter->inode, folio,
					       offset_in_folio(folio, pos),
					       next - pos);
		while (pos < next) {
			size_t off = offset_in_folio(folio, pos);
			size_t len = next - pos;
			ssize_t ret;

			ret = iomap_writethrough_atomic_add_range(atomic, iter,
								  wpc, folio,
								  pos, len);
			if (ret < 0) {
				iomap_writethrough_end_folio(iter->inode, folio,
							     off, len);
				iomap_finish_folio_write(iter->inode, folio,
							 len);
				return ret;
			}
			pos += ret;
		}
	}
	return 0;
}

/*
 * Returns 0 if all was submitted, 1 if something was dirty or busy, or an error;
 * in both latter cases nothing has been changed.
 */
static int
iomap_writethrough_atomic_locked(struct iomap_writethrough_atomic *atomic,
				 struct iomap_iter *iter,
				 struct iomap_writepage_ctx *wpc)
{
	struct iomap_writethrough *wt = &atomic->wt;
	int error;

	error = iomap_writethrough_atomic_lock(atomic, iter);
	if (error)
		return error;
	if (iomap_writethrough_atomic_dirty(atomic, iter))
		return 1;
	error = iomap_writethrough_atomic_map(atomic, iter, wpc);
	if (error)
		return error;

	iomap_writethrough_atomic_copy(atomic, iter);
	iomap_writethrough_update_size(iter, wpc, atomic->folios[0], iter->len);
	wt->size = iter->len;
	error = iomap_writethrough_atomic_add(atomic, iter, wpc);
	if (error)
		iomap_writethrough_set_error(wt, error);
	return 0;
}

/*
 * A synchronous write waits anyway, and can complete itself.  Not if it begins
 * behind the end of the file: then it waits for the folio of that end after the
 * submission, and in vain if it is one of its own, whose blocks are smaller.
 *
 *	atomic write			page fault
 *
 *	submit
 *					lock folio
 *					wait for its writeback to end
 *	pagecache_isize_extended():
 *	  lock folio
 *	end writeback
 */
static bool
iomap_writethrough_atomic_in_task(struct iomap_writethrough_atomic *atomic,
				  struct iomap_iter *iter, loff_t old_size)
{
	return !(atomic->wt.flags & IOMAP_WRITETHROUGH_ASYNC) &&
	       iter->pos <= old_size;
}

static int
iomap_writethrough_atomic_try(struct iomap_writethrough_atomic *atomic,
			      struct iomap_iter *iter,
			      struct iomap_writepage_ctx *wpc)
{
	loff_t old_size = i_size_read(iter->inode);
	unsigned int nofs_flag;
	int ret;

	if (fatal_signal_pending(current))
		return -EINTR;
	ret = iomap_writethrough_flush(iter);
	if (ret)
		return ret;

	nofs_flag = memalloc_nofs_save();
	iomap_ioend_group_init(&atomic->group, iter->pos, iter->len,
			       iomap_writethrough_atomic_in_task(atomic, iter,
								 old_size));
	ret = iomap_writethrough_atomic_locked(atomic, iter, wpc);
	iomap_writethrough_atomic_unlock(atomic);
	iomap_writethrough_submit(wpc);
	iomap_ioend_group_end(&atomic->group, atomic->wt.error);
	memalloc_nofs_restore(nofs_flag);

	if (ret)
		iomap_write_failed(iter->inode, iter->pos, iter->len);
	else if (old_size < iter->pos)
		pagecache_isize_extended(iter->inode, old_size, iter->pos);
	return ret;
}

/**
 * iomap_writethrough_atomic - write through all of it or nothing
 * @wt: context from iomap_writethrough_begin() of an iocb with IOCB_ATOMIC
 * @from: data to write
 * @wpc: writeback context of the file system
 *
 * Write @from at the position of the iocb, of which it is a multiple of the
 * length, in such a way that it is not torn by a crash.  The file system
 * prepares that in ->writethrough_map, with IOMAP_ATOMIC.
 *
 * The caller holds the inode lock exclusively, and direct I/O in flight has
 * ended.
 *
 * Dirty data of the range is written first, so that the disk holds what a
 * failed write goes back to.  Stores to mappings may dirty it again and again
 * before we get at the folios.  Hence, after some tries, page faults are locked
 * out in every second one.
 *
 * Returns 0 if all was submitted, or an error; nothing has been changed then.
 * -EAGAIN if it would block and IOCB_NOWAIT is set.
 */
int iomap_writethrough_atomic(struct iomap_writethrough *wt,
			      struct iov_iter *from,
			      struct iomap_writepage_ctx *wpc)
{
	struct iomap_writethrough_atomic *atomic =
		iomap_writethrough_to_atomic(wt);
	struct address_space *mapping = wpc->inode->i_mapping;
	struct iomap_iter iter = {
		.inode		= wpc->inode,
		.pos		= wt->iocb->ki_pos,
		.len		= iov_iter_count(from),
		.flags		= IOMAP_ATOMIC |
				  iomap_writethrough_iter_flags(wt->iocb),
	};
	unsigned int tries = 0;
	struct blk_plug plug;
	int ret;

	mapping_set_writethrough(mapping);
	blk_start_plug(&plug);
	for (;;) {
		atomic->no_faults = tries >= 4 && tries % 2 == 0;
		if (atomic->no_faults)
			filemap_invalidate_lock(mapping);
		ret = iomap_writethrough_atomic_try(atomic, &iter, wpc);
		if (atomic->no_faults)
			filemap_invalidate_unlock(mapping);
		if (ret > 0 && (iter.flags & IOMAP_NOWAIT))
			ret = -EAGAIN;
		if (ret <= 0)
			break;
		cond_resched();
		tries++;
	}
	blk_finish_plug(&plug);
	if (ret)
		return ret;

	iov_iter_advance(from, iter.len);
	wt->iocb->ki_pos += iter.len;
	return 0;
}
EXPORT_SYMBOL_GPL(iomap_writethrough_atomic);

static int iomap_writethrough_init_sync(struct iomap_writethrough *wt,
					struct super_block *sb)
{
	if (!iocb_is_dsync(wt->iocb))
		return 0;
	/* Anything but the data, timestamps included, takes an fsync. */
	if (wt->iocb->ki_flags & IOCB_SYNC)
		wt->flags |= IOMAP_WRITETHROUGH_SYNC;
	else
		wt->flags |= IOMAP_WRITETHROUGH_FUA;
	if ((wt->flags & IOMAP_WRITETHROUGH_ASYNC) && !sb->s_dio_done_wq)
		return sb_init_dio_done_wq(sb);
	return 0;
}

static bool iomap_writethrough_needs_wb(const struct inode *inode)
{
#ifdef CONFIG_CGROUP_WRITEBACK
	return !inode->i_wb;
#else
	return false;
#endif
}

/**
 * iomap_writethrough_begin - start a write-through
 * @onstack: context to use for a synchronous iocb
 * @iocb: the write
 * @from: its data
 *
 * Returns the context to use, which is @onstack unless the iocb is
 * asynchronous, or an ERR_PTR.  May sleep.  Every context ends in
 * iomap_writethrough_end().
 */
struct iomap_writethrough *
iomap_writethrough_begin(struct iomap_writethrough *onstack,
			 struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = iocb->ki_filp->f_mapping->host;
	struct iomap_writethrough *wt = onstack;
	unsigned int flags = 0;
	int error;

	if (!is_sync_kiocb(iocb))
		flags |= IOMAP_WRITETHROUGH_ASYNC;
	if (iocb->ki_flags & IOCB_ATOMIC) {
		flags |= IOMAP_WRITETHROUGH_ATOMIC;
		wt = iomap_writethrough_atomic_alloc(from);
		if (IS_ERR(wt))
			return wt;
	} else if (flags) {
		wt = kmalloc_obj(*wt);
		if (!wt)
			return ERR_PTR(-ENOMEM);
	}

	wt->iocb = iocb;
	wt->size = 0;
	wt->error = 0;
	wt->flags = flags;
	atomic_set(&wt->ref, 1);
	init_completion(&wt->done);

	error = iomap_writethrough_init_sync(wt, inode->i_sb);
	if (error) {
		if (flags & IOMAP_WRITETHROUGH_ATOMIC)
			iomap_writethrough_atomic_release(wt);
		if (flags)
			kfree(wt);
		return ERR_PTR(error);
	}

	/*
	 * Writeback accounts to the inode's wb, which nobody else may need.  It
	 * has to be on a list of that one when its control group goes away.
	 */
	if (iomap_writethrough_needs_wb(inode))
		__mark_inode_dirty(inode, I_DIRTY_PAGES);
	trace_iomap_writethrough_begin(iocb, from);
	return wt;
}
EXPORT_SYMBOL_GPL(iomap_writethrough_begin);

/**
 * iomap_writethrough_end - finish a write-through
 * @wt: context from iomap_writethrough_begin()
 * @error: what stopped the submission, if anything did
 *
 * Called without the inode lock.  Waits for the I/O of a synchronous iocb.
 *
 * Returns the bytes written; -EIOCBQUEUED if the iocb is asynchronous and is
 * going to complete by itself; or an error, which is @error only if nothing was
 * written.
 */
ssize_t iomap_writethrough_end(struct iomap_writethrough *wt, int error)
{
	struct inode *inode = file_inode(wt->iocb->ki_filp);
	const unsigned int flags = wt->flags;	/* settled by now */
	size_t size = wt->size;
	loff_t pos = wt->iocb->ki_pos - size;

	if (error)
		trace_iomap_writethrough_error(inode, pos, size, error);
	if (flags & IOMAP_WRITETHROUGH_ATOMIC) {
		iomap_writethrough_atomic_release(wt);
		iomap_writethrough_atomic_finish(wt);
	}
	if (!size)
		wt->size = error;

	/*
	 * We are about to drop our reference, which might be the last one.
	 * There are three ways on:
	 *
	 *  (a) It is the last one: complete here, unless there is blocking work
	 *	left to do and the caller does not expect to block.
	 *  (b) It is not, and the iocb is asynchronous: neither the context nor
	 *	the iocb may be touched after the decrement, the completion of
	 *	the I/O sees to both.
	 *  (c) It is not, and the iocb is synchronous: the completion of the
	 *	I/O wakes us on the drop of the final reference.
	 */
	if (!atomic_dec_and_test(&wt->ref)) {
		if (flags & IOMAP_WRITETHROUGH_ASYNC) {
			trace_iomap_writethrough_queued(inode, pos, size, 0);
			return -EIOCBQUEUED;
		}
		wait_for_completion_io(&wt->done);
	} else if (size && (flags & IOMAP_WRITETHROUGH_ASYNC) &&
		   iomap_writethrough_needs_task(wt)) {
		iomap_writethrough_queue(wt);
		return -EIOCBQUEUED;
	}
	return iomap_writethrough_complete(wt);
}
EXPORT_SYMBOL_GPL(iomap_writethrough_end);

#ifdef CONFIG_IOMAP_WRITETHROUGH_KUNIT_TEST
#include "tests/writethrough_kunit.c"
#endif
