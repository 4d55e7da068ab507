// Bits of the specialization constant FLAGS of the kernels of the selective scan.
#ifndef VKS_SELECTIVE_FLAGS_H
#define VKS_SELECTIVE_FLAGS_H
#define VKS_SELECTIVE_GATE 1    // y is multiplied by SiLU(gate)
#define VKS_SELECTIVE_REVERSE 2 // time runs from the last row to the first
#define VKS_SELECTIVE_PACKED 4  // sequences of different lengths, given by offsets
#define VKS_SELECTIVE_ADD 8     // y is added to what is there
#define VKS_SELECTIVE_REDUCE 16 // only the state at the end of each segment is wanted
#endif
