/* A plugin for tests: the answer's "do" says how it behaves. {"do": "echo", "points": 1.5, "text": "..."} is
 * graded; the other words each break one rule. */
#include <fcntl.h>
#include <fenv.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <overread/plugin.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const overread_value *get(const overread_value *object, const char *name)
{
    for (uint32_t i = 0; object && object->type == OVERREAD_OBJECT && i < object->count; i++)
        if (strcmp(object->as.members[i].name, name) == 0)
            return &object->as.members[i].value;
    return NULL;
}

static const char *word(const overread_value *object, const char *name, const char *otherwise)
{
    const overread_value *value = get(object, name);

    return value && value->type == OVERREAD_STRING ? value->as.string : otherwise;
}

static double number(const overread_value *object, const char *name)
{
    const overread_value *value = get(object, name);

    return value && value->type == OVERREAD_NUMBER ? value->as.number : 0;
}

static enum overread_status echo(const overread_host *host, const overread_input *input,
                                 overread_grade *grade)
{
    overread_finding *finding = host->alloc(host->context, sizeof(*finding));
    overread_metric *metrics = host->alloc(host->context, 2 * sizeof(*metrics));

    if (!finding || !metrics)
        return OVERREAD_NO_MEMORY;
    finding->verdict = OVERREAD_HIT;
    finding->points_milli = (int32_t)(number(input->answer, "points") * 1000);
    finding->max_points_milli = 2000;
    finding->code = "echo";
    finding->text = word(input->answer, "text", word(input->config, "text", "An answer without a text."));
    finding->answer_pointer = get(input->answer, "text") ? "/text" : NULL;
    finding->rule = word(input->truth, "rule", "Trial, rule 1");
    metrics[0] =
        (overread_metric){.name = "points", .value_micro = finding->points_milli * 1000, .defined = 1};
    metrics[1] = (overread_metric){.name = "distance_mm", .reason = "nothing was marked"};
    grade->correct = finding->points_milli == 2000;
    grade->points_milli = finding->points_milli;
    grade->max_points_milli = 2000;
    grade->finding_count = 1;
    grade->metric_count = 2;
    grade->findings = finding;
    grade->metrics = metrics;
    return OVERREAD_OK;
}

static void eat(size_t size)
{
    char *volatile block = malloc(size);

    if (!block)
        abort();
    memset(block, 1, size);
}

/* What a worker sends, from a plugin that speaks for it. */
struct head {
    uint32_t magic, type;
    uint64_t id;
    uint32_t len, reserved;
};

static void say(uint32_t type, uint64_t id)
{
    const struct head head = {.magic = 0x4652564f, .type = type, .id = id};

    if (send(3, &head, sizeof(head), 0) < 0)
        abort();
}

/* A reply of its own to the first request of this worker: 2 of 2 points, correct, with that text. */
static void forge(const char *text)
{
    struct {
        struct head head;
        int64_t points_milli, max_points_milli;
        uint32_t status, correct, pointer_len, text_len;
        char text[1024];
    } frame = {.points_milli = 2000, .max_points_milli = 2000, .correct = 1, .text_len = (uint32_t)strlen(text)};
    const size_t len = offsetof(__typeof__(frame), text) + frame.text_len;

    if (frame.text_len > sizeof(frame.text))
        abort();
    memcpy(frame.text, text, frame.text_len);
    frame.head = (struct head){.magic = 0x4652564f, .type = 5, .id = 1, .len = (uint32_t)(len - sizeof(frame.head))};
    if (send(3, &frame, len, 0) < 0)
        abort();
}

static volatile int *volatile nowhere; /* NULL, which the compiler need not know */

static void misbehave(const char *what)
{
    if (strcmp(what, "crash") == 0)
        *nowhere = 1;
    else if (strcmp(what, "abort") == 0)
        abort();
    else if (strcmp(what, "sleep") == 0)
        poll(NULL, 0, -1);
    else if (strcmp(what, "file") == 0)
        (void)open("/etc/passwd", O_RDONLY);
    else if (strcmp(what, "socket") == 0)
        (void)socket(AF_INET, SOCK_STREAM, 0);
    else if (strcmp(what, "fork") == 0)
        (void)fork();
    else if (strcmp(what, "eat") == 0)
        eat((size_t)10 << 30);
    else if (strcmp(what, "chatter") == 0)
        for (int i = 0; i < 100; i++)
            say(6, 1);
    else if (strcmp(what, "failed") == 0)
        say(3, 0);
    else if (strcmp(what, "slow") == 0)
        poll(NULL, 0, 400);
    else if (strcmp(what, "exit") == 0)
        _exit(0);
    else if (strcmp(what, "spin") == 0)
        for (volatile int i = 0;; i++)
            ;
}

static enum overread_status nonsense(const char *what, const overread_host *host, overread_grade *grade)
{
    static const overread_finding good = {.verdict = OVERREAD_NOTE, .code = "echo", .text = "Text."};
    overread_finding *finding = host->alloc(host->context, sizeof(*finding));

    *finding = good;
    grade->finding_count = 1;
    grade->findings = finding;
    if (strcmp(what, "nonsense code") == 0)
        finding->code = "not_in_the_manifest";
    else if (strcmp(what, "nonsense verdict") == 0)
        finding->verdict = 77;
    else if (strcmp(what, "nonsense utf8") == 0)
        finding->text = "a\xc3";
    else if (strcmp(what, "nonsense pointer") == 0)
        finding->answer_pointer = "/lesions/7";
    else if (strcmp(what, "nonsense count") == 0)
        grade->finding_count = 4000000000u;
    else if (strcmp(what, "nonsense points") == 0)
        grade->points_milli = 1;
    return OVERREAD_OK;
}

static enum overread_status grade_answer(const overread_host *host, const overread_input *input,
                                         overread_grade *grade)
{
    const char *what = word(input->answer, "do", "echo");

    if (strcmp(what, "arena") == 0) {
        while (host->alloc(host->context, 1 << 20))
            ;
        return OVERREAD_NO_MEMORY;
    }
    if (strcmp(what, "bug") == 0)
        return OVERREAD_BUG;
    if (strcmp(what, "status") == 0)
        return (enum overread_status)99;
    if (strncmp(what, "nonsense", 8) == 0)
        return nonsense(what, host, grade);
    if (strcmp(what, "rounding") == 0)
        fesetround(FE_UPWARD);
    for (int i = 0; strcmp(what, "log") == 0 && i < 20; i++)
        host->log(host->context, "a line\nfor the operator");
    if (strcmp(what, "forge") == 0)
        forge(word(input->answer, "text", ""));
    misbehave(what);
    return echo(host, input, grade);
}

static enum overread_status check_truth(const overread_host *host, const overread_input *input,
                                        overread_problem *problem)
{
    (void)host;
    if (number(input->truth, "size") <= number(input->config, "largest"))
        return OVERREAD_OK;
    problem->pointer = "/size";
    problem->text = "The size is larger than the case allows.";
    return OVERREAD_REFUSED;
}

static enum overread_status check_answer(const overread_host *host, const overread_input *input,
                                         overread_problem *problem)
{
    (void)host;
    if (number(input->answer, "points") <= 2)
        return OVERREAD_OK;
    problem->pointer = "/points";
    problem->text = "There are at most 2 points.";
    return OVERREAD_REFUSED;
}

#ifndef TRIAL_MAJOR
#define TRIAL_MAJOR OVERREAD_ABI_MAJOR
#endif
#ifndef TRIAL_ID
#define TRIAL_ID "trial"
#endif

#ifdef TRIAL_CRASHES_AT_LOAD
__attribute__((constructor)) static void crash_at_load(void)
{
    abort();
}
#endif

#ifdef TRIAL_READS_AT_LOAD
__attribute__((constructor)) static void read_at_load(void)
{
    if (open("/etc/passwd", O_RDONLY) >= 0)
        abort();
}
#endif

#ifdef TRIAL_CONNECTS_AT_LOAD
__attribute__((constructor)) static void connect_at_load(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}
#endif

#ifdef TRIAL_DEAFENS_AT_LOAD
/* From here on, to set a filter is a call without effect that succeeds. */
__attribute__((constructor)) static void deafen(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    (void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
#endif

#ifdef TRIAL_SWAPS_AT_LOAD
/* Where the strict filter waits (grader_sandbox.c), memory is put that the plugin can write. */
__attribute__((constructor)) static void swap(void)
{
    char *const strict = (char *)0x10000;

#if TRIAL_SWAPS_AT_LOAD == 1
    mprotect(strict, 4096, PROT_READ | PROT_WRITE);
#elif TRIAL_SWAPS_AT_LOAD == 2
    munmap(strict, 4096);
#elif TRIAL_SWAPS_AT_LOAD == 3
    mmap(strict - 4096, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#else
    mremap(strict, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)0x20000000);
#endif
}
#endif

#ifdef TRIAL_STAYS_AT_LOAD
/* Never lets the worker get to its strict filter, and speaks in its place. */
__attribute__((constructor)) static void stay(void)
{
    say(2, 0);
    for (;;)
        poll(NULL, 0, -1);
}
#endif

const overread_plugin *overread_plugin_entry(void)
{
    static const overread_plugin plugin = {.magic = OVERREAD_ABI_MAGIC,
                                           .size = sizeof(plugin),
                                           .abi_major = TRIAL_MAJOR,
                                           .abi_minor = OVERREAD_ABI_MINOR,
                                           .rules_revision = 1,
                                           .id = TRIAL_ID,
                                           .version = "1.0.0",
                                           .check_truth = check_truth,
                                           .check_answer = check_answer,
                                           .grade = grade_answer};

    return &plugin;
}
