#include "engine_strip.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool engine_strip_write(const char *path, const void *const *frames, uint32_t n, uint32_t width, uint32_t height) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = n * width, .height = height, .format = PNG_FORMAT_RGB};
    uint8_t *pixels = malloc((size_t)3 * n * width * height);
    if (!pixels) return false;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < width; x++)
                memcpy(pixels + 3 * (((size_t)y * n + k) * width + x),
                       (const uint8_t *)frames[k] + 4 * ((size_t)y * width + x), 3);
    bool ok = png_image_write_to_file(&image, path, 0, pixels, 0, NULL) != 0;
    if (!ok) fprintf(stderr, "engine: %s: %s\n", path, image.message);
    free(pixels);
    return ok;
}
