/* Preloaded into Redis or Valkey: logs what is certainly on the disk, and can act as a full or a slow disk.
 *
 * CHAOS_DISK_LOG names a file that gets one line after each call that returned from the kernel:
 *     S <inode> <bytes>   fsync or fdatasync: this much of the file is on the disk
 *     T <inode> <bytes>   ftruncate
 *     N <inode> 0         a file was created or emptied
 * The size is read before the sync starts, so that bytes which another thread writes meanwhile are not counted. The line is
 * written before the server can act on the result: every answer that depends on a sync has that sync in the log, even if the
 * server is killed one instruction later.
 *
 * CHAOS_DISK_CONTROL names a file of two 32-bit numbers, shared with the test: disk full (0 or 1), delay of a sync in ms.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint32_t nothing[2];
static const volatile uint32_t *control = nothing;
static int log_file = -1;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_open)(const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_open = dlsym(RTLD_NEXT, "open64");
    const char *path = getenv("CHAOS_DISK_LOG");
    if (path) log_file = real_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    path = getenv("CHAOS_DISK_CONTROL");
    int file = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *shared = mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED) control = shared;
        close(file);
    }
}

static void log_line(char what, ino_t inode, off_t bytes) {
    char line[64];
    int length = snprintf(line, sizeof line, "%c %llu %lld\n", what, (unsigned long long)inode, (long long)bytes);
    if (log_file >= 0 && real_write(log_file, line, length) != length) abort(); /* a gap would make the verdict wrong */
}

static int sync_with(int (*sync)(int), int file) {
    struct stat before;
    int known = fstat(file, &before) == 0 && S_ISREG(before.st_mode);
    if (known && control[1]) usleep(control[1] * 1000);
    int result = sync(file);
    if (known && result == 0) log_line('S', before.st_ino, before.st_size);
    return result;
}

int fsync(int file) { return sync_with(real_fsync, file); }
int fdatasync(int file) { return sync_with(real_fdatasync, file); }

int ftruncate64(int file, off64_t length) {
    struct stat after;
    int result = real_ftruncate(file, length);
    if (result == 0 && fstat(file, &after) == 0) log_line('T', after.st_ino, length);
    return result;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    int file = real_open(path, flags, mode);
    struct stat opened;
    if (file >= 0 && flags & O_CREAT && fstat(file, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_size == 0)
        log_line('N', opened.st_ino, 0);
    return file;
}

static int full_for(int file) {
    struct stat to;
    return control[0] && fstat(file, &to) == 0 && S_ISREG(to.st_mode);
}

ssize_t write(int file, const void *bytes, size_t count) {
    if (full_for(file)) {
        errno = ENOSPC;
        return -1;
    }
    return real_write(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (full_for(file)) {
        errno = ENOSPC;
        return -1;
    }
    return real_writev(file, parts, count);
}
