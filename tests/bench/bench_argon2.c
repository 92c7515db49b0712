/* bench_argon2 THREADS SECONDS: Argon2id alone, with the parameters of core/identity/password.c, on so many threads at once.
 * Prints {"per_s", "p50_us", "p99_us", "cpu_us", "count"}. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/text.h"
#include "identity/password.h"

enum { THREADS_MAX = 64, SAMPLES_MAX = 100000 };

static char phc[PASSWORD_PHC_SIZE];
static uint64_t ends_ns;
static struct worker {
    pthread_t thread;
    size_t count;
    uint64_t took_ns[SAMPLES_MAX];
} workers[THREADS_MAX];
static uint64_t all[THREADS_MAX * (size_t)SAMPLES_MAX];

static void *work(void *arg)
{
    struct worker *w = arg;
    while (w->count < SAMPLES_MAX && clock_monotonic_ns() < ends_ns) {
        uint64_t began = clock_monotonic_ns();
        if (!password_matches(phc, "correct horse battery staple"))
            return NULL;
        w->took_ns[w->count++] = clock_monotonic_ns() - began;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int64_t threads, seconds;
    if (argc != 3 || text_to_int64(text_of(argv[1]), 1, THREADS_MAX, &threads) < 0 ||
        text_to_int64(text_of(argv[2]), 1, 60, &seconds) < 0 || password_hash("correct horse battery staple", phc, NULL) < 0)
        return 2;
    uint64_t began = clock_monotonic_ns();
    ends_ns = began + (uint64_t)seconds * 1000000000u;
    size_t count = 0;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        for (size_t s = 0; s < workers[i].count; s++)
            all[count++] = workers[i].took_ns[s];
    }
    double wall = (double)(clock_monotonic_ns() - began) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    if (!count)
        return 1;
    qsort(all, count, sizeof(*all), by_size);
    printf("{\"per_s\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.1f,\"count\":%zu}\n", (double)count / wall,
           (double)all[count / 2] / 1e3, (double)all[count * 99 / 100] / 1e3, cpu / (double)count, count);
    return 0;
}
