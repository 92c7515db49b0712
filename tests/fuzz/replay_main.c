/* Runs a harness over every file of the folders named on the command line. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include "fuzz.h"

enum { INPUT_MAX = 1 << 20, PATH_SIZE = 4096 };

static void replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "re");

    must(file != NULL);
    size_t len = fread(bytes, 1, sizeof(bytes), file);

    must(fclose(file) == 0);
    uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees its end */

    must(exact != NULL);
    memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static size_t replay_folder(const char *folder)
{
    char path[PATH_SIZE];
    const struct dirent *entry;
    size_t count = 0;
    DIR *dir = opendir(folder);

    if (!dir)
        return 0;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        replay(path);
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t count = replay_folder(argv[i]);

        if (count == 0) {
            fprintf(stderr, "%s holds nothing to replay\n", argv[i]);
            return 1;
        }
        printf("%zu of %s\n", count, argv[i]);
    }
    return argc > 1 ? 0 : 1;
}
