#include "ref.h"

void ref_embedding(const ref_embedding_args *args) {
    for (size_t t = 0; t < args->n_row; t++) {
        int32_t id = args->ids[args->index ? (size_t)args->index[t] : t];
        for (size_t d = 0; d < args->n_channel; d++)
            args->y[t * args->n_channel + d] =
                id >= 0 && (size_t)id < args->n_vocab ? args->table[(size_t)id * args->n_channel + d] : 0;
    }
}
