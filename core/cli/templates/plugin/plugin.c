/* @NAME@: a grading plugin for Overread. It is a pure function of config, truth and answer: no clock, no files, no
 * state between calls. All decisions are made on integers, so that no rounding can change a grade. */
#include <overread/plugin.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct point {
    bool given;
    int64_t x, y;
};

struct read {
    bool abnormal;
    struct point at;
};

/* A member's value, or NULL. */
static const overread_value *member(const overread_value *object, const char *name)
{
    for (uint32_t i = 0; object->type == OVERREAD_OBJECT && i < object->count; i++)
        if (strcmp(object->as.members[i].name, name) == 0)
            return &object->as.members[i].value;
    return NULL;
}

/* The schema says "integer", so that the conversion is exact. */
static int64_t integer(const overread_value *value)
{
    return value && value->type == OVERREAD_NUMBER ? (int64_t)value->as.number : 0;
}

/* Truth and answer have the same form here but for the name of the position. */
static struct read read_of(const overread_value *object, const char *position)
{
    const overread_value *abnormal = member(object, "abnormal"), *at = member(object, position);
    struct read ret = {.abnormal = abnormal && abnormal->type == OVERREAD_BOOLEAN && abnormal->as.boolean};

    if (at && at->type == OVERREAD_ARRAY && at->count == 2)
        ret.at = (struct point){true, integer(&at->as.items[0]), integer(&at->as.items[1])};
    return ret;
}

static bool inside(const struct point *at, const overread_value *config)
{
    return at->x < integer(member(config, "width")) && at->y < integer(member(config, "height"));
}

static enum overread_status refuse(overread_problem *problem, const char *pointer, const char *text)
{
    problem->pointer = pointer;
    problem->text = text;
    return OVERREAD_REFUSED;
}

/* What the schema cannot say. */
static enum overread_status check_truth(const overread_host *host, const overread_input *input,
                                        overread_problem *problem)
{
    struct read truth = read_of(input->truth, "centre");

    (void)host;
    if (truth.abnormal && !truth.at.given)
        return refuse(problem, "/centre", "An abnormal image needs the centre of its abnormality.");
    if (!truth.abnormal && truth.at.given)
        return refuse(problem, "/centre", "A normal image has no centre of an abnormality.");
    if (truth.at.given && !inside(&truth.at, input->config))
        return refuse(problem, "/centre", "The centre lies outside the image.");
    return OVERREAD_OK;
}

static enum overread_status check_answer(const overread_host *host, const overread_input *input,
                                         overread_problem *problem)
{
    struct read answer = read_of(input->answer, "mark");

    (void)host;
    if (answer.at.given && !inside(&answer.at, input->config))
        return refuse(problem, "/mark", "The mark lies outside the image.");
    return OVERREAD_OK;
}

static void decide(overread_finding *finding, const struct read *truth, const struct read *answer)
{
    bool right = truth->abnormal == answer->abnormal;

    finding->verdict = right ? OVERREAD_HIT : OVERREAD_MISS;
    finding->code = right ? "decision_right" : "decision_wrong";
    finding->points_milli = right ? 1000 : 0;
    finding->max_points_milli = 1000;
    finding->answer_pointer = "/abnormal";
    finding->truth_pointer = "/abnormal";
    finding->text = right             ? "Your decision is right."
                    : truth->abnormal ? "You called the image normal; it is abnormal."
                                      : "You called the image abnormal; it is normal.";
    finding->rule = "One point for the right decision.";
}

/* Text with a number in it lives in the host's arena. %d only: printing a double depends on the locale. */
static const char *distance_text(const overread_host *host, int distance, int tolerance)
{
    const size_t size = 120;
    char *text = host->alloc(host->context, size);

    if (text)
        (void)snprintf(text, size, "Your mark lies %d pixels from the centre; up to %d count as found.", distance,
                       tolerance);
    return text;
}

/* The largest d with d * d <= square. */
static int distance_of(const struct point *a, const struct point *b)
{
    int64_t square = (a->x - b->x) * (a->x - b->x) + (a->y - b->y) * (a->y - b->y), low = 0, high = 200000;

    while (low < high) {
        int64_t middle = (low + high + 1) / 2;

        if (middle * middle <= square)
            low = middle;
        else
            high = middle - 1;
    }
    return (int)low;
}

static enum overread_status locate(const overread_host *host, const overread_input *input, overread_finding *finding,
                                   overread_metric *metric, const struct read *truth, const struct read *answer)
{
    int tolerance = (int)integer(member(input->config, "tolerance")), distance;

    finding->max_points_milli = 1000;
    finding->truth_pointer = "/centre";
    finding->rule = "One point for a mark within the case's tolerance of the abnormality's centre.";
    finding->look_again = "The abnormality's centre, as the truth gives it.";
    metric->reason = NULL;
    if (!answer->at.given) {
        finding->verdict = OVERREAD_MISS;
        finding->code = "missed";
        finding->text = "You did not mark the abnormality.";
        metric->reason = "nothing was marked";
        return OVERREAD_OK;
    }
    distance = distance_of(&truth->at, &answer->at);
    finding->verdict = distance <= tolerance ? OVERREAD_HIT : OVERREAD_MISS;
    finding->code = distance <= tolerance ? "found" : "missed";
    finding->points_milli = distance <= tolerance ? 1000 : 0;
    finding->answer_pointer = "/mark";
    if (distance <= tolerance)
        finding->look_again = NULL;
    finding->text = distance_text(host, distance, tolerance);
    metric->defined = 1;
    metric->value_micro = (int64_t)distance * 1000000;
    return finding->text ? OVERREAD_OK : OVERREAD_NO_MEMORY;
}

static void mark_on_nothing(overread_finding *finding)
{
    finding->verdict = OVERREAD_FALSE_POSITIVE;
    finding->code = "mark_on_nothing";
    finding->answer_pointer = "/mark";
    finding->text = "You marked a place in a normal image.";
    finding->rule = "A mark in a normal image earns nothing.";
}

/* What statistics over many reads take: see reader_statistics in the manifest. */
static void count(overread_metric *metric, const char *name, int value)
{
    metric->name = name;
    metric->defined = 1;
    metric->value_micro = (int64_t)value * 1000000;
}

static enum overread_status grade(const overread_host *host, const overread_input *input, overread_grade *ret)
{
    struct read truth = read_of(input->truth, "centre"), answer = read_of(input->answer, "mark");
    overread_finding *findings = host->alloc(host->context, 2 * sizeof(*findings)); /* zeroed */
    overread_metric *metrics = host->alloc(host->context, 3 * sizeof(*metrics));
    enum overread_status status = OVERREAD_OK;

    if (!findings || !metrics)
        return OVERREAD_NO_MEMORY;
    metrics[0].name = "distance_px";
    metrics[0].reason = "the image is normal";
    count(&metrics[1], "abnormal", truth.abnormal);
    count(&metrics[2], "suspicion", answer.abnormal ? 2 : 1);
    decide(&findings[ret->finding_count++], &truth, &answer);
    if (truth.at.given) {
        status = locate(host, input, &findings[ret->finding_count++], &metrics[0], &truth, &answer);
    } else if (answer.at.given) {
        mark_on_nothing(&findings[ret->finding_count++]);
    }
    for (uint32_t i = 0; i < ret->finding_count; i++) {
        ret->points_milli += findings[i].points_milli;
        ret->max_points_milli += findings[i].max_points_milli;
    }
    ret->correct = ret->points_milli == ret->max_points_milli;
    ret->findings = findings;
    ret->metrics = metrics;
    ret->metric_count = 3;
    return status;
}

const overread_plugin *overread_plugin_entry(void)
{
    static const overread_plugin plugin = {
        .magic = OVERREAD_ABI_MAGIC,
        .size = sizeof(overread_plugin),
        .abi_major = OVERREAD_ABI_MAJOR,
        .abi_minor = OVERREAD_ABI_MINOR,
        .rules_revision = 1, /* these three as in manifest.json */
        .id = "@NAME@",
        .version = "0.1.0",
        .check_truth = check_truth,
        .check_answer = check_answer,
        .grade = grade,
    };

    return &plugin;
}
