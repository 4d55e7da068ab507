// Every operator, one a line: X(name, what it computes). The name is that of host/op/op_<name>.c, of its double-precision
// twin tests/ref/ref_<name>.c, of its case table tests/op/test_<name>.c, and of its scope in timings.
#define VKS_OP_LIST(X)                                                                                                      \
    X(embedding, "rows of a table by token id")                                                                             \
    X(rms_norm, "RMS norm, with residual sum or gate, by groups")                                                           \
    X(matmul, "product with a weight matrix: GEMM and GEMV")                                                                \
    X(matmul_s8, "product of matrices of 8-bit integers")                                                                   \
    X(sum_parts, "sum of the parts of a split product")                                                                     \
    X(conv1d, "causal depthwise convolution with carried state")                                                            \
    X(ssd, "Mamba-2's recurrence, chunked, and its step")                                                                   \
    X(mixer_step, "projection, convolution and recurrence of a Mamba-2 mixer's step")                                        \
    X(ssd_tree, "Mamba-2's recurrence along the branches of a tree of drafts")                                              \
    X(selective_scan, "Mamba-1's recurrence over sequences, and its step")                                                  \
    X(sample, "choice of the next token")                                                                                   \
    X(layer_norm, "layer norm over rows, or an affine map of channels")                                                     \
    X(activation, "skip, GELU, sigmoid gate, residual sum")                                                                 \
    X(pool_mean, "running mean over time")                                                                                  \
    X(log_softmax, "logarithm of softmax over rows")                                                                        \
    X(scan, "first-order recurrence over time, real or complex, with resets and packed sequences")                        \
    X(conv2d, "convolution of images: implicit GEMM")                                                                       \
    X(group_norm, "group norm of images, with activation")                                                                  \
    X(resample2d, "average pooling, nearest upsampling, order of channels")                                                 \
    X(conv_s5, "the convolutional S5 recurrence")
