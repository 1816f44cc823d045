// SPDX-License-Identifier: GPL-2.0
/*
 * Buffered write-through: the lock, the mapping and the submission.  The engine
 * is in fs/iomap/writethrough.c.
 */
#include "xfs_platform.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_inode.h"
#include "xfs_trans.h"
#include "xfs_inode_item.h"
#include "xfs_log.h"
#include "xfs_log_priv.h"
#include "xfs_iomap.h"
#include "xfs_trace.h"
#include "xfs_bmap.h"
#include "xfs_bmap_util.h"
#include "xfs_reflink.h"
#include "xfs_icache.h"
#include "xfs_file.h"
#include "xfs_aops.h"
#include "xfs_writethrough.h"

/* The writeback context of one write. */
struct xfs_writethrough_ctx {
	struct xfs_writepage_ctx	wpc;
	/* see function of that name */
	bool				check_durable;
	loff_t				staged_end;	/* of an atomic write */
};

static inline struct xfs_writethrough_ctx *
XFS_WRITETHROUGH_CTX(struct iomap_writepage_ctx *wpc)
{
	return container_of(XFS_WPC(wpc), struct xfs_writethrough_ctx, wpc);
}

/* Are all blocks from @imap on until @end_fsb allocated? */
static bool
xfs_writethrough_all_real(struct xfs_inode *ip,
			  struct xfs_iext_cursor icur,
			  struct xfs_bmbt_irec imap,
			  xfs_fileoff_t end_fsb)
{
	xfs_fileoff_t		next_fsb;

	while (!isnullstartblock(imap.br_startblock)) {
		next_fsb = imap.br_startoff + imap.br_blockcount;
		if (next_fsb >= end_fsb)
			return true;
		if (!xfs_iext_next_extent(&ip->i_df, &icur, &imap) ||
		    imap.br_startoff > next_fsb)
			break;
	}
	return false;
}

/*
 * Note in the mapping whether anything but the data up to @end, which is inside
 * i_size, has to be made durable before it can be read back.  Only a write that
 * is to be durable, or atomic, wants to know.
 *
 * The size on disk is changed under the extent lock, in a transaction that is
 * noted in ili_datasync_seq before the lock is dropped.  Without the lock, a
 * size could be taken for durable which is not even in the log:
 *
 *	O_DSYNC write-through		completion of a write behind it
 *
 *					lock, set i_disk_size
 *	end <= i_disk_size
 *	ili_datasync_seq is 0: FUA
 *	acknowledged			commit, unlock
 *
 *	power fails, and the log has not been written
 *
 * A transaction that is cancelled or whose commit fails leaves no note, and a
 * checkpoint that is aborted takes it back, but only once the file system or
 * its log has been shut down.
 */
static void
xfs_writethrough_check_durable(struct iomap_writepage_ctx *wpc,
			       loff_t end)
{
	struct xfs_inode		*ip = XFS_I(wpc->inode);
	struct xfs_inode_log_item	*iip = ip->i_itemp;
	bool				dirty = end > ip->i_disk_size;

	xfs_assert_ilocked(ip, XFS_ILOCK_SHARED | XFS_ILOCK_EXCL);
	if (!XFS_WRITETHROUGH_CTX(wpc)->check_durable)
		return;

	if (iip) {
		spin_lock(&iip->ili_lock);
		if (iip->ili_datasync_seq)
			dirty = true;
		spin_unlock(&iip->ili_lock);
	}
	if (dirty || xfs_is_shutdown(ip->i_mount) ||
	    xlog_is_shutdown(ip->i_mount->m_log))
		wpc->iomap.flags |= IOMAP_F_DIRTY;
}

/* Lock the extents of the file.  Returns how, or 0 if that would block. */
static unsigned int
xfs_writethrough_ilock(struct xfs_inode *ip,
		       unsigned int flags)
{
	if (!(flags & IOMAP_NOWAIT))
		return xfs_ilock_data_map_shared(ip);
	if (xfs_need_iread_extents(&ip->i_df) ||
	    !xfs_ilock_nowait(ip, XFS_ILOCK_SHARED))
		return 0;
	return XFS_ILOCK_SHARED;
}

/*
 * What xfs_map_blocks() has found can be used again without the ILOCK, and then
 * says nothing about this range.
 */
static void
xfs_writethrough_check_mapped(struct iomap_writepage_ctx *wpc,
			      loff_t offset,
			      unsigned int len)
{
	struct xfs_inode		*ip = XFS_I(wpc->inode);

	if (!XFS_WRITETHROUGH_CTX(wpc)->check_durable)
		return;
	xfs_ilock(ip, XFS_ILOCK_SHARED);
	xfs_writethrough_check_durable(wpc,
				       min_t(loff_t, offset + len,
					     i_size_read(wpc->inode)));
	xfs_iunlock(ip, XFS_ILOCK_SHARED);
}

/*
 * Is direct I/O in flight that may replace blocks when it completes, without the
 * iolock?  An atomic write that is staged in the COW fork does:
 *
 *	direct I/O			write-through
 *
 *	stage, submit, unlock
 *					look up the block, submit
 *	remap: free the block
 *	somebody else gets the block
 *					the device writes to it
 *
 * It is counted before it stages, and until it has remapped, which both take the
 * ILOCK.  What stages later waits for us, see xfs_writethrough_drain().
 *
 * What is in the COW fork right now does not tell.  Direct I/O puts into place
 * all that is staged in its range, by whomever, when it completes.  So its own
 * may be in place already, and it may come for that of a later one, which has
 * yet to wait for us.
 */
static bool
xfs_writethrough_beside_remap(struct xfs_inode *ip)
{
	xfs_assert_ilocked(ip, XFS_ILOCK_SHARED | XFS_ILOCK_EXCL);
	return ip->i_cowfp && atomic_read(&VFS_I(ip)->i_dio_count);
}

/*
 * Direct I/O has staged a range in the COW fork, having dropped what was cached
 * of it before.  Since then a write-through may have looked up the blocks that
 * are to be replaced.  It has done so with the folio locked, and unlocks it when
 * it is under writeback.  Those who come later find direct I/O in flight.
 *
 * The caller holds the iolock and no folio.  Until it submits, writeback of what
 * a mapping has dirtied may put into place what is staged, as it may without this
 * wait.
 */
void
xfs_writethrough_drain(struct inode *inode,
		       loff_t offset,
		       loff_t length)
{
	pgoff_t			first = offset >> PAGE_SHIFT;
	pgoff_t			last = (offset + length - 1) >> PAGE_SHIFT;

	/* pairs with the one in xfs_writethrough_imap_valid() */
	smp_mb();
	/* What is dirty again stays, and is written to where it is staged. */
	if (mapping_writethrough(inode->i_mapping))
		invalidate_inode_pages2_range(inode->i_mapping, first, last);
}

/*
 * Does what an earlier lookup of this write has found still hold?  The file does
 * not shrink under the iolock, and no extent goes away but when data from the COW
 * fork is put into place.  Where writeback does that, buffered atomic writes, or
 * a write-through that has found what was left over there, the blocks are in
 * flight until then, and have been waited for.  Direct I/O has no folio.  It
 * notes the change in the sequence number last:
 *
 *	direct I/O			write-through
 *
 *	i_dio_count++			look up, for an earlier batch
 *	stage
 *	smp_mb()			lock folio
 *	xfs_writethrough_drain()	smp_mb()
 *	submit				i_dio_count is not 0: look up again
 *	remap
 *	if_seq++
 *	i_dio_count--			i_dio_count is 0: look at if_seq
 *
 * If we do not see the count, the drain sees our folio, and waits for it.
 *
 * The barrier also has the sequence number read after what tells that nothing is
 * in flight.
 */
static bool
xfs_writethrough_imap_valid(struct iomap_writepage_ctx *wpc,
			    struct xfs_inode *ip,
			    loff_t offset)
{
	if (!wpc->iomap.length || xfs_is_cow_inode(ip))
		return false;

	/* pairs with the one in xfs_writethrough_drain() */
	smp_mb();
	if (atomic_read(&VFS_I(ip)->i_dio_count))
		return false;
	/* pairs with the atomic_dec_and_test() of inode_dio_end() */
	smp_rmb();
	return xfs_imap_valid(wpc, ip, offset);
}

/*
 * Look up blocks that are going to be overwritten where they are.
 *
 * The caller may hold the iolock shared, beside others who do.  None of them
 * can share an extent that is allocated, and only direct I/O replaces one, which
 * is looked for.  So what is found here stays until the I/O has ended.  Delayed
 * extents are another matter: two writers over the same one could see the first
 * punch out in ->iomap_end what the second is about to map.  They are left to
 * whoever holds the lock exclusively, as is all that could need copy on write.
 *
 * An unwritten extent is fine: the folio lock and the wait for writeback order
 * the conversions of a block.
 */
static int
xfs_writethrough_map_overwrite(struct iomap_writepage_ctx *wpc,
			       loff_t offset,
			       unsigned int len,
			       unsigned int flags)
{
	struct xfs_inode	*ip = XFS_I(wpc->inode);
	struct xfs_mount	*mp = ip->i_mount;
	xfs_fileoff_t		offset_fsb = XFS_B_TO_FSBT(mp, offset);
	xfs_fileoff_t		end_fsb = XFS_B_TO_FSB(mp, offset + len);
	struct xfs_bmbt_irec	imap;
	struct xfs_iext_cursor	icur;
	unsigned int		lockmode;
	int			error = -EAGAIN;

	if (xfs_is_shutdown(mp))
		return -EIO;
	/* It was for all the rest of the write, durability included. */
	if (xfs_writethrough_imap_valid(wpc, ip, offset))
		return 0;

	lockmode = xfs_writethrough_ilock(ip, flags);
	if (!lockmode)
		return -EAGAIN;

	if (xfs_is_cow_inode(ip))
		goto out_unlock;
	error = xfs_iread_extents(NULL, ip, XFS_DATA_FORK);
	if (error)
		goto out_unlock;

	error = -EAGAIN;
	if (!xfs_iext_lookup_extent(ip, &ip->i_df, offset_fsb, &icur, &imap) ||
	    imap.br_startoff > offset_fsb ||
	    !xfs_writethrough_all_real(ip, icur, imap, end_fsb) ||
	    xfs_writethrough_beside_remap(ip))
		goto out_unlock;

	XFS_WPC(wpc)->data_seq = READ_ONCE(ip->i_df.if_seq);
	error = xfs_bmbt_to_iomap(ip, &wpc->iomap, &imap, 0, 0,
				  XFS_WPC(wpc)->data_seq);
	xfs_writethrough_check_durable(wpc, offset + len);
	trace_xfs_map_blocks_found(ip, offset, i_blocksize(wpc->inode),
				   XFS_DATA_FORK, &imap);
out_unlock:
	xfs_iunlock(ip, lockmode);
	return error;
}

static int
xfs_writethrough_map(struct iomap_writepage_ctx *wpc,
		     loff_t offset,
		     unsigned int len,
		     unsigned int flags)
{
	int				error;

	if (flags & IOMAP_OVERWRITE_ONLY)
		return xfs_writethrough_map_overwrite(wpc, offset, len, flags);

	/*
	 * xfs_imap_valid() takes any shared mapping that covers the offset for
	 * valid.  Since the last call the iolock has not been dropped, but the
	 * folios have been unlocked.
	 */
	if (wpc->iomap.flags & IOMAP_F_SHARED)
		wpc->iomap.length = 0;
	error = xfs_map_blocks(wpc, offset, len);
	if (error)
		return error;

	xfs_writethrough_check_mapped(wpc, offset, len);
	return 0;
}

static const struct iomap_writeback_ops xfs_writethrough_ops = {
	.writethrough_map	= xfs_writethrough_map,
	.writeback_submit	= xfs_writeback_submit,
};

/*
 * Is what the COW fork or another file has to do with it in the way of writing
 * to @imap where it is?
 *
 * Only an inode that may share blocks is looked at.  In any other the COW fork
 * holds staging blocks of earlier atomic writes, which nobody is writing to:
 * with the iolock held exclusively, no direct I/O in flight and the folios at
 * rest.
 */
static int
xfs_writethrough_needs_cow(struct xfs_inode *ip,
			   struct xfs_bmbt_irec *imap,
			   bool *needs_cow)
{
	xfs_fileoff_t		end_fsb = imap->br_startoff +
					  imap->br_blockcount;
	struct xfs_bmbt_irec	cmap, shared_map = *imap;
	struct xfs_iext_cursor	icur;
	int			error;

	*needs_cow = false;
	if (!xfs_is_cow_inode(ip))
		return 0;

	*needs_cow = true;
	if (xfs_is_always_cow_inode(ip))
		return 0;
	if (xfs_inode_has_cow_data(ip) &&
	    xfs_iext_lookup_extent(ip, ip->i_cowfp, imap->br_startoff, &icur,
				   &cmap) &&
	    cmap.br_startoff < end_fsb)
		return 0;

	error = xfs_reflink_trim_around_shared(ip, &shared_map, needs_cow);
	if (shared_map.br_blockcount < imap->br_blockcount)
		*needs_cow = true;
	return error;
}

/*
 * The end of the file is only moved after the I/O.  In between, a crash leaves the
 * beginning of a write that crosses it, unless all of it is remapped at once.  What
 * begins behind the end is not there without the size.
 */
static bool
xfs_writethrough_crosses_eof(struct xfs_inode *ip,
			     loff_t offset,
			     unsigned int len)
{
	return offset < ip->i_disk_size && offset + len > ip->i_disk_size;
}

/*
 * Look up blocks that the device can overwrite atomically: written, in one
 * extent, aligned, not shared, before the end of the file or behind it, and no
 * more than it takes.  Returns -ENOPROTOOPT for anything else.
 */
static int
xfs_writethrough_map_device_atomic(struct iomap_writepage_ctx *wpc,
				   loff_t offset,
				   unsigned int len,
				   unsigned int flags)
{
	struct xfs_inode	*ip = XFS_I(wpc->inode);
	struct xfs_mount	*mp = ip->i_mount;
	xfs_fileoff_t		offset_fsb = XFS_B_TO_FSBT(mp, offset);
	xfs_fileoff_t		end_fsb = XFS_B_TO_FSB(mp, offset + len);
	struct xfs_bmbt_irec	imap;
	struct xfs_iext_cursor	icur;
	unsigned int		lockmode;
	bool			needs_cow;
	int			error;

	if (len > xfs_inode_buftarg(ip)->bt_awu_max)
		return -ENOPROTOOPT;
	/* whether blocks are shared may have to be read */
	if ((flags & IOMAP_NOWAIT) && xfs_is_cow_inode(ip))
		return -EAGAIN;
	lockmode = xfs_writethrough_ilock(ip, flags);
	if (!lockmode)
		return -EAGAIN;

	error = xfs_iread_extents(NULL, ip, XFS_DATA_FORK);
	if (error)
		goto out_unlock;

	error = -ENOPROTOOPT;
	if (xfs_writethrough_crosses_eof(ip, offset, len) ||
	    !xfs_iext_lookup_extent(ip, &ip->i_df, offset_fsb, &icur, &imap) ||
	    imap.br_startoff > offset_fsb ||
	    !xfs_bmap_is_written_extent(&imap))
		goto out_unlock;
	xfs_trim_extent(&imap, offset_fsb, end_fsb - offset_fsb);
	if (!xfs_bmap_hw_atomic_write_possible(ip, &imap, offset_fsb, end_fsb))
		goto out_unlock;

	error = xfs_writethrough_needs_cow(ip, &imap, &needs_cow);
	if (error)
		goto out_unlock;
	error = -ENOPROTOOPT;
	if (needs_cow)
		goto out_unlock;

	XFS_WPC(wpc)->data_seq = READ_ONCE(ip->i_df.if_seq);
	error = xfs_bmbt_to_iomap(ip, &wpc->iomap, &imap, 0,
				  IOMAP_F_ATOMIC_BIO, XFS_WPC(wpc)->data_seq);
	xfs_writethrough_check_durable(wpc, offset + len);
	trace_xfs_map_blocks_found(ip, offset, len, XFS_DATA_FORK, &imap);
out_unlock:
	xfs_iunlock(ip, lockmode);
	return error;
}

/*
 * What the device does in place is atomic in the file only if the log has all
 * of its blocks, and the size.  Some blocks may have been allocated, converted or
 * remapped a moment ago, by the writeback of what was dirty for one:
 *
 *	block 1: converted, not in the log	block 2: written long ago
 *
 *	one atomic write to both
 *	power fails, recovery does not know of the conversion
 *	block 1 reads as zeros			block 2 has the new data
 *
 * Even in a single block the file may have ended until then.  So they have to be
 * in the log first.  None of them changes then, with the iolock held exclusively
 * and the folios locked.
 */
static int
xfs_writethrough_force_mapping(struct iomap_writepage_ctx *wpc,
			       loff_t offset,
			       unsigned int len,
			       unsigned int flags)
{
	struct xfs_inode		*ip = XFS_I(wpc->inode);
	struct xfs_inode_log_item	*iip = ip->i_itemp;
	xfs_csn_t			seq = 0;
	int				error;

	if (!(wpc->iomap.flags & IOMAP_F_DIRTY))
		return 0;
	if (iip) {
		spin_lock(&iip->ili_lock);
		seq = iip->ili_datasync_seq;
		spin_unlock(&iip->ili_lock);
	}
	if (!seq)
		return 0;
	if (flags & IOMAP_NOWAIT)
		return -EAGAIN;

	error = xfs_log_force_seq(ip->i_mount, seq, XFS_LOG_SYNC, NULL);
	if (error)
		return error;
	wpc->iomap.flags &= ~IOMAP_F_DIRTY;
	xfs_writethrough_check_mapped(wpc, offset, len);
	return 0;
}

/*
 * Without a COW fork an atomic write is a single block, which the device writes
 * atomically.  It need not have been allocated, or written: until its extent is
 * converted, it reads as zeros, and the size is changed with that.  If it has been
 * written, it is here as the file ends in it, or did so a moment ago.
 */
static int
xfs_writethrough_map_one(struct iomap_writepage_ctx *wpc,
			 loff_t offset,
			 unsigned int len)
{
	struct xfs_inode		*ip = XFS_I(wpc->inode);
	struct xfs_mount		*mp = ip->i_mount;
	struct xfs_bmbt_irec		imap;
	u64				seq;
	int				error;

	if (len > i_blocksize(wpc->inode) ||
	    len > xfs_inode_buftarg(ip)->bt_awu_max)
		return -EINVAL;

	wpc->iomap.length = 0;
	error = xfs_map_blocks(wpc, offset, len);
	if (error)
		return error;
	if (wpc->iomap.type == IOMAP_HOLE) {
		error = xfs_iomap_write_direct(ip, XFS_B_TO_FSBT(mp, offset),
					       1, 0, &imap, &seq);
		if (error)
			return error;
		wpc->iomap.length = 0;
		error = xfs_map_blocks(wpc, offset, len);
		if (error)
			return error;
	}

	if (wpc->iomap.type == IOMAP_MAPPED) {
		error = xfs_writethrough_map_device_atomic(wpc, offset, len, 0);
		if (error)
			return error == -ENOPROTOOPT ? -EINVAL : error;
		return xfs_writethrough_force_mapping(wpc, offset, len, 0);
	}

	xfs_writethrough_check_mapped(wpc, offset, len);
	wpc->iomap.flags |= IOMAP_F_ATOMIC_BIO;
	return 0;
}

/* Map the beginning of a range to blocks in the COW fork. */
static int
xfs_writethrough_map_staged(struct iomap_writepage_ctx *wpc,
			    loff_t offset,
			    unsigned int len)
{
	struct iomap			srcmap = { .type = IOMAP_HOLE };

	return xfs_atomic_write_cow_iomap_begin(wpc->inode, offset, len,
						IOMAP_WRITE | IOMAP_ATOMIC,
						&wpc->iomap, &srcmap);
}

/*
 * Have blocks in the COW fork for all of the range, or for nothing.
 *
 * All folios of it are locked, clean, and at rest.  Nothing dirty relies on
 * blocks that are reserved there, be it in the data fork, where they are in the
 * way of the completion if it fails, or in the COW fork.
 */
static int
xfs_writethrough_stage(struct iomap_writepage_ctx *wpc,
		       loff_t offset,
		       unsigned int len)
{
	struct xfs_inode		*ip = XFS_I(wpc->inode);
	loff_t				end = offset + len;
	loff_t				pos = offset;
	int				error;

	if (ip->i_delayed_blks)
		xfs_bmap_punch_delalloc_range(ip, XFS_DATA_FORK, offset, end,
					      NULL);
	while (pos < end) {
		error = xfs_writethrough_map_staged(wpc, pos, end - pos);
		if (error)
			goto out_cancel;
		pos = wpc->iomap.offset + wpc->iomap.length;
	}

	/* the first of several extents, the rest is asked for when it is due */
	if (wpc->iomap.offset > offset)
		return xfs_writethrough_map_staged(wpc, offset, len);
	return 0;

out_cancel:
	if (ip->i_cowfp)
		xfs_reflink_cancel_cow_range(ip, offset, len, true);
	return error;
}

static int
xfs_writethrough_map_atomic(struct iomap_writepage_ctx *wpc,
			    loff_t offset,
			    unsigned int len,
			    unsigned int flags)
{
	struct xfs_writethrough_ctx	*ctx = XFS_WRITETHROUGH_CTX(wpc);
	struct xfs_inode		*ip = XFS_I(wpc->inode);
	int				error;

	if (xfs_is_shutdown(ip->i_mount))
		return -EIO;
	if (offset < ctx->staged_end)
		return xfs_writethrough_map_staged(wpc, offset, len);

	error = xfs_writethrough_map_device_atomic(wpc, offset, len, flags);
	if (!error)
		return xfs_writethrough_force_mapping(wpc, offset, len, flags);
	if (error != -ENOPROTOOPT)
		return error;
	if (flags & IOMAP_NOWAIT)
		return -EAGAIN;
	if (!xfs_inode_can_sw_atomic_write(ip))
		return xfs_writethrough_map_one(wpc, offset, len);
	error = xfs_writethrough_stage(wpc, offset, len);
	if (!error)
		ctx->staged_end = offset + len;
	return error;
}

static const struct iomap_writeback_ops xfs_writethrough_atomic_ops = {
	.writethrough_map	= xfs_writethrough_map_atomic,
	.writeback_submit	= xfs_writeback_submit,
};

/*
 * Block aligned writes inside i_size may find all they need allocated.  They
 * start out with the iolock held shared, like those of direct I/O do.
 */
static unsigned int
xfs_writethrough_iolock(struct kiocb *iocb,
			struct iov_iter *from)
{
	struct xfs_inode	*ip = XFS_I(file_inode(iocb->ki_filp));
	size_t			count = iov_iter_count(from);

	if ((iocb->ki_pos | count) & ip->i_mount->m_blockmask)
		return XFS_IOLOCK_EXCL;
	if (iocb->ki_flags & IOCB_APPEND)
		return XFS_IOLOCK_EXCL;
	if (iocb->ki_pos + count > i_size_read(VFS_I(ip)))
		return XFS_IOLOCK_EXCL;
	if (xfs_is_cow_inode(ip))
		return XFS_IOLOCK_EXCL;
	return XFS_IOLOCK_SHARED;
}

/*
 * Free up space that lingers somewhere, as a plain buffered write does before
 * it gives up.  Called with the iolock held, returns without.
 */
static void
xfs_writethrough_free_space(struct xfs_inode *ip,
			    unsigned int iolock,
			    int error)
{
	struct xfs_icwalk	icw = { .icw_flags = XFS_ICWALK_FLAG_SYNC };

	if (error == -EDQUOT) {
		xfs_iunlock(ip, iolock);
		xfs_blockgc_free_quota(ip, XFS_ICWALK_FLAG_SYNC);
		return;
	}

	xfs_flush_inodes(ip->i_mount);
	xfs_iunlock(ip, iolock);
	xfs_blockgc_free_space(ip->i_mount, &icw);
}

/*
 * Submit the write.  The iolock is not held any more on return, and all that
 * was copied is on its way.
 */
static int
xfs_writethrough_submit(struct iomap_writethrough *wt,
			struct kiocb *iocb,
			struct iov_iter *from)
{
	struct inode		*inode = file_inode(iocb->ki_filp);
	struct xfs_inode	*ip = XFS_I(inode);
	struct writeback_control wbc = {
		.sync_mode	= WB_SYNC_ALL,
	};
	struct xfs_writethrough_ctx ctx = {
		.wpc.ctx = {
			.inode	= inode,
			.wbc	= &wbc,
			.ops	= &xfs_writethrough_ops,
		},
		.check_durable	= iocb_is_dsync(iocb),
	};
	bool			cleared_space = false;
	unsigned int		wanted = xfs_writethrough_iolock(iocb, from);
	unsigned int		iolock;
	int			error;

retry:
	iolock = wanted;
	if (iolock == XFS_IOLOCK_EXCL && (iocb->ki_flags & IOCB_NOWAIT))
		return -EAGAIN;
	error = xfs_ilock_iocb_for_write(iocb, &iolock);
	if (error)
		return error;

	error = xfs_file_write_checks(iocb, from, &iolock, NULL);
	if (error)
		goto out_unlock;

	/* The lock may have been taken exclusively for a reason gone by now. */
	if (wanted == XFS_IOLOCK_SHARED && iolock == XFS_IOLOCK_EXCL) {
		xfs_ilock_demote(ip, XFS_IOLOCK_EXCL);
		iolock = XFS_IOLOCK_SHARED;
	}

	trace_xfs_file_writethrough(iocb, from);

	if (iolock == XFS_IOLOCK_SHARED) {
		/*
		 * Nothing can shrink the file any more, but it may have been
		 * before we got the lock.
		 */
		error = -EAGAIN;
		if (xfs_writethrough_iolock(iocb, from) == XFS_IOLOCK_SHARED)
			error = iomap_writethrough_overwrite(wt, from,
							     &ctx.wpc.ctx);
		if (error == -EAGAIN && !(iocb->ki_flags & IOCB_NOWAIT)) {
			xfs_iunlock(ip, iolock);
			wanted = XFS_IOLOCK_EXCL;
			goto retry;
		}
		goto out_unlock;
	}

	/*
	 * What direct I/O in flight has staged in the COW fork is its own: we
	 * would write to it as well, and remap it when we are done.  Not even
	 * that it is empty can be told without the ILOCK: the completion empties
	 * it first, and changes the data fork afterwards.
	 */
	if (ip->i_cowfp)
		inode_dio_wait(inode);

	error = iomap_writethrough_allocate(wt, from, &ctx.wpc.ctx,
					    &xfs_buffered_write_iomap_ops,
					    &xfs_iomap_write_ops, NULL);
	if ((error == -EDQUOT || error == -ENOSPC) && !wt->size &&
	    !cleared_space) {
		xfs_writethrough_free_space(ip, iolock, error);
		cleared_space = true;
		goto retry;
	}

out_unlock:
	if (iolock)
		xfs_iunlock(ip, iolock);
	return error;
}

/*
 * Submit an atomic write, with the iolock held exclusively.
 *
 * Direct I/O in flight may be staged in the COW fork just where this is going
 * to be: both would be written to the same blocks, and the one that ends first
 * would make them part of the file.  So it has to end; what comes later waits
 * for our writeback.
 *
 * The remap frees the blocks that the range had.  Nobody reads them by then:
 * buffered reads hold the folio lock, and direct ones are waited for here.
 */
static int
xfs_writethrough_submit_atomic(struct iomap_writethrough *wt,
			       struct kiocb *iocb,
			       struct iov_iter *from)
{
	struct inode		*inode = file_inode(iocb->ki_filp);
	struct xfs_inode	*ip = XFS_I(inode);
	struct writeback_control wbc = {
		.sync_mode	= WB_SYNC_ALL,
	};
	struct xfs_writethrough_ctx ctx = {
		.wpc.ctx = {
			.inode	= inode,
			.wbc	= &wbc,
			.ops	= &xfs_writethrough_atomic_ops,
		},
		.check_durable	= true,
	};
	size_t			count = iov_iter_count(from);
	bool			cleared_space = false;
	unsigned int		iolock;
	int			error;

retry:
	iolock = XFS_IOLOCK_EXCL;
	error = xfs_ilock_iocb_for_write(iocb, &iolock);
	if (error)
		return error;
	error = xfs_file_write_checks(iocb, from, &iolock, NULL);
	if (error)
		goto out_unlock;

	/* An append has got its position, and a limit may have cut it short. */
	error = -EINVAL;
	if (iov_iter_count(from) != count || !IS_ALIGNED(iocb->ki_pos, count))
		goto out_unlock;

	if (!(iocb->ki_flags & IOCB_NOWAIT)) {
		inode_dio_wait(inode);
	} else if (atomic_read(&inode->i_dio_count)) {
		error = -EAGAIN;
		goto out_unlock;
	}

	trace_xfs_file_writethrough(iocb, from);
	error = iomap_writethrough_atomic(wt, from, &ctx.wpc.ctx);
	if ((error == -EDQUOT || error == -ENOSPC) && !cleared_space) {
		xfs_writethrough_free_space(ip, iolock, error);
		cleared_space = true;
		goto retry;
	}

out_unlock:
	if (iolock)
		xfs_iunlock(ip, iolock);
	return error;
}

/*
 * Write to the page cache and to the device.  Returns when the device has
 * completed the I/O, or -EIOCBQUEUED if the iocb is asynchronous.
 */
ssize_t
xfs_file_writethrough(struct kiocb *iocb,
		      struct iov_iter *from)
{
	struct xfs_inode	*ip = XFS_I(file_inode(iocb->ki_filp));
	struct iomap_writethrough onstack __uninitialized, *wt;
	int			error;

	/* space of zoned inodes is allocated after submission */
	if (xfs_is_zoned_inode(ip))
		return -EOPNOTSUPP;

	wt = iomap_writethrough_begin(&onstack, iocb, from);
	if (IS_ERR(wt))
		return PTR_ERR(wt);
	if (iocb->ki_flags & IOCB_ATOMIC)
		error = xfs_writethrough_submit_atomic(wt, iocb, from);
	else
		error = xfs_writethrough_submit(wt, iocb, from);
	if (wt->size)
		XFS_STATS_ADD(ip->i_mount, xs_write_bytes, wt->size);
	return iomap_writethrough_end(wt, error);
}
