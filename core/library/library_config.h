/* Between import.c and library_http.c; not for other rooms. */
#ifndef OVERREAD_LIBRARY_CONFIG_H
#define OVERREAD_LIBRARY_CONFIG_H

#include "base/config.h"

const struct config *library_config(void);

#endif
