/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The recorded device: what its record consists of, and how to ask for it.
 * Only the lab's kernels have it.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The record is read from /dev/recorder: entries, each followed by its data,
 * padded to RECORDER_ALIGN.  A write to /dev/recorder puts a mark in, with what
 * was written as its data.
 */
#define RECORDER_ALIGN		8

enum recorder_type {
	RECORDER_MARK = 1,
	RECORDER_WRITE,		/* submitted; its data, as it was then */
	RECORDER_ZERO,		/* submitted, without data */
	RECORDER_WRITE_DONE,	/* completion of either */
	RECORDER_FLUSH,
	RECORDER_FLUSH_DONE,
};

/*
 * Of a write.  What else its bio asked for is recorded as what it means: a flush
 * before it as a flush of its own, and one after it if the device has no FUA.
 */
#define RECORDER_FUA		(1u << 0)
#define RECORDER_META		(1u << 1)
#define RECORDER_ATOMIC		(1u << 2)

struct recorder_entry {
	__u32	type;
	__u32	device;		/* N of /dev/recorderN */
	__u64	io;		/* the write or flush it is about */
	__u64	sector;
	__u32	length;		/* of the write, in bytes; of a mark's data */
	__u32	flags;
};

/*
 * Forget the record, fill all devices with a byte, and be such a device.  With
 * RECORDER_ABOVE the first one is not memory but passes everything on to the block
 * device that is open as @lower, which has been filled before.  It then has that
 * one's limits, and can write atomically if that can.
 */
struct recorder_reset {
	__u32	kind;
	__u32	fill;
	__s32	lower;
	__u32	pad;
};

#define RECORDER_HAS_CACHE	(1u << 0)
#define RECORDER_HAS_FUA	(1u << 1)
#define RECORDER_HAS_ATOMIC	(1u << 2)
#define RECORDER_ABOVE		(1u << 3)

#define RECORDER_RESET		_IOW('R', 1, struct recorder_reset)

#endif /* RECORDER_H */
