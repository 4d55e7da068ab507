// Files read whole through a mapping, and files that appear whole or not at all.
#ifndef VKS_FILE_H
#define VKS_FILE_H

#include <stdio.h>

#include "status.h"

typedef struct vks_file_map {
    const uint8_t *data; // NULL if size is 0
    uint64_t size;
    void *handle; // private
} vks_file_map;

// Map `path` read-only. Errors: ERR_IO (names the file and the system's reason; folders are refused too).
vkssm_status vks_file_map_open(const char *path, const vkssm_log *log, vks_file_map *out);
void vks_file_map_close(vks_file_map *map); // zeroed map: fine

bool vks_path_is_folder(const char *path);
bool vks_path_exists(const char *path);
// "folder/name", allocated with vks_alloc; NULL when out of memory. A trailing slash of `folder` is not doubled.
char *vks_path_join(const char *folder, const char *name);
// The folder of `path` ("." if it names none), allocated.
char *vks_path_folder(const char *path);

// A file under construction beside `path`. Either commit or abort ends it; after an error call abort.
typedef struct vks_file_write {
    FILE *stream;
    char *path, *temporary_path;
    const vkssm_log *log;
} vks_file_write;
vkssm_status vks_file_write_begin(const char *path, const vkssm_log *log, vks_file_write *out);
vkssm_status vks_file_write_bytes(vks_file_write *file, const void *data, uint64_t size);
vkssm_status vks_file_write_commit(vks_file_write *file);
void vks_file_write_abort(vks_file_write *file); // zeroed or ended: fine

#endif
