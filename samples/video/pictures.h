// Pictures of 8-bit RGB, and PNG files of one or of several of them.
#ifndef PICTURES_H
#define PICTURES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct picture {
    uint32_t width, height;
    uint8_t *pixels; // [height, width, 3]; from picture_create
} picture;

// All of one colour. False: out of memory.
bool picture_create(uint32_t width, uint32_t height, const uint8_t colour[3], picture *out);
void picture_destroy(picture *picture);
void picture_fill(picture *picture, uint32_t x, uint32_t y, uint32_t width, uint32_t height, const uint8_t colour[3]);
// Grey values [side, side] from 0 to 255 at (x, y), each as scale x scale pixels.
void picture_draw(picture *picture, uint32_t x, uint32_t y, uint32_t scale, uint32_t side, const uint8_t *grey);

// Write a PNG, animated if there are several pictures (the APNG extension: chunks acTL, fcTL and fdAT), which all have
// the size of the first one and are shown for delay_ms each. False after saying why on stderr.
bool pictures_write(const char *path, const picture *pictures, uint32_t n, uint16_t delay_ms);

#endif
