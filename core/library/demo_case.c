/* case.json and truth.json of a phantom. */
#include "library/demo.h"

static void add_numbers(struct buffer *b, const double *values, int count, int digits)
{
    buffer_puts(b, "[");
    for (int i = 0; i < count; i++) {
        buffer_puts(b, i ? ", " : "");
        demo_decimal(b, values[i], digits);
    }
    buffer_puts(b, "]");
}

/* --- case.json -------------------------------------------------------------------------------- */

/* The box about the outer corners of all T2W slices, as import computes it. */
static void image_bounds(const struct phantom *p, double ret[3][2])
{
    struct phantom_grid grid = phantom_grid(PHANTOM_T2W);
    double low = -0.5 * grid.spacing_mm, high = (grid.side - 0.5) * grid.spacing_mm;
    for (int corner = 0; corner < 8; corner++) {
        double first[3], along_row = corner & 1 ? high : low, along_column = corner & 2 ? high : low;
        phantom_position(p, PHANTOM_T2W, corner & 4 ? PHANTOM_SLICES - 1 : 0, first);
        for (int i = 0; i < 3; i++) {
            double at = first[i] + along_row * p->row[i] + along_column * p->column[i];
            if (corner == 0 || at < ret[i][0])
                ret[i][0] = at;
            if (corner == 0 || at > ret[i][1])
                ret[i][1] = at;
        }
    }
}

static void add_config(struct buffer *b, const struct phantom *p)
{
    double bounds[3][2];
    image_bounds(p, bounds);
    buffer_puts(b, "  \"config\": {\n    \"match\": {\"mode\": \"distance\", \"distance_mm\": 10},\n"
                   "    \"cspca_definition\": \"isup_ge_2\",\n    \"image\": {\"bounds_lps_mm\": [");
    for (int i = 0; i < 3; i++) {
        buffer_puts(b, i ? ", " : "");
        add_numbers(b, bounds[i], 2, 3);
    }
    buffer_puts(b, "]},\n    \"gland\": {\"centre\": ");
    add_numbers(b, p->gland.centre, 3, 1);
    buffer_puts(b, ", \"semi_axes\": ");
    add_numbers(b, p->gland.semi_axes, 3, 1);
    buffer_puts(b, ", \"margin_mm\": 10}\n  }");
}

static void add_clinical(struct buffer *b, const struct phantom *p)
{
    buffer_printf(b, "  \"clinical\": {\"age_years\": %d, \"psa_ng_ml\": ", p->age_years);
    demo_decimal(b, p->psa_ng_ml, 1);
    buffer_puts(b, ", \"prostate_volume_ml\": ");
    demo_decimal(b, p->volume_ml, 1);
    buffer_puts(b, ", \"psa_density_ng_ml2\": ");
    demo_decimal(b, p->psa_density, 2);
    buffer_puts(b, "},\n");
}

void demo_manifest(const struct phantom *p, struct buffer *b)
{
    buffer_printf(b,
                  "{\n  \"format\": \"overread-case/1\",\n  \"slug\": \"demo-prostate-%03d\",\n"
                  "  \"modality\": \"prostate_mri\",\n  \"plugin\": \"prostate_mri\",\n"
                  "  \"title\": \"Synthetic prostate phantom %03d\",\n",
                  p->number, p->number);
    add_clinical(b, p);
    buffer_printf(b, "  \"difficulty\": %d,\n  \"synthetic\": true,\n  \"truth_kind\": \"synthetic\",\n",
                  p->difficulty);
    buffer_printf(b,
                  "  \"provenance\": {\n    \"source\": \"Overread phantom generator\",\n"
                  "    \"citation\": \"\",\n    \"licence\": \"CC0-1.0\",\n"
                  "    \"attribution\": \"Synthetic: made by a program, no patient is behind it\"\n  },\n");
    buffer_puts(b,
                "  \"series\": [\n    {\"name\": \"T2W axial\", \"role\": \"t2w\", \"directory\": \"t2w\"},\n"
                "    {\"name\": \"ADC\", \"role\": \"adc\", \"directory\": \"adc\"},\n"
                "    {\"name\": \"DWI b1400\", \"role\": \"hbv\", \"directory\": \"hbv\"}\n  ],\n");
    add_config(b, p);
    buffer_puts(b, "\n}\n");
}

/* --- truth.json ------------------------------------------------------------------------------- */

static double longest_mm(const struct phantom_lesion *lesion)
{
    const double *semi = lesion->body.semi_axes;
    double longest = semi[0] > semi[1] ? semi[0] : semi[1];
    return 2 * (longest > semi[2] ? longest : semi[2]);
}

static double volume_ml(const struct phantom_lesion *lesion)
{
    const double *semi = lesion->body.semi_axes;
    return 4.0 / 3.0 * 3.14159265358979 * semi[0] * semi[1] * semi[2] / 1000.0;
}

static void add_lesion(struct buffer *b, const struct phantom_lesion *lesion, int number)
{
    buffer_printf(b, "\n      {\"id\": \"L%d\", \"centre\": ", number);
    add_numbers(b, lesion->body.centre, 3, 1);
    buffer_puts(b, ", \"semi_axes\": ");
    add_numbers(b, lesion->body.semi_axes, 3, 1);
    buffer_printf(b, ", \"zone\": \"%s\", \"sectors\": [\"%s\"],\n       \"isup\": %d, \"pirads\": %d, ",
                  lesion->zone == PHANTOM_PZ ? "PZ" : "TZ", lesion->sector, lesion->isup, lesion->pirads);
    buffer_printf(b, "\"scores\": {\"t2w\": %d, \"dwi\": %d, \"dce\": \"%s\"}, \"size_mm\": ", lesion->t2w,
                  lesion->dwi, lesion->dce ? "+" : "-");
    demo_decimal(b, longest_mm(lesion), 1);
    buffer_puts(b, ", \"volume_ml\": ");
    demo_decimal(b, volume_ml(lesion), 2);
    buffer_puts(b, ", \"epe\": false}");
}

static void add_truth(struct buffer *b, const struct phantom *p)
{
    int category = 1;
    buffer_printf(b, "  \"truth\": {\n    \"cspca\": %s,\n    \"lesions\": [", p->cspca ? "true" : "false");
    for (int i = 0; i < p->count; i++) {
        buffer_puts(b, i ? "," : "");
        add_lesion(b, &p->lesion[i], i + 1);
        if (p->lesion[i].pirads > category)
            category = p->lesion[i].pirads;
    }
    buffer_printf(b, "%s],\n    \"pirads\": %d, \"volume_ml\": ", p->count ? "\n    " : "", category);
    demo_decimal(b, p->volume_ml, 1);
    buffer_puts(b, ", \"psa_ng_ml\": ");
    demo_decimal(b, p->psa_ng_ml, 1);
    buffer_puts(b, ", \"psa_density\": ");
    demo_decimal(b, p->psa_density, 2);
    buffer_puts(b, "\n  },\n");
}

static void report_lesion(struct buffer *b, const struct phantom_lesion *lesion, int number)
{
    buffer_printf(b, " L%d: a finding of ", number);
    demo_decimal(b, longest_mm(lesion), 0);
    buffer_printf(b, " mm in the %s zone (%s); T2W %d, DWI %d, %s: PI-RADS %d.",
                  lesion->zone == PHANTOM_PZ ? "peripheral" : "transition", lesion->sector, lesion->t2w,
                  lesion->dwi, lesion->dce ? "early enhancement" : "no early enhancement", lesion->pirads);
    if (lesion->isup >= 2)
        buffer_printf(b, " It was made as clinically significant cancer, ISUP grade group %d.", lesion->isup);
    else if (lesion->isup == 1)
        buffer_puts(b, " It was made as cancer of ISUP grade group 1, which is not clinically significant.");
    else
        buffer_puts(b, " It was made as a benign finding.");
}

static void add_report(struct buffer *b, const struct phantom *p)
{
    buffer_puts(b, "  \"expert_report\": \"Synthetic phantom. Gland of ");
    demo_decimal(b, p->volume_ml, 1);
    buffer_puts(b, " ml, PSA density ");
    demo_decimal(b, p->psa_density, 2);
    buffer_puts(b, " ng/ml/ml.");
    for (int i = 0; i < p->count; i++)
        report_lesion(b, &p->lesion[i], i + 1);
    if (p->count == 0)
        buffer_puts(
            b,
            " No focal finding: PI-RADS 1. Brighter and darker nodules of the transition zone are normal.");
    buffer_puts(b, "\",\n");
}

void demo_truth(const struct phantom *p, struct buffer *b)
{
    buffer_puts(b, "{\n");
    add_truth(b, p);
    add_report(b, p);
    buffer_puts(b, "  \"histology\": ");
    for (int i = 0; i < p->count; i++)
        buffer_printf(b, "%s{\"id\": \"L%d\", \"isup\": %d}",
                      i ? ", " : "{\"kind\": \"synthetic\", \"lesions\": [", i + 1, p->lesion[i].isup);
    buffer_puts(b, p->count ? "]}\n}\n" : "null\n}\n");
}
