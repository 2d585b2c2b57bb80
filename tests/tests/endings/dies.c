/* Ends in the way that its first argument names. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct record { long a, b, c; };

__attribute__((noipa)) static void store_through_null(struct record *record) { record->c = 7; }

static void check_total(int total) { assert(total == 42); }

static void free_twice(void) {
    char *volatile memory = malloc(24);
    free(memory);
    free(memory);
}

static int dive(volatile int depth) {
    volatile char frame[512];
    frame[depth % 512] = depth;
    return dive(depth + 1) + frame[3];
}

static void *in_thread(void *argument) {
    store_through_null(argument);
    return NULL;
}

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int main(int argc, char **argv) {
    const char *way = argv[1], *more = argc > 2 ? argv[2] : "";
    if (!strcmp(way, "null")) {
        struct record *volatile nothing = NULL;
        store_through_null(nothing);
    } else if (!strcmp(way, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, in_thread, NULL);
        pthread_join(thread, NULL);
    } else if (!strcmp(way, "assert")) {
        check_total(argc);
    } else if (!strcmp(way, "free")) {
        free_twice();
    } else if (!strcmp(way, "dive")) {
        return dive(0);
    } else if (!strcmp(way, "bus")) {
        int fd = open(more, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (ftruncate(fd, 8192)) die("ftruncate");
        volatile char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (ftruncate(fd, 0)) die("ftruncate");
        file[4096] = 1;
    } else if (!strcmp(way, "brim")) {
        /* A hole, in a file system that is full. */
        int fd = open(more, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (ftruncate(fd, 8192)) die("ftruncate");
        volatile char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        file[4096] = 1;
    } else if (!strcmp(way, "eat")) {
        for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    } else if (!strcmp(way, "connect")) {
        struct sockaddr_in address = loopback(atoi(more));
        if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address)) die("startup failed");
    } else if (!strcmp(way, "later")) {
        struct sockaddr_in address = loopback(atoi(more));
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
        socklen_t length = sizeof error;
        connect(fd, (void *)&address, sizeof address);
        struct pollfd ready = {fd, POLLOUT, 0};
        poll(&ready, 1, 1000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        die(error ? "no connection" : "connected");
    } else if (!strcmp(way, "listen")) {
        struct sockaddr_in address = loopback(atoi(more));
        if (bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address)) die("cannot start");
    } else if (!strcmp(way, "fill")) {
        int fd = open(more, O_WRONLY | O_CREAT, 0600);
        static char page[4096];
        for (;;) if (write(fd, page, sizeof page) < 0) die("giving up");
    } else if (!strcmp(way, "open")) {
        if (open(more, O_RDONLY) < 0) { perror("cannot read the configuration"); exit(78); }
    } else if (!strcmp(way, "many")) {
        /* One more than are kept, and the last one twice. */
        char path[32];
        for (int i = 0; i <= 25; i++) {
            snprintf(path, sizeof path, "/no/such/%d", i < 25 ? i : 24);
            open(path, O_RDONLY);
        }
        exit(5);
    } else if (!strcmp(way, "seccomp")) {
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {4, filter};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) die("seccomp");
        struct utsname name;
        syscall(SYS_uname, &name);
    } else if (!strcmp(way, "cpu")) {
        struct rlimit limit = {1, 1};
        setrlimit(RLIMIT_CPU, &limit);
        for (;;) {}
    } else if (!strcmp(way, "pieces")) {
        struct { const char *text; } pieces[] = {{"one "}, {"two "}, {"three\n"}};
        for (int i = 0; i < 3; i++) if (write(2, pieces[i].text, strlen(pieces[i].text)) < 0) exit(3);
        exit(4);
    } else if (!strcmp(way, "sleep")) {
        pause();
    } else if (!strcmp(way, "complain")) {
        fprintf(stderr, "error: this is only a warning\n");
    }
    return 0;
}
