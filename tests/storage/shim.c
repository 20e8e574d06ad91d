/* What a process does to the files below one directory: written down, and made to fail.
 *
 * Preloaded (LD_PRELOAD) into a process under test.
 *
 *   SHIM_ROOT    the directory; other files are let alone
 *   SHIM_LOG     a file: each change is appended to it, before it is made:
 *                kind (1 byte), offset (8), length of path (4), length of data (8), path, data;
 *                kinds: w write, t truncate (to offset), s sync, c create, r rename (data is the new
 *                name), u unlink, m mkdir
 *   SHIM_SWITCH  a file of 32 bytes that is mapped: what fails from now on. Bytes 0 to 3: writes,
 *                syncs, reads, opens; the value is the errno, 0 for none. Bytes 8 to 15: how many
 *                have failed so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITES, SYNCS, READS, OPENS };

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static volatile unsigned char *fails;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *found = getenv("SHIM_ROOT");
    if (found == NULL || realpath(found, root) == NULL)
        return;
    root_length = strlen(root);
    if ((found = getenv("SHIM_LOG")) != NULL)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, found, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if ((found = getenv("SHIM_SWITCH")) != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, found, O_RDWR | O_CLOEXEC, 0);
        if (fd >= 0) {
            void *at = mmap(NULL, 32, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (at != MAP_FAILED)
                fails = at;
            close(fd);
        }
    }
}

/* The path below the root, or NULL. */
static const char *below(const char *path, char *buffer)
{
    if (root_length == 0 || path == NULL)
        return NULL;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (getcwd(here, sizeof here) == NULL)
            return NULL;
        if (snprintf(buffer, PATH_MAX, "%s/%s", here, path) >= PATH_MAX)
            return NULL;
        path = buffer;
    }
    if (strncmp(path, root, root_length) != 0 || path[root_length] != '/')
        return NULL;
    return path + root_length + 1;
}

static const char *name_of(int fd, char *buffer)
{
    char link[64];
    if (root_length == 0 || fd == log_fd)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, buffer, PATH_MAX - 1);
    if (size <= 0)
        return NULL;
    buffer[size] = 0;
    if (strcmp(buffer, root) == 0)
        return "";
    if (strncmp(buffer, root, root_length) != 0 || buffer[root_length] != '/')
        return NULL;
    return buffer + root_length + 1;
}

static int failing(int what, const char *name)
{
    if (name == NULL || fails == NULL || fails[what] == 0)
        return 0;
    __sync_fetch_and_add((volatile uint64_t *)(fails + 8), 1);
    errno = fails[what];
    return 1;
}

static void put(const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = syscall(SYS_write, log_fd, at, size);
        if (done <= 0)
            abort();
        at += done;
        size -= (size_t)done;
    }
}

static void note(char kind, const char *name, uint64_t offset, const void *data, uint64_t size)
{
    if (name == NULL || log_fd < 0)
        return;
    int before = errno;
    uint32_t length = (uint32_t)strlen(name);
    pthread_mutex_lock(&lock);
    put(&kind, 1);
    put(&offset, 8);
    put(&length, 4);
    put(&size, 8);
    put(name, length);
    put(data, size);
    pthread_mutex_unlock(&lock);
    errno = before;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (failing(WRITES, name))
        return -1;
    note('w', name, (uint64_t)offset, data, size);
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (failing(WRITES, name))
        return -1;
    if (name != NULL && log_fd >= 0) {
        struct stat found;
        off_t at = lseek(fd, 0, SEEK_CUR);
        if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &found) == 0)
            at = found.st_size;
        note('w', name, (uint64_t)at, data, size);
    }
    return syscall(SYS_write, fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    char buffer[PATH_MAX];
    if (fails != NULL && fails[READS] && failing(READS, name_of(fd, buffer)))
        return -1;
    return syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    return pread64(fd, data, size, offset);
}

ssize_t read(int fd, void *data, size_t size)
{
    char buffer[PATH_MAX];
    if (fails != NULL && fails[READS] && failing(READS, name_of(fd, buffer)))
        return -1;
    return syscall(SYS_read, fd, data, size);
}

int ftruncate64(int fd, off64_t size)
{
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (failing(WRITES, name))
        return -1;
    note('t', name, (uint64_t)size, "", 0);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    char buffer[PATH_MAX];
    struct stat found;
    const char *name = name_of(fd, buffer);
    if (failing(WRITES, name))
        return errno;
    if (fstat(fd, &found) == 0 && found.st_size < offset + size)
        note('t', name, (uint64_t)(offset + size), "", 0);
    return syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    return posix_fallocate64(fd, offset, size);
}

int fsync(int fd)
{
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (failing(SYNCS, name))
        return -1;
    int result = (int)syscall(SYS_fsync, fd);
    note('s', name, 0, "", 0);
    return result;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int rename(const char *from, const char *to)
{
    char one[PATH_MAX], two[PATH_MAX];
    const char *name = below(from, one), *after = below(to, two);
    if (failing(WRITES, name))
        return -1;
    if (after != NULL)
        note('r', name, 0, after, strlen(after));
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
    char buffer[PATH_MAX];
    const char *name = below(path, buffer);
    struct stat found;
    if (failing(WRITES, name))
        return -1;
    if (name != NULL && log_fd >= 0 && lstat(path, &found) == 0)
        note('u', name, 0, "", 0);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    char buffer[PATH_MAX];
    const char *name = below(path, buffer);
    if (failing(WRITES, name))
        return -1;
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (result == 0)
        note('m', name, 0, "", 0);
    return result;
}

static int opened(int at, const char *path, int flags, mode_t mode)
{
    char buffer[PATH_MAX];
    const char *name = at == AT_FDCWD ? below(path, buffer) : NULL;
    if (failing(OPENS, name))
        return -1;
    if (name != NULL && log_fd >= 0) {
        struct stat found;
        int is_there = stat(path, &found) == 0;
        if (!is_there && (flags & O_CREAT))
            note('c', name, 0, "", 0);
        else if (is_there && (flags & O_TRUNC))
            note('t', name, 0, "", 0);
    }
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

#define MODE(flags, mode)                                       \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                    \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode = (mode_t)va_arg(rest, int);                       \
        va_end(rest);                                           \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(flags, mode)
    return opened(at, path, flags, mode);
}
