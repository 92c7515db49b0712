/* One slice of a phantom as MR Image Storage, in the words of dump2dcm. Nothing here knows the truth. */
#include "library/demo.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

static const struct {
    const char *directory, *description, *image_type, *sequence, *variant;
    int echo_ms, repetition_ms, window_centre, window_width;
} series_words[PHANTOM_SERIES] = {
    [PHANTOM_T2W] = {"t2w", "T2W axial (synthetic)", "ORIGINAL\\PRIMARY\\OTHER", "SE", "SK", 104, 4500, 450,
                     900},
    [PHANTOM_ADC] = {"adc", "ADC (synthetic)", "DERIVED\\PRIMARY\\OTHER\\ADC", "EP", "SK", 80, 3000, 1400,
                     2800},
    [PHANTOM_HBV] = {"hbv", "DWI b1400 (synthetic)", "DERIVED\\PRIMARY\\OTHER\\CALC_BVALUE", "EP", "SK", 80,
                     3000, 120, 240},
};

const char *demo_directory(enum phantom_series series)
{
    return series_words[series].directory;
}

/* A UUID (RFC 9562, version 8: by hash) written as the decimal number under 2.25, as PS3.5 B.2 has it. `what`
 * tells the objects of one case apart. */
static void add_uid(struct buffer *b, const char *tag, const struct phantom *p, const char *what)
{
    char name[128], digits[40];
    uint8_t hash[SHA256_SIZE];
    snprintf(name, sizeof(name), "overread phantom %llu %d %s", (unsigned long long)p->seed, p->number, what);
    crypto_sha256(name, strlen(name), hash);
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    for (bool more = true; more;) { /* long division of 16 bytes by ten */
        unsigned rest = 0;
        more = false;
        for (int i = 0; i < 16; i++) {
            unsigned value = rest << 8 | hash[i];
            hash[i] = (uint8_t)(value / 10);
            rest = value % 10;
            more |= hash[i] != 0;
        }
        digits[--at] = (char)('0' + rest);
    }
    buffer_printf(b, "(%s) UI [2.25.%s]\n", tag, digits + at);
}

static void add_place(struct buffer *b, const struct phantom *p, enum phantom_series series, int slice)
{
    double first[3];
    phantom_position(p, series, slice, first);
    buffer_puts(b, "(0020,0032) DS [");
    for (int i = 0; i < 3; i++) {
        buffer_puts(b, i ? "\\" : "");
        demo_decimal(b, first[i], 4);
    }
    buffer_puts(b, "]\n(0020,0037) DS [");
    for (int i = 0; i < 6; i++) {
        buffer_puts(b, i ? "\\" : "");
        demo_decimal(b, i < 3 ? p->row[i] : p->column[i - 3], 3);
    }
    buffer_puts(b, "]\n");
}

static void add_patient(struct buffer *b, const struct phantom *p)
{
    buffer_printf(b, "(0010,0010) PN [SYNTHETIC^PHANTOM %03d]\n(0010,0020) LO [SYN-%03d]\n", p->number,
                  p->number);
    buffer_puts(b, "(0010,0030) DA (no value available)\n(0010,0040) CS [M]\n");
    buffer_printf(b, "(0010,1010) AS [%03dY]\n", p->age_years);
    buffer_puts(b, "(0012,0062) CS [YES]\n(0012,0063) LO [Synthetic phantom, no patient]\n");
}

static void add_acquisition(struct buffer *b, enum phantom_series series)
{
    buffer_printf(b, "(0018,0015) CS [PROSTATE]\n(0018,0020) CS [%s]\n(0018,0021) CS [%s]\n",
                  series_words[series].sequence, series_words[series].variant);
    buffer_puts(b, "(0018,0022) CS (no value available)\n(0018,0023) CS [2D]\n");
    buffer_printf(
        b, "(0018,0050) DS [%.1f]\n(0018,0080) DS [%d]\n(0018,0081) DS [%d]\n(0018,0088) DS [%.1f]\n",
        PHANTOM_SLICE_MM, series_words[series].repetition_ms, series_words[series].echo_ms, PHANTOM_SLICE_MM);
    buffer_puts(b, "(0018,0091) IS [1]\n(0018,5100) CS [HFS]\n");
    if (series == PHANTOM_HBV)
        buffer_puts(b, "(0018,9087) FD 1400\n");
}

static void add_pixels(struct buffer *b, enum phantom_series series, const char *pixels)
{
    struct phantom_grid grid = phantom_grid(series);
    buffer_puts(b, "(0028,0002) US 1\n(0028,0004) CS [MONOCHROME2]\n");
    buffer_printf(b, "(0028,0010) US %d\n(0028,0011) US %d\n(0028,0030) DS [%.1f\\%.1f]\n", grid.side,
                  grid.side, grid.spacing_mm, grid.spacing_mm);
    buffer_puts(
        b,
        "(0028,0100) US 16\n(0028,0101) US 12\n(0028,0102) US 11\n(0028,0103) US 0\n(0028,0301) CS [NO]\n");
    buffer_printf(b, "(0028,1050) DS [%d]\n(0028,1051) DS [%d]\n", series_words[series].window_centre,
                  series_words[series].window_width);
    if (series == PHANTOM_ADC) /* stored values are 10^-6 mm^2/s */
        buffer_puts(b, "(0028,1052) DS [0]\n(0028,1053) DS [1]\n(0028,1054) LO [US]\n");
    buffer_printf(b, "(7fe0,0010) OW =%s\n", pixels);
}

void demo_dump(const struct phantom *p, enum phantom_series series, int slice, const char *pixels,
               struct buffer *b)
{
    char what[64];
    buffer_puts(b, "(0008,0005) CS [ISO_IR 192]\n");
    buffer_printf(b, "(0008,0008) CS [%s]\n(0008,0016) UI =MRImageStorage\n",
                  series_words[series].image_type);
    snprintf(what, sizeof(what), "%s slice %d", demo_directory(series), slice);
    add_uid(b, "0008,0018", p, what);
    buffer_puts(b, "(0008,0020) DA (no value available)\n(0008,0030) TM (no value available)\n"
                   "(0008,0050) SH (no value available)\n(0008,0060) CS [MR]\n(0008,0070) LO [Overread]\n"
                   "(0008,0090) PN (no value available)\n(0008,1030) LO [Synthetic prostate phantom]\n");
    buffer_printf(b, "(0008,103e) LO [%s]\n(0008,1090) LO [Phantom generator]\n",
                  series_words[series].description);
    add_patient(b, p);
    add_acquisition(b, series);
    add_uid(b, "0020,000d", p, "study");
    add_uid(b, "0020,000e", p, demo_directory(series));
    buffer_printf(b, "(0020,0010) SH [SYN-%03d]\n(0020,0011) IS [%d]\n(0020,0013) IS [%d]\n", p->number,
                  (int)series + 1, slice + 1);
    add_place(b, p, series, slice);
    add_uid(b, "0020,0052", p, "frame of reference");
    buffer_puts(b,
                "(0020,1040) LO (no value available)\n(0020,4000) LT [SYNTHETIC PHANTOM - NOT A PATIENT]\n");
    add_pixels(b, series, pixels);
}
