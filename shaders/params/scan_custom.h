// scan_custom: the scan with a user's operator
#include "types.h"
VKS_PARAMS(vks_scan_custom_params) {
    vks_address x;                       // [B, T, D] elements, or [B, D, T]; with CHECK [n, 3]
    vks_address y;                       // like x; with CHECK [n, 4]: (x y) z, x (y z), identity x, x identity
    vks_address initial;                 // [B, D] elements, or 0: identities
    vks_address last;                    // [B, D] elements, or 0
    vks_address totals;                  // [B, n_segment, D] elements
    vks_uint n_batch, n_time, n_channel; // B, T, D
    vks_uint n_segment, segment_size;    // parts of time, and their steps
    vks_uint n_group;                    // workgroups that have work
    vks_uint n_check;
}
VKS_PARAMS_END(vks_scan_custom_params)

// Bits of the specialization constant FLAGS.
#define VKS_SCAN_CUSTOM_REVERSE 0x1u
#define VKS_SCAN_CUSTOM_TIME_CONTIGUOUS 0x2u
#define VKS_SCAN_CUSTOM_REDUCE 0x4u   // totals of segments, not y
#define VKS_SCAN_CUSTOM_SEGMENTS 0x8u // the state before a segment comes from the totals
#define VKS_SCAN_CUSTOM_CHECK 0x10u   // the laws, on triples of elements
