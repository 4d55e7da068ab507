// A temporary folder for a test program, and files in it.
// Define _XOPEN_SOURCE as 700 before the first #include.
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <dirent.h>

static char files_folder[512];

// Make the folder; false, with the reason printed, if that fails.
static inline bool files_begin(void) {
    const char *parent = getenv("TMPDIR");
    snprintf(files_folder, sizeof files_folder, "%s/vkssm-XXXXXX", parent ? parent : P_tmpdir);
    if (mkdtemp(files_folder)) return true;
    perror(files_folder);
    return false;
}

// "FOLDER/name" in one of a few buffers that take turns.
static inline const char *files_path(const char *name) {
    static char paths[4][1024];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", files_folder, name);
    return path;
}

static inline bool files_write(const char *name, const void *data, size_t size) {
    FILE *file = fopen(files_path(name), "wb");
    if (!file) return false;
    bool ok = size == 0 || fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && ok;
}

// The whole file in exactly *size bytes of heap, so that the address sanitizer sees the first byte read beyond it.
static inline void *files_read(const char *name, size_t *size) {
    struct stat info;
    FILE *file = fopen(files_path(name), "rb");
    if (!file) return NULL;
    void *data = fstat(fileno(file), &info) == 0 ? malloc((size_t)info.st_size + (info.st_size == 0)) : NULL;
    *size = (size_t)info.st_size;
    if (data && fread(data, 1, *size, file) != *size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

// Remove the files of the folder; returns how many there were.
static inline int files_clear(void) {
    DIR *folder = opendir(files_folder);
    int n = 0;
    for (struct dirent *item; folder && (item = readdir(folder));)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            n += remove(files_path(item->d_name)) == 0;
    if (folder) closedir(folder);
    return n;
}

static inline void files_end(void) {
    files_clear();
    rmdir(files_folder);
}

#endif
