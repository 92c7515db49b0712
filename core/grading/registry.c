#include "grading/registry.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "grading/plugin_folder.h"
#include "grading/probe.h"

struct snapshot {
    atomic_uint holders;
    int count;
    const struct grading_plugin *plugins[]; /* each held */
};

static struct {
    pthread_mutex_t lock; /* of current and listeners; never kept while anything is read */
    struct snapshot *current;
    struct registry_listener *listeners;
    pthread_mutex_t loading; /* one load at a time; of what follows */
    char *dir, *grader, *keys;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER, .loading = PTHREAD_MUTEX_INITIALIZER};

const struct registered *registry_of(const struct grading_plugin *plugin)
{
    return (const struct registered *)plugin;
}

const char *registry_grader(void)
{
    return registry.grader ? registry.grader : "";
}

/* --- Holding
 * ---------------------------------------------------------------------------------------------------- */

/* Only the count of a registered plugin ever changes. */
static struct registered *countable(const struct registered *plugin)
{
    return (struct registered *)(uintptr_t)plugin;
}

const struct registered *registry_hold(const struct registered *plugin)
{
    atomic_fetch_add(&countable(plugin)->holders, 1);
    return plugin;
}

void registry_release(const struct registered *plugin)
{
    if (atomic_fetch_sub(&countable(plugin)->holders, 1) == 1)
        arena_destroy(plugin->arena);
}

static struct snapshot *hold_current(void)
{
    pthread_mutex_lock(&registry.lock);
    struct snapshot *snapshot = registry.current;

    if (snapshot)
        atomic_fetch_add(&snapshot->holders, 1);
    pthread_mutex_unlock(&registry.lock);
    return snapshot;
}

static void release_snapshot(void *arg)
{
    struct snapshot *snapshot = arg;

    if (!snapshot || atomic_fetch_sub(&snapshot->holders, 1) != 1)
        return;
    for (int i = 0; i < snapshot->count; i++)
        registry_release(registry_of(snapshot->plugins[i]));
    mem_free(snapshot);
}

static const struct registered *find(const struct snapshot *snapshot, const char *id)
{
    for (int i = 0; snapshot && i < snapshot->count; i++)
        if (strcmp(snapshot->plugins[i]->id, id) == 0)
            return registry_of(snapshot->plugins[i]);
    return NULL;
}

bool registry_is_current(const struct registered *plugin)
{
    pthread_mutex_lock(&registry.lock);
    bool current = find(registry.current, plugin->face.id) == plugin;

    pthread_mutex_unlock(&registry.lock);
    return current;
}

static void release_plugin(void *arg)
{
    registry_release(arg);
}

const struct grading_plugin *grading_plugin(struct arena *arena, const char *id)
{
    pthread_mutex_lock(&registry.lock);
    const struct registered *plugin = find(registry.current, id);

    if (plugin)
        registry_hold(plugin);
    pthread_mutex_unlock(&registry.lock);
    if (!plugin)
        return NULL;
    arena_defer(arena, release_plugin, countable(plugin));
    return &plugin->face;
}

bool grading_plugin_known(const char *id)
{
    pthread_mutex_lock(&registry.lock);
    bool known = find(registry.current, id) != NULL;

    pthread_mutex_unlock(&registry.lock);
    return known;
}

int grading_plugins(struct arena *arena, const struct grading_plugin *const **ret)
{
    struct snapshot *snapshot = hold_current();

    *ret = snapshot ? snapshot->plugins : NULL;
    if (!snapshot)
        return 0;
    arena_defer(arena, release_snapshot, snapshot);
    return snapshot->count;
}

/* --- Telling the loops
 * ------------------------------------------------------------------------------------------ */

void registry_listen(struct registry_listener *listener)
{
    pthread_mutex_lock(&registry.lock);
    listener->next = registry.listeners;
    listener->link = &registry.listeners;
    if (listener->next)
        listener->next->link = &listener->next;
    registry.listeners = listener;
    pthread_mutex_unlock(&registry.lock);
}

void registry_unlisten(struct registry_listener *listener)
{
    pthread_mutex_lock(&registry.lock);
    if (listener->link) {
        *listener->link = listener->next;
        if (listener->next)
            listener->next->link = listener->link;
        listener->link = NULL;
    }
    pthread_mutex_unlock(&registry.lock);
}

/* Posted within the lock: a listener's loop lives at least until it has unlistened. */
static void replace_current(struct snapshot *snapshot)
{
    pthread_mutex_lock(&registry.lock);
    struct snapshot *before = registry.current;

    registry.current = snapshot;
    for (struct registry_listener *l = registry.listeners; l; l = l->next)
        loop_post(l->loop, l->changed, NULL);
    pthread_mutex_unlock(&registry.lock);
    release_snapshot(before);
}

/* --- Loading
 * ---------------------------------------------------------------------------------------------------- */

struct load {
    const struct signature_keys *keys; /* NULL: signatures are not asked for */
    const struct snapshot *before;     /* NULL: everything is new */
    bool probe;
    int changed;
};

static void log_plugin(enum log_level level, const char *event, const struct grading_plugin *plugin, const char *why)
{
    if (why)
        log_line(level, event, "plugin", plugin->id, "version", plugin->version, "why", why, NULL);
    else
        log_line(level, event, "plugin", plugin->id, "version", plugin->version, "sha256", plugin->sha256, "signed_by",
                 plugin->signed_by, NULL);
}

static bool same(const struct registered *a, const struct registered *b)
{
    const struct grading_plugin *x = &a->face, *y = &b->face;

    if (x->broken || y->broken)
        return x->broken && y->broken && strcmp(x->broken, y->broken) == 0;
    return strcmp(x->sha256, y->sha256) == 0 && strcmp(a->manifest_sha256, b->manifest_sha256) == 0 &&
           strcmp(x->signed_by, y->signed_by) == 0;
}

/* A broken successor does not drive out what works; a key that is trusted no longer does. */
static bool still_good(const struct load *load, const struct registered *before)
{
    return before && !before->face.broken && (!load->keys || signature_keys_have(load->keys, before->face.signed_by));
}

/* What of <id> goes into the next snapshot, held for it. */
static const struct registered *choose(struct load *load, const char *id)
{
    const struct registered *before = find(load->before, id);
    struct registered *now = plugin_folder_read(registry.dir, id, load->keys);
    char why[256];

    if (before && same(before, now)) {
        registry_release(now);
        return registry_hold(before);
    }
    if (load->probe && !now->face.broken && probe_worker(now, why, sizeof(why)) < 0)
        plugin_folder_break(now, why);
    if (now->face.broken && still_good(load, before)) {
        log_plugin(LOG_LEVEL_ERROR, "plugin_kept", &before->face, now->face.broken);
        registry_release(now);
        return registry_hold(before);
    }
    load->changed++;
    if (now->face.broken)
        log_plugin(LOG_LEVEL_ERROR, "plugin_broken", &now->face, now->face.broken);
    else if (load->before)
        log_plugin(LOG_LEVEL_INFO, "plugin_changed", &now->face, NULL);
    return now;
}

static void note_removed(struct load *load, const struct snapshot *next)
{
    for (int i = 0; load->before && i < load->before->count; i++)
        if (!find(next, load->before->plugins[i]->id)) {
            log_plugin(LOG_LEVEL_WARNING, "plugin_removed", load->before->plugins[i], NULL);
            load->changed++;
        }
}

static struct snapshot *read_all(struct load *load, struct error *err)
{
    struct arena *arena = arena_create();
    const char *const *names;
    struct snapshot *next = NULL;
    int count = plugin_folder_names(arena, registry.dir, &names);

    if (count < 0) {
        error_set(err, ERROR_INTERNAL, "plugin_dir", "plugin_dir", "The plugin directory %s cannot be read: %s.",
                  registry.dir, strerrordesc_np(-count));
    } else {
        next = mem_alloc(sizeof(*next) + (size_t)count * sizeof(next->plugins[0]));
        atomic_init(&next->holders, 1);
        for (; next->count < count; next->count++)
            next->plugins[next->count] = &choose(load, names[next->count])->face;
        note_removed(load, next);
    }
    arena_destroy(arena);
    return next;
}

/* The keys are read again each time: a key can be added, or withdrawn, as a plugin can. */
static int load_all(struct load *load, struct error *err)
{
    struct signature_keys *keys = NULL;

    if (registry.keys[0]) {
        keys = signature_keys_load(registry.keys, err);
        if (!keys)
            return -1;
    }
    load->keys = keys;
    struct snapshot *next = read_all(load, err);

    signature_keys_destroy(keys);
    if (!next)
        return -1;
    replace_current(next);
    return 0;
}

static void replace_string(char **slot, const char *value)
{
    mem_free(*slot);
    *slot = value ? mem_strdup(value) : NULL;
}

int grading_registry_load(const struct grading_source *source, struct error *err)
{
    struct load load = {.probe = source->probe};
    const char *keys = source->plugin_keys ? source->plugin_keys : "";

    if (!keys[0] && !source->allow_unsigned)
        return error_set(err, ERROR_INVALID, "plugins_unsigned", "plugin_keys",
                         "plugin_keys names no file of trusted keys. Set it, or allow_unsigned_plugins = on where "
                         "whoever can write to plugin_dir may be trusted to grade.");
    pthread_mutex_lock(&registry.loading);
    replace_string(&registry.dir, source->dir);
    replace_string(&registry.grader, source->grader ? source->grader : "");
    replace_string(&registry.keys, keys);
    int r = load_all(&load, err);

    pthread_mutex_unlock(&registry.loading);
    return r;
}

int grading_registry_reload(struct error *err)
{
    char changed[16];

    pthread_mutex_lock(&registry.loading);
    struct snapshot *before = hold_current();
    struct load load = {.before = before, .probe = true};
    int r = before ? load_all(&load, err) : error_set(err, ERROR_INTERNAL, "no_registry", NULL, "Nothing was loaded.");

    release_snapshot(before);
    pthread_mutex_unlock(&registry.loading);
    snprintf(changed, sizeof(changed), "%d", load.changed);
    if (r == 0)
        log_line(LOG_LEVEL_INFO, "plugins_reloaded", "#changed", changed, NULL);
    return r;
}

void grading_registry_unload(void)
{
    pthread_mutex_lock(&registry.loading);
    replace_current(NULL);
    replace_string(&registry.dir, NULL);
    replace_string(&registry.grader, NULL);
    replace_string(&registry.keys, NULL);
    pthread_mutex_unlock(&registry.loading);
}

int grading_validate(const struct grading_plugin *plugin, enum grading_schema which, const json_t *instance,
                     const char *prefix, struct error *err)
{
    const struct schema *schema = plugin->broken ? NULL : registry_of(plugin)->manifest.schemas[which];

    if (!schema)
        return error_set(err, ERROR_UNAVAILABLE, "grader_broken", NULL,
                         "The grading plugin of this modality cannot be used at the moment.");
    return schema_validate(schema, instance, prefix, err);
}
