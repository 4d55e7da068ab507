#include "language_model.h"

#include "host/base/alloc.h"
#include "host/base/status.h"
#include "models/io/config.h"

uint64_t vks_lm_hash(const uint32_t *numbers, size_t n) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ numbers[i]) * 0x100000001b3u;
    return hash;
}

vkssm_status vks_lm_complete(vks_lm *lm, const vks_config *config, vks_model_shape *shape) {
    *shape = (vks_model_shape){
        .n_layer = lm->n_layer, .n_channel = lm->n_channel, .n_vocab = lm->n_vocab, .bos = -1, .eos = -1};
    VKS_TRY(vks_config_i32(config, "bos_token_id", -1, VKS_LM_MAX_VOCAB, &shape->bos));
    VKS_TRY(vks_config_i32(config, "eos_token_id", -1, VKS_LM_MAX_VOCAB, &shape->eos));
    lm->norms = vks_alloc_zero(lm->n_layer, sizeof *lm->norms);
    if (lm->norms) return VKSSM_OK;
    return vks_fail(lm->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %u layers", vks_config_path(config),
                    lm->n_layer);
}

void vks_lm_release(vks_lm *lm) {
    vks_free(lm->norms);
    lm->norms = NULL;
}

// ---- weights --------------------------------------------------------------------------------------------------------

// The embedding has the vocabulary's rows; in the original layout it is padded, and the file says to how many.
static vkssm_status bind_embedding(vks_lm *lm, vks_bind *bind) {
    vks_bind_prefix(bind, "%s", "backbone.");
    // Hugging Face's loader takes both spellings.
    bool plural = vks_bind_has(bind, "embeddings.weight");
    bool singular = !plural && (lm->padded_vocab || vks_bind_has(bind, "embedding.weight"));
    const char *full = singular ? "backbone.embedding.weight" : "backbone.embeddings.weight";
    vkssm_named_tensor table;
    if (lm->padded_vocab && vks_weights_find(bind->weights, full, &table) && table.n_dim == 2 &&
        table.shape[0] >= lm->n_vocab && table.shape[0] <= VKS_LM_MAX_VOCAB)
        lm->n_vocab = (uint32_t)table.shape[0];
    vks_bind_prefix(bind, "%s", "");
    return vks_bind_named_matrix(bind, full, lm->n_vocab, lm->n_channel, &lm->embedding);
}

vkssm_status vks_lm_bind(void *self, const vks_weights *weights, vks_binder *binder, vks_model_shape *shape) {
    vks_lm *lm = self;
    vks_bind bind = {.weights = weights, .binder = binder, .log = lm->log};
    VKS_TRY(bind_embedding(lm, &bind));
    for (uint32_t i = 0; i < lm->n_layer; i++) {
        vks_bind_prefix(&bind, "backbone.layers.%u.", i);
        VKS_TRY(vks_bind_named_vector(&bind, "norm.weight", lm->n_channel, &lm->norms[i]));
        vks_bind_prefix(&bind, "backbone.layers.%u.mixer.", i);
        VKS_TRY(lm->mixers->bind(self, &bind, i));
    }
    vks_bind_prefix(&bind, "%s", "");
    VKS_TRY(vks_bind_named_vector(&bind, "backbone.norm_f.weight", lm->n_channel, &lm->final_norm));
    if (!lm->tied_head) VKS_TRY(vks_bind_named_matrix(&bind, "lm_head.weight", lm->n_vocab, lm->n_channel, &lm->head));
    shape->n_vocab = lm->n_vocab;
    shape->fingerprint = lm->mixers->fingerprint(self);
    return VKSSM_OK;
}

// ---- recording ------------------------------------------------------------------------------------------------------

static vkssm_status record_norm(const vks_lm *lm, vks_plan *plan, vks_tensor residual, vks_tensor weight,
                                uint32_t most_rows, vks_tensor *out) {
    VKS_TRY(vks_plan_rows(plan, plan->activation_dtype, residual.shape[0], lm->n_channel, out));
    return vks_op_rms_norm(
        &plan->target,
        &(vks_rms_norm){.x = residual, .weight = weight, .y = *out, .eps = lm->norm_eps, .most_rows = most_rows});
}

static vkssm_status record_blocks(const vks_lm *lm, vks_plan *plan, vks_lm_call *call) {
    bool inside = lm->mixers->norms(lm, plan->target.kernels, call);
    if (lm->mixers->begin) VKS_TRY(lm->mixers->begin(lm, plan, call));
    for (uint32_t i = 0; i < lm->n_layer; i++) {
        uint64_t mark = vks_plan_mark(plan);
        vks_tensor x = {0};
        if (!inside) VKS_TRY(record_norm(lm, plan, call->residual, lm->norms[i], call->most_rows, &x));
        VKS_TRY(lm->mixers->record(lm, i, plan, call, x, lm->norms[i]));
        vks_plan_release(plan, mark);
    }
    return VKSSM_OK;
}

// Logits of rows of the residual stream.
static vkssm_status record_head(const vks_lm *lm, vks_plan *plan, vks_tensor rows, uint32_t most_rows,
                                vks_tensor logits) {
    vks_matmul op = {.x = rows,
                     .w = lm->tied_head ? lm->embedding : lm->head,
                     .y = logits,
                     .norm_eps = lm->norm_eps,
                     .most_rows = most_rows};
    if (vks_matmul_fuses(plan->target.kernels, most_rows ? most_rows : logits.shape[0]))
        op.norm = lm->final_norm;
    else
        VKS_TRY(record_norm(lm, plan, rows, lm->final_norm, most_rows, &op.x));
    return vks_op_matmul(&plan->target, &op);
}

vkssm_status vks_lm_prefill(const void *self, vks_plan *plan, const vks_prefill *prefill) {
    const vks_lm *lm = self;
    uint32_t n_time = prefill->tokens.shape[0];
    vks_lm_call call = {.n_sequence = 1,
                        .n_time = n_time,
                        .state = prefill->state,
                        .slots = prefill->slots,
                        .offsets = prefill->offsets,
                        .norm_eps = lm->norm_eps};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_time, lm->n_channel, &call.residual));
    VKS_TRY(vks_op_embedding(&plan->target,
                             &(vks_embedding){.ids = prefill->tokens, .table = lm->embedding, .y = call.residual}));
    VKS_TRY(record_blocks(lm, plan, &call));
    if (!prefill->logits.address) return VKSSM_OK;
    vks_tensor rows;
    if (!prefill->offsets.address) {
        rows = vks_tensor_slice(call.residual, 0, prefill->first_logit, prefill->logits.shape[0]);
        return record_head(lm, plan, rows, 0, prefill->logits);
    }
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, prefill->last.shape[0], lm->n_channel, &rows));
    VKS_TRY(vks_op_embedding(&plan->target, &(vks_embedding){.ids = prefill->last, .table = call.residual, .y = rows}));
    return record_head(lm, plan, rows, 0, prefill->logits);
}

vkssm_status vks_lm_step(const void *self, vks_plan *plan, const vks_step *step) {
    const vks_lm *lm = self;
    uint32_t n_sequence = step->slots.shape[0];
    vks_lm_call call = {.n_sequence = n_sequence,
                        .n_time = 1,
                        .state = step->state,
                        .slots = step->slots,
                        .most_rows = step->most_rows ? step->most_rows : n_sequence,
                        .norm_eps = lm->norm_eps};
    VKS_TRY(vks_plan_rows(plan, VKSSM_DTYPE_F32, n_sequence, lm->n_channel, &call.residual));
    VKS_TRY(vks_op_embedding(
        &plan->target,
        &(vks_embedding){.ids = step->tokens, .index = step->slots, .table = lm->embedding, .y = call.residual}));
    VKS_TRY(record_blocks(lm, plan, &call));
    return record_head(lm, plan, call.residual, call.most_rows, step->logits);
}
