/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __XFS_WRITETHROUGH_H__
#define __XFS_WRITETHROUGH_H__

/*
 * Debugging switch: write all buffered data through, asked for or not.  Zoned
 * inodes cannot.
 */
static inline bool
xfs_force_writethrough(
	struct xfs_inode	*ip)
{
#ifdef DEBUG
	return xfs_globals.writethrough && !xfs_is_zoned_inode(ip);
#else
	return false;
#endif
}

ssize_t xfs_file_writethrough(struct kiocb *iocb, struct iov_iter *from);

#endif /* __XFS_WRITETHROUGH_H__ */
