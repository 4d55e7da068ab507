// scan: h[t] = a[t] h[t-1] + b[t]
#include "types.h"
VKS_PARAMS(vks_scan_params) {
    vks_address a;       // like b; or, constant in time, [D] (a_batch 0) or [B, D]
    vks_address b;       // [B, T, D], or [B, D, T] with TIME_CONTIGUOUS; complex: pairs (re, im)
    vks_address h;       // like b; may be b itself
    vks_address initial; // [n, D] f32, or 0: zeros; n is B, or the number of packed sequences
    vks_address last;    // [n, D] f32, or 0
    vks_address resets;  // [B, T] u32, with RESETS
    vks_address offsets; // [n_sequence + 1] u32, with PACKED
    vks_address totals;  // f32, with SEGMENTS or REDUCE: see include/scan_run.glsl
    vks_uint n_time;     // T
    vks_uint first;      // reverse: steps before the first one, which pad T to a multiple of what is stored at once
    vks_uint n_channel;  // floats of a row of initial and last: D, complex 2 D
    vks_uint n_batch;    // B
    vks_uint n_unit;     // pairs of channels, or complex channels: what one lane takes
    vks_uint a_batch, a_row, b_batch, b_row, h_batch, h_row; // floats (halves) between batches; between rows
    vks_uint resets_row;                                     // words between batches
    vks_uint n_sequence;                                     // PACKED
    vks_uint n_segment;                                      // parts of time
    vks_uint segment_size;                                   // steps of a part; a power of two of tiles
    vks_uint n_group;                                        // workgroups that have work
}
VKS_PARAMS_END(vks_scan_params)

// Bits of the specialization constant FLAGS.
#define VKS_SCAN_COMPLEX 0x1u
#define VKS_SCAN_A_STEP 0x2u // a for every step; else constant in time
#define VKS_SCAN_REVERSE 0x4u
#define VKS_SCAN_RESETS 0x8u
#define VKS_SCAN_PACKED 0x10u // sequences one after the other on one time axis
#define VKS_SCAN_PADDED 0x20u // first is not 0
#define VKS_SCAN_TIME_CONTIGUOUS 0x40u
#define VKS_SCAN_PAIRS 0x80u     // two floats can be accessed as 8 bytes
#define VKS_SCAN_QUADS 0x100u    // time-contiguous: four values can be accessed at once
#define VKS_SCAN_PREFETCH 0x200u // load a tile while the one before it is worked on
#define VKS_SCAN_SEGMENTS 0x400u // time is split: the state before a segment comes from the totals
#define VKS_SCAN_REDUCE 0x800u   // compute totals, not h
#define VKS_SCAN_PREPARE 0x1000u // look-back: clear what tiles publish into
#define VKS_SCAN_LATE 0x2000u    // look-back, tests: WITHHOLD delays
#define VKS_SCAN_N_POWER 32u     // powers a^(2^j) in the totals
