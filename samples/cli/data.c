#define _POSIX_C_SOURCE 200809L // readlink
#include "data.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
static size_t program_path(char *text, size_t size) {
    DWORD n = GetModuleFileNameA(NULL, text, (DWORD)size);
    for (DWORD i = 0; i < n && n < size; i++)
        if (text[i] == '\\') text[i] = '/';
    return n < size ? n : 0;
}
#elif defined(__APPLE__)
#include <mach-o/dyld.h>
static size_t program_path(char *text, size_t size) {
    uint32_t n = (uint32_t)size;
    return _NSGetExecutablePath(text, &n) == 0 ? strlen(text) : 0;
}
#else
#include <unistd.h>
static size_t program_path(char *text, size_t size) {
    ssize_t n = readlink("/proc/self/exe", text, size);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
#endif

static bool exists(const char *path) {
    FILE *file = fopen(path, "rb"); // a folder opens too, except on Windows
    if (file) fclose(file);
    return file != NULL;
}

const char *cli_find_model(const char *name, char *text, size_t size) {
    static const char folder[] = "/../share/vkssm/models/";
    size_t n = size ? program_path(text, size - 1) : 0;
    if (!*name || *name == '.' || strpbrk(name, "/\\") || exists(name) || n == 0) return name;
    text[n] = 0;
    char *slash = strrchr(text, '/');
    if (!slash || (size_t)(slash - text) + sizeof folder + strlen(name) + sizeof "/config.json" > size) return name;
    size_t at = (size_t)(slash - text);
    snprintf(text + at, size - at, "%s%s/config.json", folder, name);
    if (!exists(text)) return name;
    text[strlen(text) - strlen("/config.json")] = 0;
    return text;
}
