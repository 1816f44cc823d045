// SPDX-License-Identifier: GPL-2.0
/*
 * A block device in memory, or above another one, that records, in order, all that
 * happens to it: each write when it is submitted and when it completes, each flush
 * likewise, and marks of the program that tests.  From the record can be told what
 * the device might hold if the power failed at any moment.
 *
 * Writes take a random time, and pass each other.  Several devices share one
 * record.  All it has is what the lab needs.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "recorder.h"

#define RECORDER_DEVICES	2
#define RECORDER_MAX_MARK	PAGE_SIZE
#define RECORDER_MAX_ATOMIC	SZ_64K

static unsigned int size_mb;
module_param(size_mb, uint, 0444);
MODULE_PARM_DESC(size_mb, "size of each device in MiB; without it there are none");

static unsigned int log_mb = 128;
module_param(log_mb, uint, 0444);
MODULE_PARM_DESC(log_mb, "memory for the record in MiB");

static unsigned int delay_us = 1000;
module_param(delay_us, uint, 0644);
MODULE_PARM_DESC(delay_us, "the most time a write takes");

struct recorder_device {
	struct gendisk		*disk;
	unsigned int		number;
	void			*store;
	struct file		*lower;		/* instead of the store */
};

enum recorder_stage {
	RECORDER_FLUSH_BEFORE,
	RECORDER_TRANSFER,
	RECORDER_FLUSH_AFTER,
};

/* A bio on its way, one stage at a time */
struct recorder_io {
	struct list_head	list;
	struct bio		*bio;
	struct recorder_device	*device;
	enum recorder_stage	stage;
	bool			passed_on;	/* and back from there */
	blk_status_t		status;
	ktime_t			due;
	u64			id;
	sector_t		sector;
	unsigned int		length;
	const void		*data;		/* in the record */
};

static struct recorder_device recorder_devices[RECORDER_DEVICES];

/* The record */
static DEFINE_SPINLOCK(recorder_lock);
static void *recorder_log;
static size_t recorder_size;
static size_t recorder_used;
static bool recorder_full;
static u64 recorder_ios;

/* What is in flight, and who ends it */
static DEFINE_SPINLOCK(recorder_queue_lock);
static LIST_HEAD(recorder_queue);
static struct task_struct *recorder_task;

/*
 * Puts an entry into the record: its place there is when it happened.  Returns
 * where its data is to go, or NULL if the record is full.
 */
static void *recorder_append(const struct recorder_entry *entry, size_t data)
{
	size_t bytes = sizeof(*entry) + ALIGN(data, RECORDER_ALIGN);
	void *place = NULL;

	spin_lock(&recorder_lock);
	if (recorder_size - recorder_used >= bytes) {
		place = recorder_log + recorder_used;
		memcpy(place, entry, sizeof(*entry));
		place += sizeof(*entry);
		recorder_used += bytes;
	} else {
		recorder_full = true;
	}
	spin_unlock(&recorder_lock);
	return place;
}

static void recorder_copy_bio(void *to, struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_segment(bv, bio, iter) {
		memcpy_from_bvec(to, &bv);
		to += bv.bv_len;
	}
}

static bool recorder_record_write(struct recorder_io *io)
{
	struct bio *bio = io->bio;
	struct recorder_entry entry = {
		.type	= RECORDER_ZERO,
		.device	= io->device->number,
		.io	= io->id,
		.sector	= io->sector,
		.length	= io->length,
	};
	size_t bytes = 0;
	void *data;

	if (bio_op(bio) == REQ_OP_WRITE) {
		entry.type = RECORDER_WRITE;
		bytes = io->length;
	}
	if ((bio->bi_opf & REQ_FUA) && bdev_fua(bio->bi_bdev))
		entry.flags |= RECORDER_FUA;
	if (bio->bi_opf & REQ_META)
		entry.flags |= RECORDER_META;
	if (bio->bi_opf & REQ_ATOMIC)
		entry.flags |= RECORDER_ATOMIC;

	data = recorder_append(&entry, bytes);
	if (!data)
		return false;
	if (bytes) {
		recorder_copy_bio(data, bio);
		io->data = data;
	}
	return true;
}

static bool recorder_record(struct recorder_io *io, enum recorder_type type)
{
	struct recorder_entry entry = {
		.type	= type,
		.device	= io->device->number,
		.io	= io->id,
	};

	return recorder_append(&entry, 0);
}

/* Called from interrupt context, too. */
static void recorder_queue_io(struct recorder_io *io)
{
	unsigned long flags;

	spin_lock_irqsave(&recorder_queue_lock, flags);
	list_add_tail(&io->list, &recorder_queue);
	spin_unlock_irqrestore(&recorder_queue_lock, flags);
	wake_up_process(recorder_task);
}

static void recorder_end(struct recorder_io *io, bool good)
{
	struct bio *bio = io->bio;

	kfree(io);
	if (good)
		bio_endio(bio);
	else
		bio_io_error(bio);
}

/* Begins the stage that is due next; false if there is none. */
static bool recorder_start(struct recorder_io *io)
{
	struct bio *bio = io->bio;
	bool good;

	switch (io->stage) {
	case RECORDER_FLUSH_BEFORE:
		if (bio->bi_opf & REQ_PREFLUSH) {
			good = recorder_record(io, RECORDER_FLUSH);
			break;
		}
		io->stage = RECORDER_TRANSFER;
		fallthrough;
	case RECORDER_TRANSFER:
		if (io->length) {
			good = recorder_record_write(io);
			break;
		}
		io->stage = RECORDER_FLUSH_AFTER;
		fallthrough;
	default:
		if (!(bio->bi_opf & REQ_FUA) || bdev_fua(bio->bi_bdev))
			return false;
		good = recorder_record(io, RECORDER_FLUSH);
	}

	if (!good) {
		recorder_end(io, false);
		return true;
	}

	/* A quarter is as quick as can be. */
	io->due = ktime_get();
	if (delay_us && get_random_u32_below(4))
		io->due = ktime_add_us(io->due,
				       get_random_u32_below(delay_us));
	recorder_queue_io(io);
	return true;
}

static void recorder_end_lower(struct bio *bio)
{
	struct recorder_io *io = bio->bi_private;

	io->status = bio->bi_status;
	io->passed_on = true;
	bio_put(bio);
	recorder_queue_io(io);
}

/*
 * The device below gets the same write.  That it is atomic stays; when it is
 * durable is told from the record alone.
 */
static void recorder_pass_on(struct recorder_io *io)
{
	struct bio *bio = bio_alloc_clone(file_bdev(io->device->lower), io->bio,
					  GFP_NOIO, &fs_bio_set);

	bio->bi_opf &= ~(REQ_PREFLUSH | REQ_FUA);
	bio->bi_end_io = recorder_end_lower;
	bio->bi_private = io;
	submit_bio_noacct(bio);
}

/* Returns false if it is not over yet. */
static bool recorder_transfer(struct recorder_io *io)
{
	void *place;

	if (io->passed_on)
		return true;
	if (io->device->lower) {
		recorder_pass_on(io);
		return false;
	}
	place = io->device->store + (io->sector << SECTOR_SHIFT);
	if (io->data)
		memcpy(place, io->data, io->length);
	else
		memset(place, 0, io->length);
	return true;
}

/* It is time for what was asked for. */
static void recorder_step(struct recorder_io *io)
{
	bool good;

	if (io->stage == RECORDER_TRANSFER) {
		if (!recorder_transfer(io))
			return;
		good = !io->status && recorder_record(io, RECORDER_WRITE_DONE);
	} else {
		good = recorder_record(io, RECORDER_FLUSH_DONE);
	}
	if (!good || io->stage == RECORDER_FLUSH_AFTER) {
		recorder_end(io, good);
		return;
	}
	io->stage++;
	if (!recorder_start(io))
		recorder_end(io, true);
}

/* Takes what is due from the queue, or else tells when something will be. */
static struct recorder_io *recorder_next(ktime_t *when)
{
	struct recorder_io *io, *first = NULL;
	unsigned long flags;

	spin_lock_irqsave(&recorder_queue_lock, flags);
	list_for_each_entry(io, &recorder_queue, list)
		if (!first || ktime_before(io->due, first->due))
			first = io;
	*when = first ? first->due : KTIME_MAX;
	if (first && ktime_after(first->due, ktime_get()))
		first = NULL;
	if (first)
		list_del(&first->list);
	spin_unlock_irqrestore(&recorder_queue_lock, flags);
	return first;
}

static int recorder_thread(void *unused)
{
	struct recorder_io *io;
	ktime_t when;

	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		io = recorder_next(&when);
		if (io) {
			__set_current_state(TASK_RUNNING);
			recorder_step(io);
		} else if (when == KTIME_MAX) {
			schedule();
		} else {
			schedule_hrtimeout(&when, HRTIMER_MODE_ABS);
		}
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void recorder_read_bio(struct recorder_device *device, struct bio *bio)
{
	void *from = device->store + (bio->bi_iter.bi_sector << SECTOR_SHIFT);
	struct bvec_iter iter;
	struct bio_vec bv;

	if (device->lower) {
		bio_set_dev(bio, file_bdev(device->lower));
		submit_bio_noacct(bio);
		return;
	}
	bio_for_each_segment(bv, bio, iter) {
		memcpy_to_bvec(&bv, from);
		from += bv.bv_len;
	}
	bio_endio(bio);
}

static void recorder_submit_bio(struct bio *bio)
{
	struct recorder_device *device = bio->bi_bdev->bd_disk->private_data;
	struct recorder_io *io;

	if (!op_is_write(bio_op(bio))) {
		recorder_read_bio(device, bio);
		return;
	}

	io = kzalloc_obj(*io, GFP_NOIO);
	if (!io) {
		bio_io_error(bio);
		return;
	}
	io->bio = bio;
	io->device = device;
	io->sector = bio->bi_iter.bi_sector;
	io->length = bio->bi_iter.bi_size;
	spin_lock(&recorder_lock);
	io->id = recorder_ios++;
	spin_unlock(&recorder_lock);
	if (!recorder_start(io))
		recorder_end(io, true);
}

static const struct block_device_operations recorder_block_ops = {
	.owner		= THIS_MODULE,
	.submit_bio	= recorder_submit_bio,
};

static loff_t recorder_llseek(struct file *file, loff_t offset, int whence)
{
	return fixed_size_llseek(file, offset, whence, recorder_used);
}

static ssize_t recorder_read(struct file *file, char __user *to, size_t count,
			     loff_t *pos)
{
	if (recorder_full)
		return -ENOSPC;
	return simple_read_from_buffer(to, count, pos, recorder_log,
				       recorder_used);
}

/* The position is that of reads. */
static ssize_t recorder_write(struct file *file, const char __user *from,
			      size_t count, loff_t *pos)
{
	struct recorder_entry entry = {
		.type	= RECORDER_MARK,
		.length	= count,
	};
	void *mark, *data;

	if (count > RECORDER_MAX_MARK)
		return -EINVAL;
	mark = memdup_user(from, count);
	if (IS_ERR(mark))
		return PTR_ERR(mark);
	data = recorder_append(&entry, count);
	if (data)
		memcpy(data, mark, count);
	kfree(mark);
	return data ? count : -ENOSPC;
}

static void recorder_memory_limits(struct queue_limits *limits)
{
	limits->max_write_zeroes_sectors = UINT_MAX;
	limits->atomic_write_hw_max = RECORDER_MAX_ATOMIC;
	limits->atomic_write_hw_unit_min = SECTOR_SIZE;
	limits->atomic_write_hw_unit_max = RECORDER_MAX_ATOMIC;
}

/* Those of the device below, but for what is told apart by the record. */
static void recorder_lower_limits(struct queue_limits *limits,
				  struct recorder_device *device)
{
	blk_set_stacking_limits(limits);
	limits->features = BLK_FEAT_ATOMIC_WRITES;
	queue_limits_stack_bdev(limits, file_bdev(device->lower), 0,
				device->disk->disk_name);
}

static int recorder_set_kind(struct recorder_device *device, unsigned int kind)
{
	struct request_queue *queue = device->disk->queue;
	struct queue_limits limits = queue_limits_start_update(queue);

	if (device->lower)
		recorder_lower_limits(&limits, device);
	else
		recorder_memory_limits(&limits);
	limits.features &= ~(BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA |
			     BLK_FEAT_ATOMIC_WRITES);
	if (kind & RECORDER_HAS_CACHE)
		limits.features |= BLK_FEAT_WRITE_CACHE;
	if (kind & RECORDER_HAS_FUA)
		limits.features |= BLK_FEAT_FUA;
	if (kind & RECORDER_HAS_ATOMIC)
		limits.features |= BLK_FEAT_ATOMIC_WRITES;
	return queue_limits_commit_update_frozen(queue, &limits);
}

/* Takes the device that is open as @fd, if any, for the first one. */
static int recorder_set_lower(int fd, bool above)
{
	struct recorder_device *device = &recorder_devices[0];
	struct file *file = NULL;

	if (above) {
		file = fget(fd);
		if (!file)
			return -EBADF;
		if (!S_ISBLK(file_inode(file)->i_mode) ||
		    bdev_nr_bytes(file_bdev(file)) < (u64)size_mb * SZ_1M) {
			fput(file);
			return -EINVAL;
		}
	}
	if (device->lower)
		fput(device->lower);
	device->lower = file;
	return 0;
}

/* The devices have to be idle. */
static long recorder_ioctl(struct file *file, unsigned int command,
			   unsigned long argument)
{
	struct recorder_reset reset;
	unsigned int i;
	int error;

	if (command != RECORDER_RESET)
		return -ENOTTY;
	if (copy_from_user(&reset, (void __user *)argument, sizeof(reset)))
		return -EFAULT;
	error = recorder_set_lower(reset.lower, reset.kind & RECORDER_ABOVE);
	if (error)
		return error;
	for (i = 0; i < RECORDER_DEVICES; i++) {
		error = recorder_set_kind(&recorder_devices[i], reset.kind);
		if (error)
			return error;
		memset(recorder_devices[i].store, reset.fill,
		       (size_t)size_mb * SZ_1M);
	}
	spin_lock(&recorder_lock);
	recorder_used = 0;
	recorder_full = false;
	spin_unlock(&recorder_lock);
	return 0;
}

static const struct file_operations recorder_ops = {
	.owner		= THIS_MODULE,
	.llseek		= recorder_llseek,
	.read		= recorder_read,
	.write		= recorder_write,
	.unlocked_ioctl	= recorder_ioctl,
};

static struct miscdevice recorder_control = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "recorder",
	.mode	= 0600,
	.fops	= &recorder_ops,
};

static int __init recorder_add_device(unsigned int number, int major)
{
	struct recorder_device *device = &recorder_devices[number];
	struct queue_limits limits = {
		.features	= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA |
				  BLK_FEAT_ATOMIC_WRITES,
	};
	struct gendisk *disk;
	int error = -ENOMEM;

	device->number = number;
	device->store = vzalloc((size_t)size_mb * SZ_1M);
	if (!device->store)
		return -ENOMEM;
	recorder_memory_limits(&limits);
	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	if (IS_ERR(disk)) {
		error = PTR_ERR(disk);
		goto out_free_store;
	}
	disk->major = major;
	disk->first_minor = number;
	disk->minors = 1;
	disk->flags |= GENHD_FL_NO_PART;
	disk->fops = &recorder_block_ops;
	disk->private_data = device;
	snprintf(disk->disk_name, DISK_NAME_LEN, "recorder%u", number);
	set_capacity(disk, (sector_t)size_mb * (SZ_1M / SECTOR_SIZE));
	device->disk = disk;
	error = add_disk(disk);
	if (error)
		goto out_put_disk;
	return 0;

out_put_disk:
	put_disk(disk);
	device->disk = NULL;
out_free_store:
	vfree(device->store);
	device->store = NULL;
	return error;
}

/* Built in, and there until the machine is switched off. */
static int __init recorder_init(void)
{
	unsigned int i;
	int major, error;

	if (!size_mb)
		return 0;

	recorder_size = (size_t)log_mb * SZ_1M;
	recorder_log = vmalloc(recorder_size);
	if (!recorder_log)
		return -ENOMEM;
	recorder_task = kthread_run(recorder_thread, NULL, "recorder");
	if (IS_ERR(recorder_task)) {
		error = PTR_ERR(recorder_task);
		goto out_free_log;
	}
	major = register_blkdev(0, "recorder");
	if (major < 0) {
		error = major;
		goto out_stop;
	}
	for (i = 0; i < RECORDER_DEVICES; i++) {
		error = recorder_add_device(i, major);
		if (error)
			goto out_remove;
	}
	error = misc_register(&recorder_control);
	if (error)
		goto out_remove;
	return 0;

out_remove:
	while (i--) {
		del_gendisk(recorder_devices[i].disk);
		put_disk(recorder_devices[i].disk);
		vfree(recorder_devices[i].store);
	}
	unregister_blkdev(major, "recorder");
out_stop:
	kthread_stop(recorder_task);
out_free_log:
	vfree(recorder_log);
	return error;
}
device_initcall(recorder_init);
