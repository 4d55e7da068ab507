// mixer_step's units: the recurrence of UNIT rows, and the units that are left to others. Behind the constants, shared arrays
// and private variables of shaders/op/mixer_step.comp.

// ---- the recurrence -----------------------------------------------------------------------------------------------------

uint cell_at(uint j) {
    uint n = 4 * (lane + LANES * j);
    return slot * params.state_stride + (first + lane_row) * N_STATE + (n < N_STATE ? n : 0) >> 2;
}

void load_cells() {
    [[unroll]] for (uint j = 0; j < CELLS; j++) cells[j] = Floats4(params.state).at[cell_at(j)];
}

// Whether B, C and dt are all there.
bool find_common(uint h) {
    uint g = h / (N_HEAD / N_GROUP), i = gl_LocalInvocationIndex;
    barrier();
    if (i == 0) told = 1;
    barrier();
    for (uint n = i; n <= 2 * N_STATE; n += WG_SIZE) {
        uint at = n < N_STATE ? g * N_STATE + n : n < 2 * N_STATE ? N_BC + g * N_STATE + n - N_STATE : 2 * N_BC + h;
        uint bits = atomicLoad(Words(params.words).at[at], gl_ScopeDevice, 0, gl_SemanticsRelaxed);
        if (bits == 0) told = 0;
        common_values[n] = uintBitsToFloat(bits);
    }
    barrier();
    return told != 0;
}

vec4 common4(uint n) {
    return vec4(common_values[n], common_values[n + 1], common_values[n + 2], common_values[n + 3]);
}

// S = exp(dt A) S + dt x (outer) B,  y = (S C + D x) silu(gate), for the rows of the unit.
void advance(uint h) {
    Floats heads = Floats(params.heads);
    float dt = common_values[2 * N_STATE] + heads.at[N_HEAD + h];
    dt = clamp(softplus(dt), params.dt_min, params.dt_max);
    float decay = exp(dt * heads.at[h]), d = heads.at[2 * N_HEAD + h], x = values[lane_row], sum = 0.0;
    [[unroll]] for (uint j = 0; j < CELLS; j++) {
        uint n = 4 * (lane + LANES * j);
        if (n >= N_STATE) break;
        cells[j] = fma(vec4(decay), cells[j], dt * common4(n) * x);
        sum += dot(cells[j], common4(N_STATE + n));
        Floats4(params.state).at[cell_at(j)] = cells[j];
    }
    uint i = gl_LocalInvocationIndex;
    row_sums[i] = sum;
    barrier();
    if (i >= UNIT) return;
    float y = 0.0;
    for (uint l = 0; l < LANES; l++) y += row_sums[i * LANES + l];
    Floats(params.y).at[first + i] = fma(d, values[i], y) * values[UNIT + i];
}

// ---- units that are left to others ----------------------------------------------------------------------------------------

uint mark_at() {
    return MARKS_AT + first / UNIT;
}

bool take_unit() {
    return (atomicOr(Words(params.words).at[mark_at()], MARK_TAKEN, gl_ScopeDevice, gl_StorageSemanticsBuffer,
                     gl_SemanticsAcquireRelease) & MARK_TAKEN) == 0;
}

void order_stores() { // of all invocations, before what one of them does next
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

// The number of words at `at` goes up; what it was.
uint count(uint at) {
    return atomicAdd(Words(params.words).at[at], 1u, gl_ScopeDevice, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
}

// Leave the unit. True: everything was published meanwhile, and it is this workgroup's again.
bool leave_unit() {
    uint i = gl_LocalInvocationIndex;
    if (i < 2 * UNIT)
        atomicStore(Words(params.left).at[i < UNIT ? first + i : N_INNER + first + i - UNIT], floatBitsToUint(values[i]),
                    gl_ScopeDevice, 0, gl_SemanticsRelaxed);
    order_stores();
    if (i == 0) {
        atomicOr(Words(params.words).at[mark_at()], MARK_LEFT, gl_ScopeDevice, gl_StorageSemanticsBuffer,
                 gl_SemanticsAcquireRelease);
        told = (count(LEFT_AT) & CLOSED) != 0 && take_unit() ? 1 : 0;
    }
    order_stores();
    return told != 0;
}

// Behind the last publisher nothing is missing: it takes the units that were left.
void take_units() {
    uint i = gl_LocalInvocationIndex;
    order_stores();
    if (i == 0) {
        told = 0;
        if (count(PUBLISHED_AT) + 1 == N_PUBLISHER)
            told = atomicOr(Words(params.words).at[LEFT_AT], CLOSED, gl_ScopeDevice, gl_StorageSemanticsBuffer,
                            gl_SemanticsAcquireRelease);
    }
    order_stores();
    if (told == 0) return;
    for (uint u = 0; u < N_UNIT; u++) {
        first = u * UNIT;
        barrier();
        if (i == 0) {
            uint mark = atomicLoad(Words(params.words).at[mark_at()], gl_ScopeDevice, gl_StorageSemanticsBuffer,
                                   gl_SemanticsAcquire);
            told = (mark & MARK_LEFT) != 0 && take_unit() ? 1 : 0;
        }
        order_stores();
        if (told == 0) continue;
        if (i < 2 * UNIT)
            values[i] = uintBitsToFloat(
                atomicLoad(Words(params.left).at[i < UNIT ? first + i : N_INNER + first + i - UNIT], gl_ScopeDevice, 0,
                           gl_SemanticsRelaxed));
        load_cells();
        find_common(first / WIDTH);
        advance(first / WIDTH);
    }
}
