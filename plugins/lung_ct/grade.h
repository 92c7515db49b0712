/* (config, truth, answer) -> grade, and the checks that a schema cannot make. The functions of the plugin
 * ABI. */
#ifndef LUNG_CT_GRADE_H
#define LUNG_CT_GRADE_H

#include "overread/plugin.h"

enum overread_status lung_check_truth(const overread_host *host, const overread_input *input,
                                      overread_problem *problem);
enum overread_status lung_check_answer(const overread_host *host, const overread_input *input,
                                       overread_problem *problem);
enum overread_status lung_grade(const overread_host *host, const overread_input *input,
                                overread_grade *grade);

#endif
