#include "alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <vkssm/tokenizer.h> // vkssm_free

static atomic_uint_fast64_t n_until_failure = UINT64_MAX;
static atomic_uint_fast64_t n_live;

void vks_alloc_fail_after(uint64_t n) {
    atomic_store(&n_until_failure, n);
}

uint64_t vks_alloc_n_live(void) {
    return atomic_load(&n_live);
}

static bool must_fail(void) {
    uint_fast64_t n = atomic_load_explicit(&n_until_failure, memory_order_relaxed);
    if (n == UINT64_MAX) return false;
    if (n == 0) return true;
    atomic_fetch_sub(&n_until_failure, 1);
    return false;
}

void *vks_alloc(size_t size) {
    void *memory = must_fail() ? NULL : malloc(size ? size : 1);
    if (memory) atomic_fetch_add_explicit(&n_live, 1, memory_order_relaxed);
    return memory;
}

void *vks_alloc_zero(size_t count, size_t size) {
    uint64_t total;
    if (!vks_mul_u64(count, size, &total) || total > SIZE_MAX) return NULL;
    void *memory = vks_alloc((size_t)total);
    if (memory) memset(memory, 0, (size_t)total);
    return memory;
}

void *vks_realloc(void *memory, size_t size) {
    if (!memory) return vks_alloc(size);
    return must_fail() ? NULL : realloc(memory, size ? size : 1);
}

char *vks_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = vks_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void vks_free(void *memory) {
    if (!memory) return;
    atomic_fetch_sub_explicit(&n_live, 1, memory_order_relaxed);
    free(memory);
}

void vkssm_free(void *memory) {
    vks_free(memory);
}

bool vks_grow(void **items, size_t *capacity, size_t n_needed, size_t item_size) {
    if (n_needed <= *capacity) return true;
    uint64_t n = *capacity ? *capacity : 8, size;
    while (n < n_needed)
        if (!vks_mul_u64(n, 2, &n)) return false;
    if (!vks_mul_u64(n, item_size, &size) || size > SIZE_MAX) return false;
    void *grown = vks_realloc(*items, (size_t)size);
    if (!grown) return false;
    *items = grown;
    *capacity = (size_t)n;
    return true;
}
