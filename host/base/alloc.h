// Host memory. All of the library's own allocations pass here, so that tests can make the n-th one fail.
#ifndef VKS_ALLOC_H
#define VKS_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// NULL when out of memory, or when count * size overflows. Zero bytes give a unique non-NULL pointer.
void *vks_alloc(size_t size);
void *vks_alloc_zero(size_t count, size_t size);
void *vks_realloc(void *memory, size_t size); // on failure the old block stays
char *vks_strdup(const char *text);
void vks_free(void *memory);

// Grow the array *items (capacity *capacity, items of item_size bytes) to hold at least n_needed items, by doubling.
// False when out of memory; the array is then unchanged.
bool vks_grow(void **items, size_t *capacity, size_t n_needed, size_t item_size);

// For tests: let the n-th allocation from now fail (0: the next one), and every later one too; UINT64_MAX: none.
// vks_alloc_n_live counts blocks not freed. Both are atomic and cost nothing measurable.
void vks_alloc_fail_after(uint64_t n);
uint64_t vks_alloc_n_live(void);

// Checked products and sums of sizes from files. False on overflow; *out is then not written.
static inline bool vks_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (a && b > UINT64_MAX / a) return false;
    *out = a * b;
    return true;
}
static inline bool vks_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (b > UINT64_MAX - a) return false;
    *out = a + b;
    return true;
}
static inline uint64_t vks_align_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}
static inline uint32_t vks_div_up(uint32_t value, uint32_t divisor) {
    return value / divisor + (value % divisor != 0);
}

#define VKS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
