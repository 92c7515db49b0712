#include "grade.h"

static const overread_plugin plugin = {
    .magic = OVERREAD_ABI_MAGIC,
    .size = sizeof(overread_plugin),
    .abi_major = OVERREAD_ABI_MAJOR,
    .abi_minor = OVERREAD_ABI_MINOR,
    .rules_revision = 2,
    .id = "lung_ct",
    .version = "1.2.0",
    .check_truth = lung_check_truth,
    .check_answer = lung_check_answer,
    .grade = lung_grade,
};

const overread_plugin *overread_plugin_entry(void)
{
    return &plugin;
}
