/* modbus_devices - many fast Modbus TCP devices in one process, to measure a gateway with.
 *
 *   cc -O2 -o modbus_devices modbus_devices.c
 *   modbus_devices BASE_PORT DEVICES [STAT_PORT]
 *
 * Device k (0, 1, ...) listens on 127.0.0.1:BASE_PORT+k and answers every unit id; with BASE_PORT 0
 * every port is a free one. Device 0's port also serves device u-1 for unit id u, so that one
 * connection can carry many units. Functions 3 and 4 read registers 0..999; requests may be
 * pipelined. One JSON line says when it is ready and which ports it has:
 *   {"ready":true,"ports":[15020,...],"stat_port":15019}
 *
 * Registers:
 *   0, 1   milliseconds of the wall clock, low 32 bits, low word first (the age of a sample)
 *   2      sequence number of the device, +1 with each answer that covers it
 *   i >= 3 1000 + 10 i + device + a triangle wave of 0..200 that steps every 100 (1 + i % 10) ms
 *
 * Whoever connects to STAT_PORT (0 or absent: a free one) gets one JSON line and is hung up on:
 *   {"transactions":n,"registers":n,"exceptions":n,"bytes":n,"seq":[per device]}
 * served - different sequence numbers seen = lost; seen - different = doubled.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS = 1000, MOST = 125, WAVES = 10, IN = 32768, ANSWER = 9 + 2 * MOST, REQUEST = 12 };
enum kind { DEVICE, CLIENT, STATISTICS };

/* One socket. A client's answers that the kernel did not take wait in `out`; until they are gone
 * nothing more is read from it, so a client that never reads costs one buffer and no more. */
struct line {
    enum kind kind;
    int fd, device, in_n;
    size_t out_at, out_n;
    uint8_t in[IN];
    uint8_t out[IN / REQUEST * ANSWER + 2 * IN]; /* the most that `in` can ask for */
};

static int devices, poller;
static uint32_t *seq;
static uint16_t wave[WAVES];
static uint64_t now_ms, transactions, registers, exceptions, bytes;
static volatile sig_atomic_t stopping;

static void die(const char *what) { perror(what); exit(1); }
static void stop(int number) { (void)number; stopping = 1; }
static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

/* Look at the clock, and make the ten waves that all registers of this instant share. */
static void tick(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    if (ms == now_ms) return;
    now_ms = ms;
    for (unsigned i = 0; i < WAVES; i++) {
        unsigned step = (unsigned)(ms / (100 * (1 + i)) % 400);
        wave[i] = (uint16_t)(step < 200 ? step : 400 - step);
    }
}

static size_t refuse(const uint8_t *q, uint8_t *a, uint8_t code) {
    memcpy(a, q, 8);
    put16(a + 4, 3);
    a[7] |= 0x80;
    a[8] = code;
    exceptions++;
    return 9;
}

static size_t answer(int device, const uint8_t *q, int length, uint8_t *a) {
    unsigned function = q[7];
    if (device == 0 && q[6] > 1 && q[6] <= devices) device = q[6] - 1;
    transactions++;
    if (function != 3 && function != 4) return refuse(q, a, 1);
    if (length != REQUEST) return refuse(q, a, 3);
    unsigned first = get16(q + 8), count = get16(q + 10);
    if (count < 1 || count > MOST) return refuse(q, a, 3);
    if (first + count > REGISTERS) return refuse(q, a, 2);
    memcpy(a, q, 4);
    put16(a + 4, (uint16_t)(3 + 2 * count));
    a[6] = q[6];
    a[7] = q[7];
    a[8] = (uint8_t)(2 * count);
    uint8_t *p = a + 9;
    unsigned base = 1000 + (unsigned)device, w = first % WAVES;
    for (unsigned i = first; i < first + count; i++, p += 2) {
        put16(p, (uint16_t)(base + 10 * i + wave[w]));
        if (++w == WAVES) w = 0;
    }
    if (first <= 2 && first + count > 2) put16(a + 9 + 2 * (2 - first), (uint16_t)++seq[device]);
    if (first <= 1 && first + count > 1) put16(a + 9 + 2 * (1 - first), (uint16_t)(now_ms >> 16));
    if (first == 0) put16(a + 9, (uint16_t)now_ms);
    registers += count;
    return 9 + 2 * count;
}

static struct line *watch(int fd, enum kind kind, int device) {
    struct line *l = malloc(sizeof *l);
    if (!l) die("memory");
    l->kind = kind, l->fd = fd, l->device = device, l->in_n = 0, l->out_at = l->out_n = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e)) die("epoll");
    return l;
}

static void hang_up(struct line *l) { close(l->fd); free(l); }

static int listen_on(int port, enum kind kind, int device) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 512)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&at, &size)) die("getsockname");
    watch(fd, kind, device);
    return ntohs(at.sin_port);
}

/* Send what waits. 0: all gone; 1: the kernel is full, we are told when it is not; -1: hung up. */
static int send_out(struct line *l) {
    while (l->out_at < l->out_n) {
        ssize_t n = send(l->fd, l->out + l->out_at, l->out_n - l->out_at, MSG_NOSIGNAL);
        if (n > 0) { l->out_at += (size_t)n; bytes += (uint64_t)n; continue; }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) { hang_up(l); return -1; }
        struct epoll_event e = {.events = EPOLLOUT, .data.ptr = l};
        epoll_ctl(poller, EPOLL_CTL_MOD, l->fd, &e);
        return 1;
    }
    l->out_at = l->out_n = 0;
    return 0;
}

static void serve(struct line *l, uint32_t events) {
    if (events & EPOLLOUT) {
        if (send_out(l)) return;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
        epoll_ctl(poller, EPOLL_CTL_MOD, l->fd, &e);
    }
    ssize_t n = recv(l->fd, l->in + l->in_n, (size_t)(IN - l->in_n), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { hang_up(l); return; }
    l->in_n += (int)n;
    int at = 0;
    while (l->in_n - at >= 8) {
        int length = 6 + get16(l->in + at + 4);
        if (get16(l->in + at + 2) || length < 8 || length > 260) { hang_up(l); return; }
        if (l->in_n - at < length) break;
        l->out_n += answer(l->device, l->in + at, length, l->out + l->out_n);
        at += length;
    }
    l->in_n -= at;
    memmove(l->in, l->in + at, (size_t)l->in_n);
    send_out(l);
}

static void tell(int fd) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) die("memory");
    fprintf(f, "{\"transactions\":%llu,\"registers\":%llu,\"exceptions\":%llu,\"bytes\":%llu,\"seq\":[",
            (unsigned long long)transactions, (unsigned long long)registers,
            (unsigned long long)exceptions, (unsigned long long)bytes);
    for (int i = 0; i < devices; i++) fprintf(f, "%s%u", i ? "," : "", seq[i]);
    fprintf(f, "]}\n");
    fclose(f);
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, text + at, size - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
    }
    free(text);
    close(fd);
}

static void welcome(struct line *l) {
    int one = 1, fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | (l->kind == DEVICE ? SOCK_NONBLOCK : 0));
    if (fd < 0) return;
    if (l->kind == STATISTICS) { tell(fd); return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd, CLIENT, l->device);
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4 || (devices = atoi(argv[2])) < 1) {
        fprintf(stderr, "modbus_devices BASE_PORT DEVICES [STAT_PORT]\n");
        return 2;
    }
    int base = atoi(argv[1]), stat_port = argc > 3 ? atoi(argv[3]) : 0;
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sigaction act = {.sa_handler = stop};
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    poller = epoll_create1(EPOLL_CLOEXEC);
    seq = calloc((size_t)devices, sizeof *seq);
    if (poller < 0 || !seq) die("start");
    printf("{\"ready\":true,\"ports\":[");
    for (int i = 0; i < devices; i++)
        printf("%s%d", i ? "," : "", listen_on(base ? base + i : 0, DEVICE, i));
    printf("],\"stat_port\":%d}\n", listen_on(stat_port, STATISTICS, 0));
    fflush(stdout);
    struct epoll_event events[256];
    while (!stopping) {
        int n = epoll_wait(poller, events, 256, -1);
        tick();
        for (int i = 0; i < n; i++) {
            struct line *l = events[i].data.ptr;
            if (l->kind == CLIENT) serve(l, events[i].events);
            else welcome(l);
        }
    }
    return 0;
}
