#include "grading/conformance.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The library's file, and its dynamic symbols. */
struct symbols {
    const char *bytes;
    size_t len;
    const Elf64_Sym *table;
    size_t count;
    const char *names;
    size_t names_len;
};

static const void *part(const struct symbols *s, uint64_t offset, uint64_t len)
{
    return offset <= s->len && len <= s->len - offset ? s->bytes + offset : NULL;
}

static bool find_symbols(struct symbols *s)
{
    const Elf64_Ehdr *head = part(s, 0, sizeof(*head));

    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
        head->e_shentsize != sizeof(Elf64_Shdr))
        return false;
    const Elf64_Shdr *sections = part(s, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections));

    for (size_t i = 0; sections && i < head->e_shnum; i++) {
        if (sections[i].sh_type != SHT_DYNSYM || sections[i].sh_link >= head->e_shnum)
            continue;
        const Elf64_Shdr *names = &sections[sections[i].sh_link];

        s->table = part(s, sections[i].sh_offset, sections[i].sh_size);
        s->count = sections[i].sh_size / sizeof(*s->table);
        s->names = part(s, names->sh_offset, names->sh_size);
        s->names_len = names->sh_size;
        return s->table && s->names && s->names_len > 0 && s->names[s->names_len - 1] == '\0';
    }
    return false;
}

static bool open_symbols(struct conformance *c, struct symbols *s)
{
    struct stat st;
    int fd = open(c->library, O_RDONLY | O_CLOEXEC);

    *s = (struct symbols){0};
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0) {
        conformance_fail(c, "the library cannot be read: %s", strerrordesc_np(errno));
        return false;
    }
    s->len = (size_t)st.st_size;
    s->bytes = mmap(NULL, s->len, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (s->bytes == MAP_FAILED || !find_symbols(s)) {
        conformance_fail(c, "it is not a shared library for this machine (64-bit ELF with dynamic symbols)");
        return false;
    }
    return true;
}

static const char *name_of(const struct symbols *s, size_t i)
{
    return s->table[i].st_name < s->names_len ? s->names + s->table[i].st_name : "";
}

static bool is_linkers_own(const char *name)
{
    static const char *const own[] = {"_init", "_fini", "_edata", "_end", "__bss_start"};

    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return strncmp(name, "__asan_", 7) == 0 || strncmp(name, "__odr_asan", 10) == 0;
}

void conformance_exports(struct conformance *c)
{
    struct symbols s;
    bool entry = false;

    if (!open_symbols(c, &s))
        return;
    for (size_t i = 0; i < s.count; i++) {
        const char *name = name_of(&s, i);
        bool defined = s.table[i].st_shndx != SHN_UNDEF,
             local = ELF64_ST_BIND(s.table[i].st_info) == STB_LOCAL;

        if (!defined || local || is_linkers_own(name))
            continue;
        if (strcmp(name, OVERREAD_PLUGIN_ENTRY) == 0)
            entry = true;
        else
            conformance_fail(c, "it exports \"%s\": build with -fvisibility=hidden, and mark the entry only",
                             name);
    }
    if (!entry)
        conformance_fail(c, "it does not export " OVERREAD_PLUGIN_ENTRY);
}

/* What a function of its input alone has no use for. The sandbox would end the worker at most of these, at
 * the first answer that leads there; here the author hears of it at once. */
void conformance_imports(struct conformance *c)
{
    static const char *const impure[] = {
        "time",      "clock",  "clock_gettime", "gettimeofday",   "localtime",   "gmtime",
        "strftime",  "rand",   "random",        "drand48",        "getrandom",   "getenv",
        "setlocale", "fopen",  "open",          "openat",         "socket",      "connect",
        "fork",      "execve", "posix_spawn",   "pthread_create", "thrd_create", "exit",
        "_exit",     "signal", "sigaction",     "fesetround",     "printf",      "puts",
        "putchar",   "dlopen", "sleep",         "nanosleep",      "getpid",
    };
    struct symbols s;

    if (!open_symbols(c, &s))
        return;
    for (size_t i = 0; i < s.count; i++)
        for (size_t k = 0; s.table[i].st_shndx == SHN_UNDEF && k < sizeof(impure) / sizeof(*impure); k++)
            if (strcmp(name_of(&s, i), impure[k]) == 0)
                conformance_fail(c, "it uses %s(): a plugin is a function of config, truth and answer only",
                                 impure[k]);
}

bool conformance_sanitized(struct conformance *c)
{
    struct symbols s;
    bool found = false;

    if (!open_symbols(c, &s))
        return false;
    for (size_t i = 0; i < s.count; i++)
        found |= strcmp(name_of(&s, i), "__asan_init") == 0 || strncmp(name_of(&s, i), "__ubsan_", 8) == 0;
    munmap((void *)(uintptr_t)s.bytes, s.len);
    return found;
}

static bool same_head(const overread_plugin *a, const overread_plugin *b)
{
    return a->magic == b->magic && a->size == b->size && a->abi_major == b->abi_major &&
           a->abi_minor == b->abi_minor && a->rules_revision == b->rules_revision && a->id == b->id &&
           a->version == b->version && a->grade == b->grade && a->check_truth == b->check_truth &&
           a->check_answer == b->check_answer;
}

/* The host's own judgement, which names the member that is wrong; and the head must stay as it is. */
void conformance_head(struct conformance *c)
{
    if (!conformance_load(c))
        return;
    overread_plugin before = *c->plugin;

    if (c->case_count > 0 && !conformance_grade_all(c, c->plugin))
        return;
    if (!same_head(&before, c->plugin))
        conformance_fail(c, "the plugin's head changed while it graded: make it const");
}

/* The plugin with one member changed must be refused: what protects a server from another ABI works for this
 * one. */
void conformance_abi(struct conformance *c)
{
    if (!conformance_load(c))
        return;
    overread_plugin changed[6];
    static const char *const what[] = {"magic", "size", "abi_major", "abi_minor", "id", "rules_revision"};

    for (size_t i = 0; i < 6; i++)
        changed[i] = *c->plugin;
    changed[0].magic ^= 1;
    changed[1].size = sizeof(overread_plugin) - 1;
    changed[2].abi_major = OVERREAD_ABI_MAJOR + 1;
    changed[3].abi_minor = OVERREAD_ABI_MINOR + 1;
    changed[4].id = "another_plugin_altogether";
    changed[5].rules_revision++;
    for (size_t i = 0; i < 6; i++)
        if (!host_objection(c->host, &changed[i]))
            conformance_fail(c, "the host takes it with another %s", what[i]);
}
