#include "ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Each token's branch, from the root, as a sequence of its own: what ref_ssd gives for its last token.
void ref_ssd_tree(const ref_ssd_tree_args *args) {
    size_t n_x = args->n_head * args->n_width, n_b = args->n_group * args->n_state, n_state = n_x * args->n_state;
    float *x = malloc(args->n_time * n_x * sizeof *x), *b = malloc(args->n_time * n_b * sizeof *b);
    float *c = malloc(args->n_time * n_b * sizeof *c), *dt = malloc(args->n_time * args->n_head * sizeof *dt);
    double *state = malloc(4 * n_state * sizeof *state), *y = malloc(3 * args->n_time * n_x * sizeof *y);
    if (!x || !b || !c || !dt || !state || !y) abort();
    for (size_t t = 0; t < args->n_time; t++) {
        size_t n = 0, path[32];
        for (ptrdiff_t k = (ptrdiff_t)t; k >= 0; k = args->parents ? args->parents[k] : k - 1)
            path[n++] = (size_t)k;
        for (size_t i = 0; i < n; i++) {
            size_t k = path[n - 1 - i];
            memcpy(x + i * n_x, args->x + k * n_x, n_x * sizeof *x);
            memcpy(b + i * n_b, args->b + k * n_b, n_b * sizeof *b);
            memcpy(c + i * n_b, args->c + k * n_b, n_b * sizeof *c);
            memcpy(dt + i * args->n_head, args->dt + k * args->n_head, args->n_head * sizeof *dt);
        }
        memcpy(state, args->state, n_state * sizeof *state);
        ref_ssd_args branch = {
            .n_sequence = 1,
            .n_time = n,
            .n_head = args->n_head,
            .n_group = args->n_group,
            .n_width = args->n_width,
            .n_state = args->n_state,
            .x = x,
            .b = b,
            .c = c,
            .dt = dt,
            .a = args->a,
            .dt_bias = args->dt_bias,
            .d = args->d,
            .dt_min = args->dt_min,
            .dt_max = args->dt_max,
            .state = state,
            .state_scale = state + n_state,
            .state_past = state + 2 * n_state,
            .y = y,
            .scale = y + args->n_time * n_x,
            .past = y + 2 * args->n_time * n_x,
            .chunk = n,
        };
        ref_ssd(&branch);
        memcpy(args->y + t * n_x, branch.y + (n - 1) * n_x, n_x * sizeof *y);
        // The exponent of a decay is a float32 sum over the branch: off by roundings of it, and so, relatively, is what
        // was decayed.
        for (size_t i = 0; i < n_x; i++)
            args->scale[t * n_x + i] =
                branch.scale[(n - 1) * n_x + i] + branch.largest_decay * branch.past[(n - 1) * n_x + i];
    }
    free(x);
    free(b);
    free(c);
    free(dt);
    free(state);
    free(y);
}
