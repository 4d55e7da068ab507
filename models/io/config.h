// A model's config.json: typed look-ups that check type and range and name file and key when they fail.
#ifndef VKS_CONFIG_H
#define VKS_CONFIG_H

#include <vkssm/base.h>

typedef struct vks_config vks_config;

// Open a JSON file whose top level is an object. JSON as Python writes it is accepted: NaN, Infinity and -Infinity stand
// for numbers, and so does {"__float__": "Infinity"}. Duplicate keys are refused.
vkssm_status vks_config_open(const char *path, const vkssm_log *log, vks_config **out);
// The same from memory; `name` stands for the file in messages.
vkssm_status vks_config_parse(const char *name, const char *text, size_t text_size, const vkssm_log *log, vks_config **out);
void vks_config_destroy(vks_config **config);

const char *vks_config_path(const vks_config *config);
const vkssm_log *vks_config_log(const vks_config *config);

// Keys may be paths: "ssm_cfg.d_state". A key with value null counts as absent.
bool vks_config_has(const vks_config *config, const char *key);

// Each reads `key` into *out, or leaves *out as it is when the key is absent (so *out is set to the default before).
// Errors: ERR_FORMAT for another type, or a value outside [min, max] (integers may be written 4.0, not 4.5).
vkssm_status vks_config_u32(const vks_config *config, const char *key, uint32_t min, uint32_t max, uint32_t *out);
// The same; "auto" counts as absent.
vkssm_status vks_config_u32_or_auto(const vks_config *config, const char *key, uint32_t min, uint32_t max, uint32_t *out);
vkssm_status vks_config_i32(const vks_config *config, const char *key, int32_t min, int32_t max, int32_t *out);
vkssm_status vks_config_f32(const vks_config *config, const char *key, float min, float max, float *out); // no NaN
vkssm_status vks_config_bool(const vks_config *config, const char *key, bool *out);
// *out: lives as long as the config.
vkssm_status vks_config_string(const vks_config *config, const char *key, const char **out);
// A string among `names`: *out gets its position. ERR_UNSUPPORTED if it is another one.
vkssm_status vks_config_choice(const vks_config *config, const char *key, const char *const *names, uint32_t n_name,
                               uint32_t *out);
// An array of exactly n numbers; the same range for each.
vkssm_status vks_config_f32_array(const vks_config *config, const char *key, float min, float max, uint32_t n, float *out);
// Length of an array; 0 when absent. ERR_FORMAT when it is no array.
vkssm_status vks_config_array_size(const vks_config *config, const char *key, uint32_t *out);

// ERR_FORMAT "FILE: key "KEY" is missing" unless present. For keys without a default.
vkssm_status vks_config_require(const vks_config *config, const char *key);

#endif
