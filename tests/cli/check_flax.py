"""The converter of flax checkpoints, on checkpoints packed here: every form that flax writes, the trained models of the zoo
there and back, and damage of every kind.

Usage: check_flax.py CONVERTER ZOO. Exit status 0 or 1.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile

CONVERTER, ZOO = (os.path.abspath(path) for path in sys.argv[1:3])


# ---- packing ---------------------------------------------------------------------------------------------------------


class Ndarray:
    def __init__(self, shape, dtype, data, kind=1):
        self.shape, self.dtype, self.data, self.kind = shape, dtype, data, kind


def sized(size, codes):
    """The head of an object of `size`: the smallest form, as codes for 8, 16 and 32 bits."""
    for code, form, limit in zip(codes, "BHI", (1 << 8, 1 << 16, 1 << 32)):
        if code is not None and size < limit:
            return bytes([code]) + struct.pack(">" + form, size)
    raise ValueError(size)


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if -32 <= value < 128:
            return struct.pack("b", value)
        return b"\xd3" + struct.pack(">q", value) if value < 0 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else sized(len(text), (0xD9, 0xDA, 0xDB))) + text
    if isinstance(value, bytes):
        return sized(len(value), (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, (list, tuple)):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else sized(len(value), (None, 0xDC, 0xDD))
        return head + b"".join(map(pack, value))
    if isinstance(value, dict):
        head = bytes([0x80 | len(value)]) if len(value) < 16 else sized(len(value), (None, 0xDE, 0xDF))
        return head + b"".join(pack(k) + pack(v) for k, v in value.items())
    payload = pack([list(value.shape), value.dtype, value.data])
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    head = bytes([fixed[len(payload)]]) if len(payload) in fixed else sized(len(payload), (0xC7, 0xC8, 0xC9))
    return head + struct.pack("b", value.kind) + payload


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


# ---- running ---------------------------------------------------------------------------------------------------------


def convert(data, *more):
    source, target = os.path.join(folder, "checkpoint_1"), os.path.join(folder, "out.safetensors")
    if os.path.exists(target):
        os.unlink(target)
    with open(source, "wb") as file:
        file.write(data)
    command = [sys.executable, "-B", CONVERTER, source, target, *more]
    process = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return process, target


def read_file(path):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    body = data[8 + size :]
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def converted(checkpoint):
    process, target = convert(pack(checkpoint))
    expect(process.returncode == 0 and not process.stderr, f"expected success, found {process}")
    return read_file(target)


def refused(data, part):
    process, target = convert(data)
    line = process.stderr.decode()
    expect(process.returncode == 1 and not process.stdout, f"expected status 1, found {process}")
    expect(line.count("\n") == 1 and line.endswith("\n"), f"expected one line, found {line!r}")
    expect("checkpoint_1: " in line and part in line, f"expected the file and {part!r} in {line!r}")
    expect(not os.path.exists(target) and not os.path.exists(target + ".partial"), "expected nothing to be written")


# ---- cases -----------------------------------------------------------------------------------------------------------


def every_form():
    state = {
        "step": 3,
        "params": {
            "a": Ndarray([2, 1], "float32", floats(1.5, -2)),
            "nested": {
                "half": Ndarray([3], "float16", bytes(6)),
                "brain": Ndarray([1], "bfloat16", b"\x80\x3f"),
                "wide": Ndarray([2], "float64", struct.pack("<2d", 0.5, -3)),
                "complex": Ndarray([1, 2], "complex64", floats(1, 2, 3, 4)),
                "scalar": Ndarray([], "float32", floats(7), kind=3),
                "n": Ndarray([2], "int32", struct.pack("<2i", -1, 5)),
                "empty": Ndarray([0, 4], "float32", b""),
            },
            "a name that is longer than thirty-one bytes": Ndarray([300], "uint8", bytes(range(256)) + bytes(44)),
            "large": {
                "__msgpack_chunked_array__": True,
                "shape": {"0": 3, "1": 1},
                "chunks": {"0": Ndarray([2], "float32", floats(1, 2)), "1": Ndarray([1], "float32", floats(3))},
            },
            "nothing": None,
        },
        "batch_stats": {"norm": {"mean": Ndarray([1], "float32", floats(9))}},
        "opt_state": {"0": {"mu": Ndarray([1], "float32", floats(1)), "rate": 1e-3, "name": "adam", "on": True}},
    }
    found = converted(state)
    wanted = {
        "params/a": ("F32", [2, 1], floats(1.5, -2)),
        "params/nested/half": ("F16", [3], bytes(6)),
        "params/nested/brain": ("BF16", [1], b"\x80\x3f"),
        "params/nested/wide": ("F32", [2], floats(0.5, -3)),
        "params/nested/complex": ("F32", [1, 2, 2], floats(1, 2, 3, 4)),
        "params/nested/scalar": ("F32", [], floats(7)),
        "params/nested/n": ("I32", [2], struct.pack("<2i", -1, 5)),
        "params/nested/empty": ("F32", [0, 4], b""),
        "params/a name that is longer than thirty-one bytes": ("U8", [300], bytes(range(256)) + bytes(44)),
        "params/large": ("F32", [3, 1], floats(1, 2, 3)),
        "batch_stats/norm/mean": ("F32", [1], floats(9)),
    }
    expect(found == wanted, f"expected {wanted}, found {found}")
    # Bare parameters.
    expect(set(converted({"encoder": state["params"]["nested"]})) == {f"params/encoder/{k}" for k in state["params"]["nested"]},
           "expected the same below params/encoder")


def zoo_models():
    for name in ("smnist-s5", "moving-mnist-convs5"):
        there_and_back(os.path.join(ZOO, name, "model.safetensors"))


def there_and_back(path):
    wanted, tree = read_file(path), {}
    for name, (_, shape, data) in wanted.items():
        *folders, leaf = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
        place[leaf] = Ndarray(shape, "float32", data)
    expect(converted(tree) == wanted, "expected the model of the zoo, unchanged")


def damage():
    good = pack({"params": {"a": Ndarray([2], "float32", floats(1, 2)), "b": {"c": Ndarray([1], "float32", floats(3))}}})
    for size in range(len(good)):
        refused(good[:size], "byte")
    refused(good + b"\xc0", "the end expected, 1 bytes more found")
    refused(b"\xc1", "a msgpack object expected, 0xc1 found")
    refused(pack([1, 2]), "a map at the top expected, list found")
    refused(pack({}), "parameters expected, none found")
    refused(pack({"params": {"a": 3}}), "params/a: an array or a map expected, int found")
    refused(pack({"params": {"a": Ndarray([3], "float32", floats(1, 2))}}), "12 bytes for an array [3] of float32 expected, 8 found")
    refused(pack({"params": {"a": Ndarray([2], "string", b"ab")}}), "'string' found")
    refused(pack({"params": {"a": Ndarray([-1], "uint8", b"")}}), "shape, type and bytes expected")
    refused(pack({"params": {"a": Ndarray([1], "uint8", b"a", kind=9)}}), "an extension type of flax (1, 2 or 3) expected, 9 found")
    refused(pack({"params": {"a": Ndarray([1], "float64", struct.pack("<d", 1e300))}}), "a value that fits float32")
    refused(b"\x82" + pack("params") * 2 + pack("params") + b"\xc0", "a new key expected, 'params' found")
    refused(b"\x81\xa1\xff\xc0", "a string in UTF-8")
    refused(b"\x91" * 5000 + b"\xc0", "at most 64 containers")
    chunked = {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"1": Ndarray([1], "uint8", b"a")}}
    refused(pack({"params": {"a": chunked}}), "params/a: a list expected")
    chunked["chunks"] = {"0": Ndarray([1], "uint8", b"a")}
    refused(pack({"params": {"a": chunked}}), "3 bytes for an array [3] of uint8 expected, 1 found")


def usage():
    process, _ = convert(b"", "one more")
    expect(process.returncode == 2 and b"usage:" in process.stderr, f"expected status 2 and the usage, found {process}")
    process = subprocess.run([sys.executable, "-B", CONVERTER, os.path.join(folder, "none"), "x"], capture_output=True, check=False)
    expect(process.returncode == 1 and b"none: No such file" in process.stderr, f"expected status 1, found {process}")


def main():
    n_failed = 0
    for case in (every_form, zoo_models, damage, usage):
        try:
            case()
            print(f"ok   {case.__name__}")
        except AssertionError as error:
            n_failed += 1
            print(f"  {error}\nFAIL {case.__name__}")
    return 1 if n_failed else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="vkssm-flax-") as folder:
        status = main()
    sys.exit(status)
