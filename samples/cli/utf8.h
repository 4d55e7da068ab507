// Print bytes that come in pieces as whole UTF-8 characters.
#ifndef CLI_UTF8_H
#define CLI_UTF8_H

#include <stddef.h>
#include <stdio.h>

// The start of a character whose end has not come yet. Zero-initialised: nothing waits.
typedef struct utf8_stream {
    unsigned char held[4];
    unsigned n_held;
} utf8_stream;

// Write `size` bytes to `file`. The start of a character is held back until its end comes; each longest part that
// cannot be or become a character is written as one U+FFFD (Unicode 15, section 3.9, maximal subparts).
void utf8_write(utf8_stream *stream, const char *bytes, size_t size, FILE *file);

// Nothing follows: a character that is still held back was cut, and is written as U+FFFD.
void utf8_end(utf8_stream *stream, FILE *file);

#endif
