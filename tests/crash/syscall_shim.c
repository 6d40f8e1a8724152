/* Loaded before libc (LD_PRELOAD): the Nth file operation below one folder fails, or is the process's last.
 *
 * What is counted: every call that reaches the kernel for a file below FAULT_ROOT, whoever makes it, Python
 * or SQLite. Armed by the environment at start, or by `fault_arm` in a process that is forked for one case.
 *
 *   FAULT_ROOT=/folder  FAULT_AT=n  FAULT_ACT=act  FAULT_ERRNO=number  FAULT_CLASS=1|2|3  FAULT_WIDTH=m
 *   FAULT_ONLY=text in the file's name  FAULT_REPORT=descriptor that is told of the call
 *
 * Acts: 0 count only (and with FAULT_AT=-1 tell of every call); 1 SIGKILL before the call; 2 after it; 3 in the middle of a write; 4 fail with errno,
 * nothing done; 5 do half of a write or read, and say so; 6 do half of a write, then fail.
 * Class: 1 calls that change the disk, 2 calls that read it, 3 both. Width: that many calls, -1 for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL_BEFORE, KILL_AFTER, KILL_WITHIN, FAIL, SHORT, TORN };
enum { CHANGES = 1, READS = 2 };
enum { MOST = 4096, NAMED = 160 };

static char root[PATH_MAX], only[NAMED];
static size_t root_size;
static long at, width = 1, counted;
static int act, error_number, classes = 3, report = -1;
static char names[MOST][NAMED]; /* of open descriptors below root; empty: not ours */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

void fault_arm(const char *folder, long n, int how, int error, int which, long many,
               const char *name, int to) {
    pthread_mutex_lock(&lock);
    snprintf(root, sizeof root, "%s", folder);
    snprintf(only, sizeof only, "%s", name);
    root_size = strlen(root);
    at = n, act = how, error_number = error, classes = which, width = many, report = to, counted = 0;
    pthread_mutex_unlock(&lock);
}

long fault_count(void) { return counted; }

static long number(const char *name, long usual) {
    const char *value = getenv(name);
    return value ? atol(value) : usual;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAULT_ROOT");
    if (!folder) return;
    const char *name = getenv("FAULT_ONLY");
    fault_arm(folder, number("FAULT_AT", 0), (int)number("FAULT_ACT", COUNT),
              (int)number("FAULT_ERRNO", EIO), (int)number("FAULT_CLASS", 3), number("FAULT_WIDTH", 1),
              name ? name : "", (int)number("FAULT_REPORT", -1));
}

static int ours(const char *path) {
    return root_size && !strncmp(path, root, root_size) && (path[root_size] == '/' || !path[root_size]);
}

static const char *named(int fd) { return fd >= 0 && fd < MOST && names[fd][0] ? names[fd] : NULL; }

static void tell(const char *call, const char *name) {
    char line[2 * NAMED + 64];
    int size = snprintf(line, sizeof line, "%ld %s %s\n", counted, call, name);
    if (report >= 0) syscall(SYS_write, report, line, (size_t)size);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

/* What is to happen at this call: an act, COUNT when nothing. */
static int step(int class, const char *call, const char *name) {
    int now = COUNT;
    if (!(class & classes) || !strstr(name, only)) return COUNT;
    pthread_mutex_lock(&lock);
    counted++;
    if (act == COUNT && at < 0) tell(call, name);
    if (act != COUNT && counted >= at && (width < 0 || counted < at + width)) {
        now = act;
        if (counted == at) tell(call, name);
    }
    pthread_mutex_unlock(&lock);
    if (now == KILL_BEFORE) die();
    return now;
}

/* A call that is done whole or not at all. */
#define WHOLE(class, call, name, type, doing) do { \
        int now = step(class, call, name); \
        if (now == FAIL || now == TORN) { errno = error_number; return (type)-1; } \
        type done = (doing); \
        if (now == KILL_AFTER || now == KILL_WITHIN) die(); \
        return done; \
    } while (0)

/* A call of many bytes: `part` does the first half of it. */
#define MANY(class, call, name, size, doing, part) do { \
        int now = step(class, call, name); \
        if (now == FAIL) { errno = error_number; return -1; } \
        if (now == KILL_WITHIN || now == SHORT || now == TORN) { \
            if ((size) < 2) { if (now == SHORT) return (doing); } \
            else { ssize_t half = (part); if (now == SHORT) return half; } \
            if (now == KILL_WITHIN) die(); \
            errno = error_number; \
            return -1; \
        } \
        ssize_t done = (doing); \
        if (now == KILL_AFTER) die(); \
        return done; \
    } while (0)

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < MOST) snprintf(names[fd], NAMED, "%s", path[root_size] ? path + root_size : "/");
    return fd;
}

static int any_open(int folder, const char *path, int flags, mode_t mode) {
    REAL(int, "openat64", int, const char *, int, ...);
    if (!ours(path)) {
        int fd = real(folder, path, flags, mode);
        if (fd >= 0 && fd < MOST) names[fd][0] = 0;
        return fd;
    }
    int changes = (flags & O_CREAT) || (flags & O_TRUNC);
    WHOLE(changes ? CHANGES : READS, "open", path + root_size, int,
          opened(real(folder, path, flags, mode), path));
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE; return any_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return any_open(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE; return any_open(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE; return any_open(folder, path, flags, mode); }

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < MOST) names[fd][0] = 0;
    return real(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    const char *name = named(fd);
    if (!name) return real(fd, data, size);
    MANY(CHANGES, "write", name, size, real(fd, data, size), real(fd, data, size / 2));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    const char *name = named(fd);
    if (!name) return real(fd, data, size, place);
    MANY(CHANGES, "pwrite", name, size, real(fd, data, size, place), real(fd, data, size / 2, place));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) { return pwrite64(fd, data, size, place); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    const char *name = named(fd);
    if (!name) return real(fd, parts, count);
    MANY(CHANGES, "writev", name, count, real(fd, parts, count), real(fd, parts, count / 2));
}

ssize_t read(int fd, void *data, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    const char *name = named(fd);
    if (!name) return real(fd, data, size);
    MANY(READS, "read", name, size, real(fd, data, size), real(fd, data, size / 2));
}

ssize_t pread64(int fd, void *data, size_t size, off64_t place) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    const char *name = named(fd);
    if (!name) return real(fd, data, size, place);
    MANY(READS, "pread", name, size, real(fd, data, size, place), real(fd, data, size / 2, place));
}
ssize_t pread(int fd, void *data, size_t size, off_t place) { return pread64(fd, data, size, place); }

#define ON_FILE(call, class, type, parameters, arguments, fd) \
    int call parameters { \
        REAL(int, #call, type); \
        const char *name = named(fd); \
        if (!name) return real arguments; \
        WHOLE(class, #call, name, int, real arguments); \
    }
#define COMMA ,
ON_FILE(fsync, CHANGES, int, (int fd), (fd), fd)
ON_FILE(fdatasync, CHANGES, int, (int fd), (fd), fd)
ON_FILE(ftruncate, CHANGES, int COMMA off_t, (int fd, off_t size), (fd, size), fd)
ON_FILE(ftruncate64, CHANGES, int COMMA off64_t, (int fd, off64_t size), (fd, size), fd)
ON_FILE(fchmod, CHANGES, int COMMA mode_t, (int fd, mode_t mode), (fd, mode), fd)

static int any_rename(int a, const char *old, int b, const char *new) {
    REAL(int, "renameat", int, const char *, int, const char *);
    if (!ours(new)) return real(a, old, b, new);
    char both[2 * NAMED];
    snprintf(both, sizeof both, "%s>%s", ours(old) ? old + root_size : "", new + root_size);
    WHOLE(CHANGES, "rename", both, int, real(a, old, b, new));
}

int rename(const char *old, const char *new) { return any_rename(AT_FDCWD, old, AT_FDCWD, new); }
int renameat(int a, const char *old, int b, const char *new) { return any_rename(a, old, b, new); }

#define ON_PATH(call, types, parameters, arguments) \
    int call parameters { \
        REAL(int, #call, types); \
        if (!ours(path)) return real arguments; \
        WHOLE(CHANGES, #call, path + root_size, int, real arguments); \
    }
ON_PATH(unlink, const char *, (const char *path), (path))
ON_PATH(unlinkat, int COMMA const char * COMMA int, (int folder, const char *path, int flags), (folder, path, flags))
ON_PATH(mkdir, const char * COMMA mode_t, (const char *path, mode_t mode), (path, mode))
ON_PATH(mkdirat, int COMMA const char * COMMA mode_t, (int folder, const char *path, mode_t mode), (folder, path, mode))
