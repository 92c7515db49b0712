#include "grade.h"

static const overread_plugin plugin = {
    .magic = OVERREAD_ABI_MAGIC,
    .size = sizeof(overread_plugin),
    .abi_major = OVERREAD_ABI_MAJOR,
    .abi_minor = OVERREAD_ABI_MINOR,
    .rules_revision = 3,
    .id = "prostate_mri",
    .version = "1.1.0",
    .check_truth = prostate_check_truth,
    .check_answer = prostate_check_answer,
    .grade = prostate_grade,
};

const overread_plugin *overread_plugin_entry(void)
{
    return &plugin;
}
