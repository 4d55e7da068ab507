// Runs of steps, and their scan over the lanes of a workgroup. A run maps the state before it to b + a state, or, with
// `cut`, to b whatever the state was (even NaN). Lanes i, i + SIDE, i + 2 SIDE, ... of a workgroup hold following runs of
// the same channels. Where a is constant in time a run's a is not carried along: it is a power that all lanes know.
struct Run {
    vec2 a, b;
    bool cut;
};

vec2 product(vec2 x, vec2 y) {
    if (!COMPLEX) return x * y;
    return vec2(fma(x.x, y.x, -x.y * y.y), fma(x.x, y.y, x.y * y.x));
}
vec2 next_state(vec2 a, vec2 h, vec2 b) {
    if (!COMPLEX) return fma(a, h, b);
    return vec2(fma(a.x, h.x, fma(-a.y, h.y, b.x)), fma(a.x, h.y, fma(a.y, h.x, b.y)));
}
// The same over a run. The a of a long unstable run may be infinite: a zero state must stay out of it.
vec2 run_state(vec2 a, vec2 h, vec2 b) {
    vec2 next = next_state(a, h, b);
    if (COMPLEX) return h == vec2(0) ? b : next;
    return mix(next, b, equal(h, vec2(0)));
}
// `left`, then `right`; `power` is the a of `right` where a is constant.
Run join(Run left, Run right, vec2 power) {
    Run joined;
    joined.a = A_STEP ? product(right.a, left.a) : vec2(0);
    joined.b = run_state(A_STEP ? right.a : power, left.b, right.b);
    joined.cut = CUTS && (left.cut || right.cut);
    if (CUTS && right.cut) joined.b = right.b;
    return joined;
}
Run empty_run() {
    return Run(vec2(1), vec2(0), false);
}

// ---- powers of a constant a ----
//
// A rounded square has its error doubled by every following one, so that a^(2^20) by float32 squares would be off by
// several percent where |a| is near 1. Squares of pairs of floats (value and remainder, about 48 bits; Dekker 1971) keep
// it within a rounding. No fma: not every device has a fused one.
vec2 two_sum(float x, float y) {
    precise float s = x + y;
    precise float t = s - x;
    precise float e = (x - (s - t)) + (y - t);
    return vec2(s, e);
}
vec2 settle(float high, float low) { // an overflow leaves no remainder
    vec2 s = two_sum(high, low);
    return isnan(s.y) || isinf(s.x) ? vec2(high, 0) : s;
}
vec2 split(float x) {
    precise float t = 4097.0 * x;
    precise float high = t - (t - x);
    return vec2(high, x - high);
}
vec2 pair_product(vec2 x, vec2 y) {
    precise float p = x.x * y.x;
    vec2 u = split(x.x), v = split(y.x);
    precise float e = ((u.x * v.x - p) + u.x * v.y + u.y * v.x) + u.y * v.y;
    precise float low = e + (x.x * y.y + x.y * y.x);
    return settle(p, low);
}
vec2 pair_sum(vec2 x, vec2 y) {
    vec2 s = two_sum(x.x, y.x);
    precise float low = s.y + (x.y + y.y);
    return settle(s.x, low);
}
// (value, remainder) of both parts of the square.
void square(inout vec2 x, inout vec2 y) {
    vec2 xx = pair_product(x, x), yy = pair_product(y, y);
    if (COMPLEX) {
        vec2 xy = pair_product(x, y);
        x = pair_sum(xx, -yy);
        y = 2.0 * xy;
    } else {
        x = xx;
        y = yy;
    }
}

const uint MAX_POWER = 10; // lanes of the same channels: up to 2^MAX_POWER
vec2 powers[MAX_POWER];    // [j]: a of 2^j neighbouring lanes' runs
vec2 lane_power;           // SUBGROUP: a of the runs before the lane in its row of lanes
vec2 row_power;            // and of a row

// ---- the scan over lanes ----

shared vec2 scan_a[2 * WG_SIZE], scan_b[2 * WG_SIZE];
shared bool scan_cut[2 * WG_SIZE];
uint scan_half = 0; // of the shared arrays that is written next: alternating, so that one barrier a step is enough

void put(uint i, Run run) {
    uint at = scan_half * WG_SIZE + i;
    if (A_STEP) scan_a[at] = run.a;
    scan_b[at] = run.b;
    if (CUTS) scan_cut[at] = run.cut;
}
Run get(uint i) { // of the half written last
    uint at = (1 - scan_half) * WG_SIZE + i;
    return Run(A_STEP ? scan_a[at] : vec2(0), scan_b[at], CUTS && scan_cut[at]);
}
void published() {
    barrier();
    scan_half = 1 - scan_half;
}

#ifdef SUBGROUP
uint lane_index() {
    return gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID;
}
Run from_lane(Run run, uint lane) {
    return Run(A_STEP ? subgroupShuffle(run.a, lane) : vec2(0), subgroupShuffle(run.b, lane),
               CUTS && subgroupShuffle(run.cut, lane));
}
// What stands before the lane's run, and all runs together. Every invocation must call.
void scan_lanes(uint i, Run own, out Run before, out Run total) {
    uint row_size = max(SIDE, gl_SubgroupSize), at = i % row_size, lane = gl_SubgroupInvocationID;
    [[unroll]] for (uint j = 0; SIDE << j < WG_SIZE; j++) {
        uint gap = SIDE << j;
        if (gap >= gl_SubgroupSize) break;
        Run left = from_lane(own, lane >= gap ? lane - gap : lane);
        if (lane >= gap) own = join(left, own, powers[j]);
    }
    Run inside = empty_run();
    if (SIDE < gl_SubgroupSize) inside = from_lane(own, lane >= SIDE ? lane - SIDE : lane);
    if (at >= row_size - SIDE) put(i / row_size * SIDE + i % SIDE, own);
    published();
    total = before = empty_run();
    for (uint row = 0; row < WG_SIZE / row_size; row++) {
        if (row == i / row_size) before = total;
        Run next = get(row * SIDE + i % SIDE);
        total = row == 0 ? next : join(total, next, row_power);
    }
    if (at >= SIDE) before = i < row_size ? inside : join(before, inside, lane_power);
}
#else
uint lane_index() {
    return gl_LocalInvocationIndex;
}
void scan_lanes(uint i, Run own, out Run before, out Run total) {
    put(i, own);
    published();
    [[unroll]] for (uint j = 0; SIDE << j < WG_SIZE; j++) {
        uint gap = SIDE << j;
        if (i >= gap) own = join(get(i - gap), own, powers[j]);
        put(i, own);
        published();
    }
    before = i >= SIDE ? get(i - SIDE) : empty_run();
    total = get(WG_SIZE - SIDE + i % SIDE);
}
#endif

// ---- totals of segments, between the dispatches ----
//
// params.totals: [B, n_segment, n_unit] vec2 b; then, with A_STEP, the same of a, else powers a^(2^j) as [32, B, n_unit]
// vec2; then, with CUTS, [B, n_segment, n_unit] u32. The first segment's b is the state after it. The last segment needs
// no total: its b is the state before the first one, which may share its memory with the final state.
uint total_index(uint segment) {
    return (batch * params.n_segment + segment) * params.n_unit + unit;
}
#ifndef LOOK_BACK
#define LOOK_BACK false // include/scan_slots.glsl tells the layout of totals
#endif
uint power_index(uint j) {
    uint n_before = LOOK_BACK ? 0 : params.n_segment * params.n_batch;
    return (n_before + min(j, VKS_SCAN_N_POWER - 1) * params.n_batch + batch) * params.n_unit + unit;
}
uint cut_index(uint segment) {
    uint n_total = params.n_batch * params.n_segment * params.n_unit;
    uint n_other = A_STEP ? n_total : VKS_SCAN_N_POWER * params.n_batch * params.n_unit;
    return 2 * (n_total + n_other) + total_index(segment);
}

void store_total(uint segment, Run total) {
    Floats2 totals = Floats2(params.totals);
    totals.at[total_index(segment)] = total.b;
    if (A_STEP) totals.at[params.n_batch * params.n_segment * params.n_unit + total_index(segment)] = total.a;
    if (CUTS) Words(params.totals).at[cut_index(segment)] = uint(total.cut);
}
Run load_total(uint segment) {
    Floats2 totals = Floats2(params.totals);
    Run total = empty_run();
    total.b = totals.at[total_index(segment)];
    if (A_STEP) total.a = totals.at[params.n_batch * params.n_segment * params.n_unit + total_index(segment)];
    if (CUTS) total.cut = Words(params.totals).at[cut_index(segment)] != 0;
    return total;
}

// Fill powers, lane_power and row_power for lanes that hold runs of 2^first steps: from the totals where they are there, as a
// chain of squares takes longer than a load; else for runs of STEPS.
void load_powers(uint first) {
    [[unroll]] for (uint j = 0; j == 0 || SIDE << j < WG_SIZE; j++)
        powers[j] = Floats2(params.totals).at[power_index(first + j)];
}
void compute_powers(vec2 a) {
    vec2 x = vec2(a.x, 0), y = vec2(a.y, 0);
    for (uint n = 1; n < STEPS; n *= 2) square(x, y);
    [[unroll]] for (uint j = 0; j == 0 || SIDE << j < WG_SIZE; j++) {
        powers[j] = vec2(x.x, y.x);
        square(x, y);
    }
}
void find_powers(vec2 a, uint first, uint i) {
    if (A_STEP) return;
    if (TABLE)
        load_powers(first);
    else
        compute_powers(a);
#ifdef SUBGROUP
    uint n_run = max(SIDE, gl_SubgroupSize) / SIDE, at = i / SIDE % n_run;
    // (Not a choice between two constant vectors: Mesa 22.3 takes such a specialization constant for the wrong one.)
    lane_power = vec2(1, COMPLEX ? 0.0 : 1.0);
    row_power = powers[0];
    [[unroll]] for (uint j = 0; SIDE << j < WG_SIZE; j++) {
        if ((at >> j & 1) != 0) lane_power = product(lane_power, powers[j]);
        if (n_run == 1 << j) row_power = powers[j];
    }
#endif
}

void store_powers(vec2 a) {
    vec2 x = vec2(a.x, 0), y = vec2(a.y, 0);
    for (uint j = 0; j < VKS_SCAN_N_POWER && params.n_time >> j != 0; j++) {
        Floats2(params.totals).at[power_index(j)] = vec2(x.x, y.x);
        square(x, y);
    }
}
