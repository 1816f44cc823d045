/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __XFS_WRITETHROUGH_H__
#define __XFS_WRITETHROUGH_H__

ssize_t xfs_file_writethrough(struct kiocb *iocb, struct iov_iter *from);
void xfs_writethrough_drain(struct inode *inode, loff_t offset, loff_t length);

#endif /* __XFS_WRITETHROUGH_H__ */
