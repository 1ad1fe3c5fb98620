// bad_disk.c: a disk that fails on demand, as a library that is loaded before libc (LD_PRELOAD).
//
// $BAD_DISK names a small file that a test writes (support/disk.py); it is mapped, so a change
// holds at once. What fails are calls on files under one of the paths it holds. Pages of a mapping
// don't fail: nothing of weir is mapped but SQLite's index of its log.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE 4096

static const volatile struct {
    unsigned char on_read, on_write;  // an errno each; 0: no fault
    char paths[SIZE - 2];             // beginnings of paths, each ended by a NUL, then an empty one
}* control;

#define REAL(name) ((__typeof__(&name))real(#name))

static void* real(const char* name) {
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void) {
    const char* path = getenv("BAD_DISK");
    if (!path) return;
    int (*open_now)(const char*, int, ...) = (int (*)(const char*, int, ...))real("open64");
    const int fd = open_now(path, O_RDONLY | O_CLOEXEC);
    void* at = fd < 0 ? MAP_FAILED : mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) abort();
    close(fd);
    control = at;
}

static int meant(const char* path) {
    for (const char* prefix = (const char*)control->paths; *prefix; prefix += strlen(prefix) + 1)
        if (strncmp(path, prefix, strlen(prefix)) == 0) return 1;
    return 0;
}

static int fault(int writes) {
    return !control ? 0 : writes ? control->on_write : control->on_read;
}

static int bad_path(const char* path, int writes) {
    const int error = fault(writes);
    if (!error || !meant(path)) return 0;
    errno = error;
    return 1;
}

static int bad_fd(int fd, int writes) {
    if (!fault(writes)) return 0;
    char link[64], path[SIZE];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return bad_path(path, writes);
}

int open64(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    const int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
    if (bad_path(path, 0) || (writes && bad_path(path, 1))) return -1;
    return REAL(open64)(path, flags, mode);
}

ssize_t read(int fd, void* into, size_t size) {
    return bad_fd(fd, 0) ? -1 : REAL(read)(fd, into, size);
}

ssize_t pread64(int fd, void* into, size_t size, off64_t at) {
    return bad_fd(fd, 0) ? -1 : REAL(pread64)(fd, into, size, at);
}

ssize_t preadv64v2(int fd, const struct iovec* into, int count, off64_t at, int flags) {
    return bad_fd(fd, 0) ? -1 : REAL(preadv64v2)(fd, into, count, at, flags);
}

ssize_t sendfile64(int to, int fd, off64_t* at, size_t size) {
    return bad_fd(fd, 0) ? -1 : REAL(sendfile64)(to, fd, at, size);
}

ssize_t write(int fd, const void* from, size_t size) {
    return bad_fd(fd, 1) ? -1 : REAL(write)(fd, from, size);
}

ssize_t pwrite64(int fd, const void* from, size_t size, off64_t at) {
    return bad_fd(fd, 1) ? -1 : REAL(pwrite64)(fd, from, size, at);
}

int fsync(int fd) {
    return bad_fd(fd, 1) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return bad_fd(fd, 1) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t size) {
    return bad_fd(fd, 1) ? -1 : REAL(ftruncate64)(fd, size);
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
    return bad_fd(fd, 1) ? -1 : REAL(fallocate64)(fd, mode, at, size);
}

int rename(const char* from, const char* to) {
    return bad_path(from, 1) ? -1 : REAL(rename)(from, to);
}

int unlink(const char* path) {
    return bad_path(path, 1) ? -1 : REAL(unlink)(path);
}

int mkdir(const char* path, mode_t mode) {
    return bad_path(path, 1) ? -1 : REAL(mkdir)(path, mode);
}
