#include "session.h"
#include "common/fixed.h"

const char *lung_pointer(struct lung_session *session, const struct lung_nodule *nodule)
{
    return report_printf(&session->report, "/nodules/%u", nodule->index);
}

const char *lung_place(struct lung_session *session, const struct lung_nodule *nodule)
{
    const struct lung_config *config = &session->config;
    const int64_t *at = nodule->body.centre;
    int64_t midline = (config->bounds[0][0] + config->bounds[0][1]) / 2;
    int64_t height = config->bounds[2][1] - config->bounds[2][0], up = at[2] - config->bounds[2][0];
    const char *third = up * 3 >= height * 2 ? "upper" : up * 3 >= height ? "middle" : "lower";
    return report_printf(&session->report, "in the %s part of the %s chest", third,
                         at[0] >= midline ? "left" : "right");
}

const char *lung_size(struct lung_session *session, int mean, int volume)
{
    return volume == LUNG_UNKNOWN
               ? report_printf(&session->report, "%s mm", fixed_text(mean, 1, 1).text)
               : report_printf(&session->report, "%d mm³ (%s mm)", volume, fixed_text(mean, 1, 1).text);
}

const char *lung_look(struct lung_session *session, const struct lung_nodule *nodule)
{
    const char *how = nodule->reading.type == LUNG_GROUND_GLASS || nodule->reading.type == LUNG_PART_SOLID
                          ? "in the lung window, then in a narrow window for its solid part,"
                          : "in the lung window and on maximum intensity projections,";
    const int64_t *at = nodule->body.centre;
    return report_printf(&session->report, "Look %s %s, near L %s, P %s, S %s mm.", how,
                         lung_place(session, nodule), fixed_text(at[0], 3, 0).text,
                         fixed_text(at[1], 3, 0).text, fixed_text(at[2], 3, 0).text);
}

const char *lung_match_rule(struct lung_session *session)
{
    if (!session->config.by_distance)
        return "This case counts a mark inside the nodule as a hit; one mark per nodule, as many hits as "
               "possible.";
    return report_printf(&session->report,
                         "This case counts a mark inside the nodule, or within %s mm of its centre, as "
                         "a hit; one mark per nodule, as many hits as possible.",
                         fixed_text(session->config.distance, 3, 1).text);
}

const char *lung_outcome(struct lung_session *session, const struct lung_nodule *nodule)
{
    const char *detail = nodule->histology ? nodule->histology : nodule->follow_up;
    const char *what = nodule->malignant == 1   ? " It proved to be malignant"
                       : nodule->malignant == 0 ? " It proved to be benign"
                                                : NULL;
    if (!what)
        return "";
    return report_printf(&session->report, "%s%s%s%s.", what, detail ? " (" : "", detail ? detail : "",
                         detail ? ")" : "");
}
