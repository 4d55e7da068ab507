// Some frames side by side, as a PNG file.
#ifndef ENGINE_STRIP_H
#define ENGINE_STRIP_H

#include <stdbool.h>
#include <stdint.h>

// frames: [n] pointers to width x height pixels of 4 bytes (the fourth is not used).
bool engine_strip_write(const char *path, const void *const *frames, uint32_t n, uint32_t width, uint32_t height);

#endif
