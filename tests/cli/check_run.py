"""The command `vkssm run` as its users see it: what it writes, exit statuses, one-line messages.

Usage: check_run.py VKSSM ZOO [PART-OF-NAME]. As check_cli.py, whose tools it uses.
"""

import os
import shutil
import struct
import sys
import tempfile

import check_cli
from check_cli import ZOO, case, device_case, equal, read_tensor, run, split_file, wrong_usage, write_file

check_cli.cases.clear()

DIGITS = os.path.join(ZOO, "smnist-s5")
GOLDEN = os.path.join(DIGITS, "golden.safetensors")
STORIES = os.path.join(ZOO, "stories-mamba2")
N_TIME, N_CLASS, WIDTH, N_LAYER = 784, 10, 128, 4
# Recorded on a GPU in float32: logits differ by up to 2e-4, the layers' outputs, up to 30, by as much.
GAP = 1e-3


def path_of(name):
    return os.path.join(check_cli.folder, name)


def pixels(n):
    header, data = split_file(GOLDEN)
    begin = header["input"]["data_offsets"][0]
    return data[begin : begin + n * N_TIME]


def write_tensors(name, **tensors):
    header, data = {}, b""
    for key, (dtype, shape, values) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    path = path_of(name)
    write_file(path, header, data)
    return path


def check_tensor(path, name, shape):
    """A tensor of `path` against the first numbers of the recorded one."""
    found_shape, found = read_tensor(path, name)
    _, wanted = read_tensor(GOLDEN, name)
    equal(f"the shape of {name}", found_shape, shape)
    gap = max(abs(a - b) for a, b in zip(found, wanted))
    if not gap <= GAP:
        raise AssertionError(f"{name}: expected the recorded numbers within {GAP}, found them {gap} apart")
    return found


# ---- usage -----------------------------------------------------------------------------------------------------------


@case
def options():
    wrong_usage("run", "--model", DIGITS, parts=["--in"])
    wrong_usage("run", "--model", DIGITS, "--in", GOLDEN, parts=["--out"])
    for value in ("0", "-1", "x", "4294967296"):
        wrong_usage("run", "--model", DIGITS, "--in", GOLDEN, "--out", "x", "--first", value, parts=["--first"])
    wrong_usage("run", "--model", DIGITS, "--in", GOLDEN, "--out", "x", "--layers=1", parts=["--layers", "no value"])


# ---- outputs ---------------------------------------------------------------------------------------------------------


@device_case
def recorded_digits():
    """The file holds labels, logits and layers too: they are ignored."""
    out = path_of("whole.safetensors")
    result = run("run", "--model", DIGITS, "--in", GOLDEN, "--out", out, "--first", "3").passed()
    equal("what is printed", result.out + result.err, b"")
    equal("tensors", list(split_file(out)[0]), ["logits"])
    logits = check_tensor(out, "logits", [3, N_CLASS])
    labels = read_tensor(GOLDEN, "labels")[1][:3]
    equal("digits", [max(range(N_CLASS), key=lambda c: logits[i * N_CLASS + c]) for i in range(3)], labels)


@device_case
def layers():
    out = path_of("layers.safetensors")
    run("run", "--model", DIGITS, "--in", GOLDEN, "--out", out, "--first", "2", "--layers").passed()
    equal("tensors", sorted(split_file(out)[0]), [f"layer{i}.out" for i in range(N_LAYER)] + ["logits"])
    for i in range(N_LAYER):
        check_tensor(out, f"layer{i}.out", [2, N_TIME, WIDTH])


@device_case
def stream():
    out, whole = path_of("stream.safetensors"), path_of("whole.safetensors")
    arguments = ["run", "--model", DIGITS, "--in", GOLDEN, "--first", "2", "--layers", "--out"]
    run(*arguments, out, "--stream").passed()
    check_tensor(out, "logits", [2, N_CLASS])
    check_tensor(out, "layer3.out", [2, N_TIME, WIDTH])
    run(*arguments, whole).passed()
    equal("the shapes by both forms", split_file(out)[0], split_file(whole)[0])


@device_case
def forms_of_the_input():
    """uint8 and float32, with and without the last dimension of 1; and 16-bit storage."""
    data = pixels(2)
    floats = struct.pack(f"<{len(data)}f", *(pixel / 255 for pixel in data))
    files = [
        write_tensors("u8.safetensors", input=("U8", [2, N_TIME], data)),
        write_tensors("u8-3.safetensors", input=("U8", [2, N_TIME, 1], data), other=("I64", [1], bytes(8))),
        write_tensors("f32.safetensors", input=("F32", [2, N_TIME, 1], floats)),
    ]
    for path in files:
        run("run", "--model", DIGITS, "--in", path, "--out", path + ".out").passed()
        check_tensor(path + ".out", "logits", [2, N_CLASS])
    out = path_of("f16.safetensors")
    run("run", "--model", DIGITS, "--in", files[0], "--out", out, "--precision", "f16", "--weights", "f16").passed()
    found, wanted = read_tensor(out, "logits")[1], read_tensor(GOLDEN, "logits")[1]
    # float16 rounds at 5e-4; four layers and logits up to 30.
    if not max(abs(a - b) for a, b in zip(found, wanted)) < 0.5:
        raise AssertionError(f"logits in float16: expected about {wanted[:20]}, found {found}")


# ---- failures --------------------------------------------------------------------------------------------------------


def fails(path, *parts, model=DIGITS, more=()):
    out = path_of("never.safetensors")
    run("run", "--model", model, "--in", path, "--out", out, *more).failed(*parts)
    equal("a file left by a failure", os.path.exists(out), False)


@device_case
def bad_inputs():
    data = pixels(1)
    for more in ((), ("--stream",)):
        fails(path_of("none.safetensors"), "none.safetensors", more=more)
        path = write_tensors("other.safetensors", pixels=("U8", [1, N_TIME], data))
        fails(path, "other.safetensors", "tensor input expected, none found", more=more)
        path = write_tensors("wide.safetensors", input=("U8", [1, 392, 2], data))
        fails(path, "wide.safetensors", "tensor input", "1]", "2] found", more=more)
        path = write_tensors("flat.safetensors", input=("U8", [N_TIME], data))
        fails(path, "flat.safetensors", "tensor input", more=more)
        path = write_tensors("nothing.safetensors", input=("U8", [0, N_TIME], b""))
        fails(path, "nothing.safetensors", "tensor input", more=more)
        path = write_tensors("ints.safetensors", input=("I32", [1, N_TIME // 4], data))
        fails(path, "ints.safetensors", "F32 or U8 expected, I32 found", more=more)
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[:-1])
    fails(path, "ints.safetensors")


VIDEO = os.path.join(ZOO, "moving-mnist-convs5")
N_PIXEL = 64 * 64


def clips(n_time, n_clip, pixels=None):
    """Frames of the recorded clips, time first; or those that are given."""
    header, data = split_file(os.path.join(VIDEO, "golden.safetensors"))
    begin, step = header["frames"]["data_offsets"][0], 2 * N_PIXEL
    frames = pixels or b"".join(data[begin + t * step : begin + t * step + n_clip * N_PIXEL] for t in range(n_time))
    return write_tensors("clips.safetensors", frames=("U8", [n_time, n_clip, 1, 64, 64], frames))


@device_case
def closed_loop():
    """Time comes first, before and after: two frames read, two predicted, of two clips and of one."""
    out, one = path_of("video.safetensors"), path_of("one.safetensors")
    arguments = ["--condition", "2", "--predict", "2"]
    run("run", "--model", VIDEO, "--in", clips(3, 2), "--out", out, *arguments).passed()
    run("run", "--model", VIDEO, "--in", clips(2, 1), "--out", one, "--predict", "2", "--layers").passed()
    header = split_file(out)[0]
    equal("shapes", {name: header[name]["shape"] for name in header}, {name: [2, 2, 1, 64, 64] for name in ("next", "rollout")})
    equal("the outputs of one clip", sorted(split_file(one)[0]), [f"layer{i}.state" for i in range(3)] + ["next", "rollout"])
    next_frames, rollout = read_tensor(out, "next")[1], read_tensor(out, "rollout")[1]
    wanted = read_tensor(os.path.join(VIDEO, "golden.safetensors"), "next")[1]
    alone = read_tensor(one, "rollout")[1]
    # The first clip's first two frames are as recorded; its rollout is that of the clip alone, but for roundings.
    gaps = [abs(next_frames[t * 2 * N_PIXEL + i] - wanted[t * N_PIXEL + i]) for t in range(2) for i in range(N_PIXEL)]
    gaps += [abs(rollout[t * 2 * N_PIXEL + i] - alone[t * N_PIXEL + i]) for t in range(2) for i in range(N_PIXEL)]
    if not max(gaps) <= GAP:
        raise AssertionError(f"frames: expected a gap of at most {GAP}, found {max(gaps)}")
    equal("the first predicted frame", rollout[: 2 * N_PIXEL], next_frames[2 * N_PIXEL :])


@device_case
def bad_loops():
    wrong_usage("run", "--model", VIDEO, "--in", GOLDEN, "--out", "x", "--predict", "2", "--stream", parts=["--stream"])
    wrong_usage("run", "--model", VIDEO, "--in", GOLDEN, "--out", "x", "--condition", "2", "--first", "1", parts=["--first"])
    wrong_usage("run", "--model", VIDEO, "--in", GOLDEN, "--out", "x", "--predict", "0", parts=["--predict"])
    more = ("--condition", "3", "--predict", "2")
    fails(clips(2, 1), "tensor frames: at least 3 steps expected, 2 found", model=VIDEO, more=more)
    fails(clips(0, 1), "tensor frames: shape [T, n, ...], none of them 0, expected", model=VIDEO, more=("--predict", "2"))
    small = write_tensors("small.safetensors", frames=("U8", [2, 1, 1, 32, 64], bytes(2 * 32 * 64)))
    fails(small, "tensor frames: shape [n, T, 1, 64, 64]", "[1, 2, 1, 32, 64] found", model=VIDEO, more=("--predict", "2"))
    bright = write_tensors("bright.safetensors", frames=("F32", [1, 1, 1, 64, 64], struct.pack("<f", 2) * N_PIXEL))
    fails(bright, "tensor frames: values from -1 to 1 expected, 2 found at 0", model=VIDEO, more=("--predict", "2"))
    fails(GOLDEN, "rollout", "s5 found", model=DIGITS, more=("--predict", "2"))


@device_case
def bad_models():
    fails(GOLDEN, "tensors to tensors", "mamba2", model=STORIES)
    run("logits", "--model", DIGITS, "--ids", "1", "--out", path_of("never")).failed("language model", "s5")
    folder = path_of("model")
    os.mkdir(folder)
    shutil.copy(os.path.join(DIGITS, "model.safetensors"), folder)
    with open(os.path.join(DIGITS, "config.json"), encoding="utf-8") as file:
        config = file.read()
    for old, new, part in (
        ('"half_glu1"', '"swish"', 'key "activation": one of gelu, half_glu1, half_glu2, full_glu expected, "swish" found'),
        ('"n_layers": 4', '"n_layers": 5', "params/encoder/layers_4/seq/Lambda_re of shape [64] expected, none found"),
        ('"d_model": 128', '"d_model": 64', "encoder/kernel: shape [1, 64] expected, [1, 128] found"),
        ('"pixel/255"', '"percent"', 'key "input_scale"'),
    ):
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            file.write(config.replace(old, new))
        fails(GOLDEN, os.path.basename(folder), part, model=folder)


@device_case
def validation_layers():
    out = path_of("validated.safetensors")
    result = run("run", "--model", DIGITS, "--in", GOLDEN, "--out", out, "--first", "1", "--validation")
    if result.status == 1 and b"VK_LAYER_KHRONOS_validation" in result.err and result.err.count(b"\n") == 1:
        return "the Vulkan validation layers are not installed"
    result.passed()
    return None


if __name__ == "__main__":
    check_cli.folder = tempfile.mkdtemp(prefix="vkssm-cli-")
    try:
        status = check_cli.main()
    finally:
        shutil.rmtree(check_cli.folder)
    sys.exit(status)
