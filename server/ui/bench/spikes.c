// A spike of one kind for some seconds, under a name of its own, in a function of its own: spikes KIND NAME SECONDS DIR
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double end;
static char path[512];
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
#define WORK __attribute__((noinline)) static void
#define RUN while (now() < end)

static volatile unsigned long sink;
WORK spin_in_numbers(void) { RUN for (int i = 0; i < 100000; i++) sink += i * sink; }
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
WORK sort_the_table(void) { static int v[65536]; RUN { for (int i = 0; i < 65536; i++) v[i] = rand(); qsort(v, 65536, sizeof *v, cmp); } }
WORK hash_the_text(void) { static char t[1 << 16]; RUN for (size_t i = 0; i < sizeof t; i++) sink = sink * 31 + t[i]; }
WORK ask_for_the_parent(void) { RUN for (int i = 0; i < 10000; i++) syscall(SYS_getppid); }
WORK read_zero_device(void) { static char b[1 << 20]; int f = open("/dev/zero", O_RDONLY); RUN if (read(f, b, sizeof b) < 0) break; }
WORK touch_new_pages(void) { RUN { char *p = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); for (size_t i = 0; i < 64 << 20; i += 4096) p[i] = 1; munmap(p, 64 << 20); } }
WORK keep_all_memory(void) { char *all[256]; int n = 0; RUN { if (n < 100) { all[n] = malloc(8 << 20); memset(all[n++], 1, 8 << 20); } usleep(50000); } }
WORK sync_each_line(void) { int f = open(path, O_CREAT | O_WRONLY, 0600); RUN { if (pwrite(f, "line\n", 5, 0) < 0) break; fsync(f); } unlink(path); }
WORK write_past_the_cache(void) { void *b; if (posix_memalign(&b, 4096, 1 << 20)) return; int f = open(path, O_CREAT | O_WRONLY | O_DIRECT, 0600); RUN for (int i = 0; i < 64; i++) if (pwrite(f, b, 1 << 20, (off_t)i << 20) < 0) break; unlink(path); }
WORK read_past_the_cache(void) { void *b; if (posix_memalign(&b, 4096, 1 << 16)) return; int f = open(path, O_CREAT | O_RDWR | O_DIRECT, 0600); for (int i = 0; i < 512; i++) if (pwrite(f, b, 1 << 16, (off_t)i << 16) < 0) break; RUN if (pread(f, b, 4096, (off_t)(rand() % 8192) << 12) < 0) break; unlink(path); }
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
__attribute__((noinline)) static void *hold_the_lock(void *x) { RUN { pthread_mutex_lock(&lock); for (int i = 0; i < 2000000; i++) sink += i; pthread_mutex_unlock(&lock); } return x; }
WORK fight_for_the_lock(void) { pthread_t t[4]; for (int i = 0; i < 4; i++) pthread_create(t + i, 0, hold_the_lock, 0); for (int i = 0; i < 4; i++) pthread_join(t[i], 0); }
__attribute__((noinline)) static void *compete(void *x) { RUN for (int i = 0; i < 100000; i++) sink += i; return x; }
WORK start_many_threads(void) { pthread_t t[12]; for (int i = 0; i < 12; i++) pthread_create(t + i, 0, compete, 0); for (int i = 0; i < 12; i++) pthread_join(t[i], 0); }
WORK flood_the_loopback(void) { int s = socket(AF_INET, SOCK_DGRAM, 0); struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7f000001)}; static char b[1400]; RUN for (int i = 0; i < 100; i++) sendto(s, b, sizeof b, 0, (void *)&a, sizeof a); }
WORK pass_a_byte_around(void) { int a[2], b[2]; char c = 0; if (pipe(a) || pipe(b)) return; if (!fork()) { while (read(a[0], &c, 1) == 1) if (write(b[1], &c, 1) < 0) break; _exit(0); } RUN { if (write(a[1], &c, 1) < 0 || read(b[0], &c, 1) < 0) break; } close(a[1]); wait(0); }
WORK start_short_children(void) { RUN { if (!fork()) _exit(0); wait(0); } }
WORK open_and_close_files(void) { RUN { int f = open("/etc/hostname", O_RDONLY); if (f >= 0) close(f); } }
WORK sleep_for_moments(void) { struct timespec t = {0, 1000}; RUN nanosleep(&t, 0); }
WORK copy_a_file(void) { static char b[1 << 20]; RUN { int f = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600); for (int i = 0; i < 64; i++) if (write(f, b, sizeof b) < 0) break; close(f); } unlink(path); }
WORK call_deeply(void) { RUN { volatile char deep[256]; for (int i = 0; i < 100000; i++) deep[i & 255] = i; sink += deep[3]; } }
WORK look_into_proc(void) { static char b[65536]; RUN { int f = open("/proc/self/maps", O_RDONLY); while (read(f, b, sizeof b) > 0); close(f); } }

static const struct { const char *name; void (*run)(void); } KINDS[] = {
    {"cpu", spin_in_numbers}, {"sort", sort_the_table}, {"hash", hash_the_text}, {"syscalls", ask_for_the_parent}, {"zero", read_zero_device}, {"faults", touch_new_pages},
    {"memory", keep_all_memory}, {"fsync", sync_each_line}, {"disk-write", write_past_the_cache}, {"disk-read", read_past_the_cache}, {"lock", fight_for_the_lock},
    {"neighbour", start_many_threads}, {"network", flood_the_loopback}, {"pipe", pass_a_byte_around}, {"children", start_short_children}, {"files", open_and_close_files},
    {"timers", sleep_for_moments}, {"copy", copy_a_file}, {"stack", call_deeply}, {"proc", look_into_proc}};

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    prctl(PR_SET_NAME, argv[2]);
    end = now() + atof(argv[3]);
    snprintf(path, sizeof path, "%s/spike-%s", argv[4], argv[2]);
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (!strcmp(KINDS[i].name, argv[1])) { KINDS[i].run(); return 0; }
    return 2;
}
