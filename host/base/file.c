#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <process.h>
#define process_id _getpid
#define IS_FOLDER(mode) (((mode) & _S_IFMT) == _S_IFDIR)
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#define process_id getpid
#define IS_FOLDER(mode) S_ISDIR(mode)
#endif

#if defined(_WIN32)
vkssm_status vks_file_map_open(const char *path, const vkssm_log *log, vks_file_map *out) {
    memset(out, 0, sizeof *out);
    HANDLE file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return vks_fail(log, VKSSM_ERR_IO, "%s: cannot open the file: system error %lu", path, GetLastError());
    LARGE_INTEGER size;
    HANDLE mapping = NULL;
    bool ok = GetFileSizeEx(file, &size);
    if (ok && size.QuadPart > 0) {
        mapping = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
        out->data = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0) : NULL;
        ok = out->data != NULL;
    }
    if (mapping) CloseHandle(mapping);
    CloseHandle(file);
    if (!ok) return vks_fail(log, VKSSM_ERR_IO, "%s: cannot map the file: system error %lu", path, GetLastError());
    out->size = (uint64_t)size.QuadPart;
    return VKSSM_OK;
}

void vks_file_map_close(vks_file_map *map) {
    if (map->data) UnmapViewOfFile(map->data);
    memset(map, 0, sizeof *map);
}
#else
vkssm_status vks_file_map_open(const char *path, const vkssm_log *log, vks_file_map *out) {
    memset(out, 0, sizeof *out);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return vks_fail(log, VKSSM_ERR_IO, "%s: cannot open the file: %s", path, strerror(errno));
    struct stat info;
    void *data = NULL;
    int error = fstat(file, &info) ? errno : S_ISREG(info.st_mode) ? 0 : S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    if (!error && info.st_size > 0) {
        data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED) error = errno;
    }
    close(file);
    if (error) return vks_fail(log, VKSSM_ERR_IO, "%s: cannot read the file: %s", path, strerror(error));
    out->data = data;
    out->size = (uint64_t)info.st_size;
    return VKSSM_OK;
}

void vks_file_map_close(vks_file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, (size_t)map->size);
    memset(map, 0, sizeof *map);
}
#endif

bool vks_path_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && IS_FOLDER(info.st_mode);
}

bool vks_path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

static bool is_separator(char c) {
#if defined(_WIN32)
    return c == '/' || c == '\\';
#else
    return c == '/';
#endif
}

char *vks_path_join(const char *folder, const char *name) {
    size_t n = strlen(folder), n_name = strlen(name);
    bool separator = n > 0 && !is_separator(folder[n - 1]);
    char *path = vks_alloc(n + separator + n_name + 1);
    if (!path) return NULL;
    memcpy(path, folder, n);
    if (separator) path[n] = '/';
    memcpy(path + n + separator, name, n_name + 1);
    return path;
}

char *vks_path_folder(const char *path) {
    size_t n = strlen(path);
    while (n > 0 && !is_separator(path[n - 1])) n--;
    while (n > 1 && is_separator(path[n - 1])) n--;
    if (n == 0) return vks_strdup(".");
    char *folder = vks_alloc(n + 1);
    if (!folder) return NULL;
    memcpy(folder, path, n);
    folder[n] = 0;
    return folder;
}

vkssm_status vks_file_write_begin(const char *path, const vkssm_log *log, vks_file_write *out) {
    memset(out, 0, sizeof *out);
    out->log = log;
    size_t size = strlen(path) + 32;
    out->path = vks_strdup(path);
    out->temporary_path = vks_alloc(size);
    if (!out->path || !out->temporary_path) {
        vks_file_write_abort(out);
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory before writing", path);
    }
    snprintf(out->temporary_path, size, "%s.%ld.tmp", path, (long)process_id());
    out->stream = fopen(out->temporary_path, "wb");
    if (!out->stream) {
        int error = errno;
        vks_file_write_abort(out);
        return vks_fail(log, VKSSM_ERR_IO, "%s: cannot create the file: %s", path, strerror(error));
    }
    return VKSSM_OK;
}

vkssm_status vks_file_write_bytes(vks_file_write *file, const void *data, uint64_t size) {
    if (size == 0 || fwrite(data, 1, (size_t)size, file->stream) == size) return VKSSM_OK;
    return vks_fail(file->log, VKSSM_ERR_IO, "%s: cannot write %llu bytes: %s", file->path, (unsigned long long)size,
                    strerror(errno));
}

vkssm_status vks_file_write_commit(vks_file_write *file) {
    int failed = fflush(file->stream) != 0;
    failed |= fclose(file->stream) != 0; // closed even if the flush failed
    file->stream = NULL;
#if defined(_WIN32)
    failed = failed || !MoveFileExA(file->temporary_path, file->path, MOVEFILE_REPLACE_EXISTING);
#else
    failed = failed || rename(file->temporary_path, file->path) != 0;
#endif
    vkssm_status status = VKSSM_OK;
    if (failed) {
        status = vks_fail(file->log, VKSSM_ERR_IO, "%s: cannot finish the file: %s", file->path, strerror(errno));
        remove(file->temporary_path);
    }
    vks_free(file->temporary_path);
    vks_free(file->path);
    memset(file, 0, sizeof *file);
    return status;
}

void vks_file_write_abort(vks_file_write *file) {
    if (file->stream) {
        fclose(file->stream);
        remove(file->temporary_path);
    }
    vks_free(file->temporary_path);
    vks_free(file->path);
    memset(file, 0, sizeof *file);
}
