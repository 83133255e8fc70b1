/* Load for an echo server: CONNECTIONS connections to 127.0.0.1:PORT, each of which sends SIZE bytes, waits
 * until they have come back, and sends again.
 *
 *     echo_load PORT CONNECTIONS SIZE SECONDS
 *
 * It says "begin" when all are connected and a fifth of SECONDS has passed, "end" after SECONDS more, so that
 * whoever reads it can look at the server's clock meanwhile; then, on one line, how many requests were
 * answered in between and the times that 50, 99 and 99.9 of a hundred stayed below, in microseconds.
 *
 * What belongs here: measuring.  What never does: what the server is (echo.py).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, SAMPLES = 1 << 22 };

typedef struct connection {
    int fd;
    size_t missing; /* bytes of the present answer that have not come */
    double sent;    /* when the present request was */
} connection;

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static int
by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void
say(const char *word)
{
    puts(word);
    fflush(stdout);
}

static int
connected(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail("socket");
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("connect");
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void
ask(connection *c, const char *text, size_t size)
{
    c->missing = size;
    c->sent = now();
    if (send(c->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size) {
        fail("send");
    }
}

int
main(int count, char **words)
{
    if (count != 5) {
        fprintf(stderr, "usage: echo_load PORT CONNECTIONS SIZE SECONDS\n");
        return 2;
    }
    int port = atoi(words[1]), number = atoi(words[2]);
    size_t size = (size_t)atol(words[3]);
    double seconds = atof(words[4]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    char *text = malloc(size), *buffer = malloc(size);
    float *samples = malloc(SAMPLES * sizeof *samples);
    connection *all = calloc((size_t)number, sizeof *all);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    if (text == NULL || buffer == NULL || samples == NULL || all == NULL || poller < 0) {
        fail("echo_load");
    }
    memset(text, 'x', size);
    for (int i = 0; i < number; i++) {
        all[i].fd = connected(port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) != 0) {
            fail("epoll_ctl");
        }
    }
    for (int i = 0; i < number; i++) {
        ask(&all[i], text, size);
    }

    long answered = 0, kept = 0;
    int measuring = 0;
    double begin = now() + seconds / 5, end = begin + seconds;
    for (;;) {
        double time = now();
        if (!measuring && time >= begin) {
            measuring = 1;
            end = time + seconds;
            say("begin");
        }
        if (measuring && time >= end) {
            break;
        }
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, 50);
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            ssize_t got = recv(c->fd, buffer, c->missing, 0);
            if (got <= 0) {
                fail(got == 0 ? "closed by the server" : "recv");
            }
            c->missing -= (size_t)got;
            if (c->missing == 0) {
                if (measuring) {
                    answered++;
                    if (kept < SAMPLES) {
                        samples[kept++] = (float)((now() - c->sent) * 1e6);
                    }
                }
                ask(c, text, size);
            }
        }
    }
    say("end");
    qsort(samples, (size_t)kept, sizeof *samples, by_value);
    long last = kept ? kept - 1 : 0;
    samples[last] = kept ? samples[last] : 0;
    printf("%ld %.0f %.0f %.0f\n", answered, samples[kept / 2 < last ? kept / 2 : last],
           samples[(long)((double)last * .99)], samples[(long)((double)last * .999)]);
    return 0;
}
