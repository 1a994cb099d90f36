/* Interposes the calls of libc that change files below one folder, and tells a listener of each.
 *
 * The listener hears of a call before it is made, and again once it has succeeded (`op | AFTER`,
 * with the result as `length`). What it answers to the first by powerloss_answer: 0 go on, > 0 fail
 * with this errno, < 0 say that it was done and do nothing. Not by its return value: a Python
 * function that raises would return whatever lay in memory.
 * What a listener cannot model is refused on a watched file (ENOSYS, EXDEV), so that no change goes
 * unheard. dup() and mmap() are not covered: neither Python's files nor SQLite's need them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, CLOSE, WRITE, TRUNCATE, FSYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK, REPLACED };
enum { AFTER = 256, OURS = 1, APPENDS = 2, DESCRIPTORS = 65536 };

typedef void (*listener_t)(int op, int fd, int flags, const char *path, const char *path2,
                           const void *data, long length, long offset);

static listener_t listener;
static char root[PATH_MAX];
static size_t root_length;
static unsigned char watched[DESCRIPTORS];
static pid_t owner;
static __thread int answer; /* of the listener that is being asked */
static __thread int aside; /* > 0 while the listener, or a restore, works on the files itself */

#define REAL(name) \
    ({ \
        static __typeof__(&name) found; \
        if (!found) \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        found; \
    })

int powerloss_watch(const char *path, listener_t heard)
{
    listener = NULL;
    if (!path)
        return 0;
    root_length = strlen(path);
    if (root_length >= sizeof root)
        return ENAMETOOLONG;
    memcpy(root, path, root_length + 1);
    owner = getpid();
    listener = heard;
    return 0;
}

static int tell(int op, int fd, int flags, const char *path, const char *path2, const void *data,
                long length, long offset)
{
    int kept = errno;
    aside++;
    answer = 0;
    listener(op, fd, flags, path, path2, data, length, offset);
    aside--;
    errno = kept;
    return answer;
}

void powerloss_answer(int code)
{
    answer = code;
}

/* A child between fork and exec shares this memory, and has no Python to call. */
static int listening(void)
{
    return listener && !aside && getpid() == owner;
}

/* Calls nest. */
void powerloss_aside(int on)
{
    aside += on ? 1 : -1;
}

/* Whoever changed the files of `folder` aside says so, whether it is the watched one or another. */
void powerloss_replaced(const char *folder)
{
    if (listener && getpid() == owner && !strcmp(folder, root))
        tell(REPLACED, -1, 0, NULL, NULL, NULL, 0, 0);
}

static int is_ours(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && watched[fd] && listening();
}

static int absolute(int folder, const char *path, char *out)
{
    char link[64];
    ssize_t length = 0;
    if (path[0] != '/' && folder == AT_FDCWD) {
        if (!getcwd(out, PATH_MAX))
            return 0;
        length = (ssize_t)strlen(out);
    } else if (path[0] != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, out, PATH_MAX - 1);
        if (length < 0)
            return 0;
    }
    return snprintf(out + length, PATH_MAX - (size_t)length, "/%s", path) < PATH_MAX - length;
}

/* Resolves `.`, `..` and doubled slashes in place, by the letters alone. */
static void tidy(char *path)
{
    char *end = path;
    for (char *part = path; *part;) {
        char *rest = part + 1;
        while (*rest && *rest != '/')
            rest++;
        size_t length = (size_t)(rest - part);
        if (length == 3 && part[1] == '.' && part[2] == '.') {
            while (end > path && *--end != '/')
                ;
        } else if (length > 1 && !(length == 2 && part[1] == '.')) {
            memmove(end, part, length);
            end += length;
        }
        part = rest;
    }
    *end = 0;
}

static int ends_with(const char *path, const char *end)
{
    size_t a = strlen(path), b = strlen(end);
    return a >= b && !strcmp(path + a - b, end);
}

/* The path relative to the root in `out`; NULL when it lies elsewhere or is of no interest. */
static const char *below(int folder, const char *path, char out[PATH_MAX])
{
    int kept = errno;
    if (!path || !listening() || !absolute(folder, path, out)) {
        errno = kept;
        return NULL;
    }
    tidy(out);
    if (strncmp(out, root, root_length) || (out[root_length] && out[root_length] != '/'))
        return NULL;
    /* The index of a WAL is rebuilt after a crash, and a lock dies with its process. */
    if (ends_with(out, "-shm") || ends_with(out, "/run.lock"))
        return NULL;
    return out + root_length + (out[root_length] == '/');
}

static long refused(int code)
{
    errno = code;
    return -1;
}

#define AROUND(OP, FD, FLAGS, PATH, PATH2, DATA, LENGTH, OFFSET, PRETENDED, CALL) \
    ({ \
        int told = tell(OP, FD, FLAGS, PATH, PATH2, DATA, LENGTH, OFFSET); \
        long result = told > 0 ? refused(told) : told < 0 ? (long)(PRETENDED) : (long)(CALL); \
        if (!told && result >= 0) \
            tell((OP) | AFTER, FD, FLAGS, PATH, PATH2, DATA, result, OFFSET); \
        result; \
    })

static int open_heard(int folder, const char *path, int flags, mode_t mode)
{
    char out[PATH_MAX];
    const char *inside = below(folder, path, out);
    if (!inside || (flags & O_TMPFILE) == O_TMPFILE) {
        int other = REAL(openat)(folder, path, flags, mode);
        /* The number may have been ours, and closed inside libc where nobody hears. */
        if (other >= 0 && other < DESCRIPTORS)
            watched[other] = 0;
        return other;
    }
    if (flags & (O_CREAT | O_TRUNC)) {
        int told = tell(OPEN, -1, flags, inside, NULL, NULL, 0, 0);
        if (told > 0)
            return (int)refused(told);
    }
    int fd = REAL(openat)(folder, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        watched[fd] = (unsigned char)(OURS | (flags & O_APPEND ? APPENDS : 0));
        tell(OPEN | AFTER, fd, flags, inside, NULL, NULL, fd, 0);
    }
    return fd;
}

#define MODE(flags) \
    ({ \
        mode_t mode = 0; \
        if ((flags) & (O_CREAT | __O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        mode; \
    })

int open(const char *path, int flags, ...) { return open_heard(AT_FDCWD, path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...)
{
    return open_heard(AT_FDCWD, path, flags | O_LARGEFILE, MODE(flags));
}
int openat(int folder, const char *path, int flags, ...)
{
    return open_heard(folder, path, flags, MODE(flags));
}
int openat64(int folder, const char *path, int flags, ...)
{
    return open_heard(folder, path, flags | O_LARGEFILE, MODE(flags));
}
int creat(const char *path, mode_t mode)
{
    return open_heard(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS && watched[fd] && getpid() == owner) {
        /* Before the call: afterwards the number may be another file's. */
        if (listening())
            tell(CLOSE, fd, 0, NULL, NULL, NULL, 0, 0);
        watched[fd] = 0;
    }
    return REAL(close)(fd);
}

static off_t position(int fd)
{
    struct stat now;
    if (!(watched[fd] & APPENDS))
        return lseek(fd, 0, SEEK_CUR);
    return fstat(fd, &now) ? -1 : now.st_size;
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (!is_ours(fd))
        return REAL(write)(fd, data, length);
    off_t at = position(fd);
    return AROUND(WRITE, fd, 0, NULL, NULL, data, (long)length, at, length,
                  REAL(write)(fd, data, length));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
    if (!is_ours(fd))
        return REAL(pwrite)(fd, data, length, at);
    return AROUND(WRITE, fd, 0, NULL, NULL, data, (long)length, at, length,
                  REAL(pwrite)(fd, data, length, at));
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
    return pwrite(fd, data, length, at);
}

static char *gathered(const struct iovec *parts, int count, size_t *length)
{
    *length = 0;
    for (int i = 0; i < count; i++)
        *length += parts[i].iov_len;
    char *data = malloc(*length + 1), *end = data;
    for (int i = 0; data && i < count; end += parts[i++].iov_len)
        memcpy(end, parts[i].iov_base, parts[i].iov_len);
    return data;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    size_t length;
    if (!is_ours(fd))
        return REAL(writev)(fd, parts, count);
    char *data = gathered(parts, count, &length);
    ssize_t written = data ? write(fd, data, length) : refused(ENOMEM);
    free(data);
    return written;
}

#define WITHOUT_A_MODEL(fd, call) return is_ours(fd) ? refused(ENOSYS) : (call)

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    WITHOUT_A_MODEL(fd, REAL(pwritev)(fd, parts, count, at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    WITHOUT_A_MODEL(fd, REAL(pwritev64)(fd, parts, count, at));
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags)
{
    WITHOUT_A_MODEL(fd, REAL(pwritev64v2)(fd, parts, count, at, flags));
}
ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t length, unsigned flags)
{
    WITHOUT_A_MODEL(to, REAL(copy_file_range)(from, in, to, out, length, flags));
}
/* <sys/sendfile.h> is left out, so that the name can be defined with either type of offset. */
ssize_t sendfile64(int to, int from, off64_t *offset, size_t length);
ssize_t sendfile64(int to, int from, off64_t *offset, size_t length)
{
    WITHOUT_A_MODEL(to, REAL(sendfile64)(to, from, offset, length));
}
int posix_fallocate64(int fd, off64_t at, off64_t length)
{
    return is_ours(fd) ? ENOSYS : REAL(posix_fallocate64)(fd, at, length);
}

int ftruncate(int fd, off_t size)
{
    if (!is_ours(fd))
        return REAL(ftruncate)(fd, size);
    return (int)AROUND(TRUNCATE, fd, 0, NULL, NULL, NULL, 0, size, 0, REAL(ftruncate)(fd, size));
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *path, off_t size)
{
    char out[PATH_MAX];
    if (!below(AT_FDCWD, path, out))
        return REAL(truncate)(path, size);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, size), kept = errno;
    close(fd);
    errno = kept;
    return result;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

int fsync(int fd)
{
    if (!is_ours(fd))
        return REAL(fsync)(fd);
    return (int)AROUND(FSYNC, fd, 0, NULL, NULL, NULL, 0, 0, 0, REAL(fsync)(fd));
}
int fdatasync(int fd) { return is_ours(fd) ? fsync(fd) : REAL(fdatasync)(fd); }

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    const char *a = below(from, old, first), *b = below(to, new, second);
    if (!a && !b)
        return REAL(renameat2)(from, old, to, new, flags);
    if (!a || !b || flags)
        return (int)refused(flags ? ENOSYS : EXDEV);
    return (int)AROUND(RENAME, -1, 0, a, b, NULL, 0, 0, 0, REAL(renameat)(from, old, to, new));
}
int renameat(int from, const char *old, int to, const char *new)
{
    return renameat2(from, old, to, new, 0);
}
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    const char *a = below(from, old, first), *b = below(to, new, second);
    if (!a && !b)
        return REAL(linkat)(from, old, to, new, flags);
    if (!a || !b)
        return (int)refused(EXDEV);
    return (int)AROUND(LINK, -1, 0, a, b, NULL, 0, 0, 0, REAL(linkat)(from, old, to, new, flags));
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int folder, const char *path, int flags)
{
    char out[PATH_MAX];
    const char *inside = below(folder, path, out);
    if (!inside)
        return REAL(unlinkat)(folder, path, flags);
    return (int)AROUND(flags & AT_REMOVEDIR ? RMDIR : UNLINK, -1, 0, inside, NULL, NULL, 0, 0, 0,
                       REAL(unlinkat)(folder, path, flags));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode)
{
    char out[PATH_MAX];
    const char *inside = below(folder, path, out);
    if (!inside)
        return REAL(mkdirat)(folder, path, mode);
    return (int)AROUND(MKDIR, -1, (int)mode, inside, NULL, NULL, 0, 0, 0,
                       REAL(mkdirat)(folder, path, mode));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
