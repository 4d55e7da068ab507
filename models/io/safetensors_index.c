#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "json_file.h"

// One line of the index; both texts belong to its JSON.
typedef struct entry {
    const char *tensor, *shard;
} entry;

static int compare_entries(const void *a, const void *b) {
    const entry *x = a, *y = b;
    int order = strcmp(x->shard, y->shard);
    return order ? order : strcmp(x->tensor, y->tensor);
}

// Shards lie beside the index: a name that could lead elsewhere on any system is refused.
static bool is_plain_name(const char *name) {
    return *name && !strpbrk(name, "/\\:") && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

// *out: [*n], sorted by shard, then tensor; allocated. NULL for an empty index.
static vkssm_status read_entries(const char *path, json_t *root, const vkssm_log *log, entry **out, size_t *n) {
    char words[VKS_JSON_WORDS_SIZE];
    json_t *map = json_object_get(root, "weight_map"), *value;
    if (!json_is_object(map))
        return vks_fail(log, VKSSM_ERR_FORMAT, "%s: weight_map is %s, expected an object of tensors and files", path,
                        vks_json_words(map, words));
    *n = 0;
    *out = vks_alloc_zero(json_object_size(map), sizeof **out);
    if (!*out) return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while reading the index", path);
    const char *name;
    json_object_foreach(map, name, value) {
        const char *shard = json_string_value(value);
        if (!shard || !is_plain_name(shard))
            return vks_fail(log, VKSSM_ERR_FORMAT,
                            "%s: the file of tensor \"" VKS_NAME
                            "\" is %s, expected the plain name of a file in the same "
                            "folder",
                            path, name, vks_json_words(value, words));
        (*out)[(*n)++] = (entry){.tensor = name, .shard = shard};
    }
    qsort(*out, *n, sizeof **out, compare_entries);
    return VKSSM_OK;
}

// Move the listed tensors of one shard to `to`. Both sides are sorted by name, so one walk finds all; what the index
// does not list stays behind.
static vkssm_status take_listed(const char *index, const char *shard, const entry *entries, size_t n,
                                vks_tensor_list *from, const vkssm_log *log, vks_tensor_list *to) {
    if (!vks_grow((void **)&to->items, &to->capacity, to->n + n, sizeof *to->items))
        return vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while reading the index", index);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int order = -1;
        while (at < from->n && (order = strcmp(from->items[at].name, entries[i].tensor)) < 0)
            at++;
        if (at == from->n || order > 0)
            return vks_fail(log, VKSSM_ERR_FORMAT,
                            "%s: tensor \"" VKS_NAME "\" is missing, expected it because %s lists it", shard,
                            entries[i].tensor, index);
        to->items[to->n++] = from->items[at];
        from->items[at++].name = NULL; // now owned by `to`
    }
    return VKSSM_OK;
}

static vkssm_status open_shard(vkssm_tensor_file *file, const char *index, const char *shard, const entry *entries,
                               size_t n, const vkssm_log *log) {
    if (!vks_path_exists(shard))
        return vks_fail(log, VKSSM_ERR_IO,
                        "%s: the shard is missing, expected it because %s names it for tensor "
                        "\"" VKS_NAME "\"",
                        shard, index, entries[0].tensor);
    vks_tensor_list list = {0};
    vkssm_status status = vks_safetensors_map(file, shard, log, &list);
    if (status == VKSSM_OK) {
        vks_tensor_list_sort(&list);
        status = take_listed(index, shard, entries, n, &list, log, &file->tensors);
    }
    vks_tensor_list_finish(&list);
    return status;
}

static vkssm_status open_shards(vkssm_tensor_file *file, const char *index, const entry *entries, size_t n,
                                const vkssm_log *log) {
    char *folder = vks_path_folder(index);
    vkssm_status status = VKSSM_OK;
    for (size_t first = 0, end; folder && status == VKSSM_OK && first < n; first = end) {
        for (end = first + 1; end < n && strcmp(entries[end].shard, entries[first].shard) == 0;)
            end++;
        char *shard = vks_path_join(folder, entries[first].shard);
        if (shard)
            status = open_shard(file, index, shard, entries + first, end - first, log);
        else
            status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while reading the index", index);
        vks_free(shard);
    }
    if (!folder) status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory while reading the index", index);
    vks_free(folder);
    return status;
}

vkssm_status vks_safetensors_open_index(vkssm_tensor_file *file, const char *path, const vkssm_log *log) {
    json_t *root;
    VKS_TRY(vks_json_read_python(path, log, &root));
    entry *entries = NULL;
    size_t n = 0;
    vkssm_status status = read_entries(path, root, log, &entries, &n);
    if (status == VKSSM_OK) status = open_shards(file, path, entries, n, log);
    vks_free(entries);
    json_decref(root);
    return status;
}
