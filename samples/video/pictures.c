#include "pictures.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

bool picture_create(uint32_t width, uint32_t height, const uint8_t colour[3], picture *out) {
    *out = (picture){width, height, malloc((size_t)width * height * 3)};
    if (out->pixels) picture_fill(out, 0, 0, width, height, colour);
    return out->pixels != NULL;
}

void picture_destroy(picture *p) {
    free(p->pixels);
    *p = (picture){0};
}

void picture_fill(picture *p, uint32_t x, uint32_t y, uint32_t width, uint32_t height, const uint8_t colour[3]) {
    for (uint32_t i = y; i < y + height && i < p->height; i++)
        for (uint32_t j = x; j < x + width && j < p->width; j++)
            memcpy(p->pixels + ((size_t)i * p->width + j) * 3, colour, 3);
}

void picture_draw(picture *p, uint32_t x, uint32_t y, uint32_t scale, uint32_t side, const uint8_t *grey) {
    for (uint32_t i = 0; i < side; i++)
        for (uint32_t j = 0; j < side; j++) {
            uint8_t value = grey[(size_t)i * side + j], colour[3] = {value, value, value};
            picture_fill(p, x + j * scale, y + i * scale, scale, scale, colour);
        }
}

// ---- PNG ------------------------------------------------------------------------------------------------------------

static void put_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

// The pixels of a picture compressed, behind `before` bytes that are left free. NULL: out of memory.
static uint8_t *compress_picture(const picture *p, size_t before, size_t *size) {
    size_t row = (size_t)p->width * 3, n = (row + 1) * p->height; // a filter byte before each row: 0, none
    uint8_t *raw = calloc(n, 1), *out = NULL;
    uLongf n_out = compressBound((uLong)n);
    for (uint32_t y = 0; raw && y < p->height; y++)
        memcpy(raw + y * (row + 1) + 1, p->pixels + y * row, row);
    if (raw) out = malloc(before + n_out);
    if (out && compress2(out + before, &n_out, raw, (uLong)n, 6) != Z_OK) {
        free(out);
        out = NULL;
    }
    free(raw);
    *size = before + n_out;
    return out;
}

static void write_header(png_structp png, const picture *p) {
    uint8_t data[13] = {0};
    put_u32(data, p->width);
    put_u32(data + 4, p->height);
    data[8] = 8; // bits
    data[9] = PNG_COLOR_TYPE_RGB;
    png_write_sig(png);
    png_write_chunk(png, (png_const_bytep) "IHDR", data, sizeof data);
}

static void write_control(png_structp png, const picture *p, uint32_t sequence, uint16_t delay_ms) {
    uint8_t data[26] = {0};
    put_u32(data, sequence);
    put_u32(data + 4, p->width);
    put_u32(data + 8, p->height);
    put_u32(data + 20, (uint32_t)delay_ms << 16 | 1000); // of a second; what follows: keep the frame, replace all of it
    png_write_chunk(png, (png_const_bytep) "fcTL", data, sizeof data);
}

static bool write_pictures(png_structp png, const picture *pictures, uint32_t n, uint16_t delay_ms) {
    uint8_t control[8] = {0}; // plays: 0, for ever
    uint32_t sequence = 0;
    write_header(png, pictures);
    put_u32(control, n);
    if (n > 1) png_write_chunk(png, (png_const_bytep) "acTL", control, sizeof control);
    for (uint32_t i = 0; i < n; i++) {
        size_t before = i == 0 ? 0 : 4, size;
        uint8_t *data = compress_picture(&pictures[i], before, &size);
        if (!data) return false;
        if (n > 1) write_control(png, pictures, sequence++, delay_ms);
        if (i > 0) put_u32(data, sequence++);
        png_write_chunk(png, (png_const_bytep)(i == 0 ? "IDAT" : "fdAT"), data, size);
        free(data);
    }
    png_write_chunk(png, (png_const_bytep) "IEND", NULL, 0);
    return true;
}

// libpng calls it in place of longjmp's target when it fails; what failed is said by the caller.
static void on_error(png_structp png, png_const_charp message) {
    fprintf(stderr, "libpng: %s\n", message);
    png_longjmp(png, 1);
}

bool pictures_write(const char *path, const picture *pictures, uint32_t n, uint16_t delay_ms) {
    FILE *file = fopen(path, "wb");
    png_structp png = file ? png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, NULL) : NULL;
    bool ok = false;
    if (png && !setjmp(png_jmpbuf(png))) {
        png_init_io(png, file);
        ok = write_pictures(png, pictures, n, delay_ms);
    }
    if (png) png_destroy_write_struct(&png, NULL);
    int reason = errno;
    if (file && fclose(file) != 0) ok = false;
    if (!ok) fprintf(stderr, "%s: cannot be written: %s\n", path, strerror(reason));
    return ok;
}
