// The caller's tensors: found by name, checked, converted.
#include "core_tensor.h"

#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"

// "[n, T, 3]", "[4, 784]".
static void shape_text(char *text, size_t size, const char *leading, uint32_t n_dim, const uint64_t *shape) {
    size_t at = (size_t)snprintf(text, size, "[%s", leading);
    for (uint32_t i = 0; i < n_dim && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%llu", i || *leading ? ", " : "", (unsigned long long)shape[i]);
    if (at < size) snprintf(text + at, size - at, "]");
}

// Whether the dimensions after the first n_leading are those of the port; dimensions of 1 at the end may be missing.
static bool shape_fits(const vks_port *port, const vkssm_named_tensor *tensor, uint32_t n_leading) {
    if (tensor->n_dim < n_leading || tensor->n_dim > n_leading + port->io.n_dim) return false;
    for (uint32_t i = 0; i < n_leading; i++)
        if (tensor->shape[i] == 0) return false;
    for (uint32_t i = 0; i < port->io.n_dim; i++) {
        uint64_t found = n_leading + i < tensor->n_dim ? tensor->shape[n_leading + i] : 1;
        if (found != port->io.shape[i]) return false;
    }
    return true;
}

// Bytes that the shape says.
static bool size_fits(const vkssm_named_tensor *tensor) {
    uint64_t size = vkssm_dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        if (!vks_mul_u64(size, tensor->shape[i], &size)) return false;
    return size == tensor->size && tensor->data;
}

// F32 values must lie in the port's range; a NaN does not.
static vkssm_status check_range(const vkssm_log *log, const char *what, const vks_port *port,
                                const vkssm_named_tensor *tensor) {
    if (tensor->dtype != VKSSM_DTYPE_F32 || port->io.low == port->io.high) return VKSSM_OK;
    const uint8_t *data = tensor->data; // not aligned
    for (uint64_t i = 0; i < tensor->size / sizeof(float); i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        if (!(value >= port->io.low && value <= port->io.high))
            return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor %s: values from %g to %g expected, %g found at %llu", what,
                            port->io.name, (double)port->io.low, (double)port->io.high, (double)value,
                            (unsigned long long)i);
    }
    return VKSSM_OK;
}

static vkssm_status check_input(const vkssm_log *log, const char *what, const vks_port *port,
                                const vkssm_named_tensor *tensor, bool by_time) {
    char wanted[128], found[256];
    uint64_t shape[3] = {port->io.shape[0], port->io.shape[1], port->io.shape[2]};
    shape_text(wanted, sizeof wanted, by_time ? "n, T" : "n", port->io.n_dim, shape);
    if (tensor->n_dim > VKSSM_MAX_DIM || !shape_fits(port, tensor, by_time ? 2 : 1)) {
        shape_text(found, sizeof found, "", tensor->n_dim < VKSSM_MAX_DIM ? tensor->n_dim : VKSSM_MAX_DIM,
                   tensor->shape);
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor %s: shape %s, none of them 0, expected, %s found", what,
                        port->io.name, wanted, found);
    }
    bool u8 = port->io.u8_divisor != 0;
    if (tensor->dtype != VKSSM_DTYPE_F32 && !(u8 && tensor->dtype == VKSSM_DTYPE_U8))
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor %s: %s expected, %s found", what, port->io.name,
                        u8 ? "F32 or U8" : "F32", vkssm_dtype_name(tensor->dtype));
    if (!size_fits(tensor))
        return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor %s: as many bytes as its shape says expected, %llu found", what,
                        port->io.name, (unsigned long long)(tensor->data ? tensor->size : 0));
    return check_range(log, what, port, tensor);
}

static const vkssm_named_tensor *find(const char *name, const vkssm_named_tensor *inputs, uint32_t n_input) {
    for (uint32_t i = 0; i < n_input; i++)
        if (inputs[i].name && strcmp(inputs[i].name, name) == 0) return &inputs[i];
    return NULL;
}

vkssm_status vks_match_inputs(const vks_runner *r, const char *what, const vkssm_named_tensor *inputs, uint32_t n_input,
                              bool by_time, uint64_t n_more, vkssm_named_tensor *found, uint64_t *n, uint64_t *n_time) {
    const vkssm_log *log = vks_device_get_log(r->model->device);
    for (uint32_t i = 0; i < r->n_input; i++) {
        const vks_port *port = &r->inputs[i];
        const vkssm_named_tensor *tensor = inputs ? find(port->io.name, inputs, n_input) : NULL;
        if (!tensor)
            return vks_fail(log, VKSSM_ERR_ARG, "%s: a tensor %s expected, none found among %u", what, port->io.name,
                            inputs ? n_input : 0);
        VKS_TRY(check_input(log, what, port, tensor, by_time));
        uint64_t steps = by_time ? tensor->shape[1] : 1, more = port->io.feedback ? 0 : n_more;
        if (steps <= more)
            return vks_fail(log, VKSSM_ERR_ARG, "%s: tensor %s: more than %llu steps expected, %llu found", what,
                            port->io.name, (unsigned long long)more, (unsigned long long)steps);
        steps -= more;
        if (i == 0)
            *n = tensor->shape[0], *n_time = steps;
        else if (tensor->shape[0] != *n || steps != *n_time)
            return vks_fail(log, VKSSM_ERR_ARG,
                            "%s: tensor %s: %llu sequences of %llu steps expected, %llu of %llu found", what,
                            port->io.name, (unsigned long long)*n, (unsigned long long)*n_time,
                            (unsigned long long)tensor->shape[0], (unsigned long long)steps);
        found[i] = *tensor;
    }
    return VKSSM_OK;
}

void vks_fill_input(const vks_port *port, const vkssm_named_tensor *tensor, uint64_t first, uint64_t n_row, void *out) {
    const uint8_t *data = tensor->data; // not aligned
    float *rows = out;
    uint64_t n = port->n_value;
    for (uint64_t i = 0; i < n_row; i++) {
        float *row = rows + i * port->stride;
        uint64_t at = (first + i) * n;
        if (tensor->dtype == VKSSM_DTYPE_F32)
            memcpy(row, data + 4 * at, n * sizeof *row);
        else
            for (uint64_t j = 0; j < n; j++)
                row[j] = (float)data[at + j] / port->io.u8_divisor + port->io.u8_offset;
        memset(row + n, 0, (port->stride - n) * sizeof *row);
    }
}
