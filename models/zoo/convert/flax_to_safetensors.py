"""Turn a flax checkpoint (msgpack, as flax.serialization and flax.training.checkpoints write it) into a safetensors file.

usage: flax_to_safetensors.py CHECKPOINT OUT.safetensors

Of a training state the collections `params` and `batch_stats` are kept and all else is left out; a checkpoint without
`params` at its top is taken for the parameters themselves. Tensors are named by their paths, as in
params/encoder/layers_0/seq/B (S5) or params/sequence_model/layers_0/seq/B (ConvS5). float64 becomes float32, complex64 and
complex128 become float32 with real and imaginary part in a last dimension of 2; other types stay. config.json is not made: a checkpoint does not say how its model was built.

Needs the standard library only. Exit status 0, 1 for a failure that is explained in one line on stderr, 2 for wrong usage.
"""

import json
import os
import struct
import sys

MAX_DEPTH = 64  # of nested containers; flax trees are a dozen deep

# flax's extension types of msgpack
NDARRAY, NATIVE_COMPLEX, NUMPY_SCALAR = 1, 2, 3

# numpy's names, bytes of an element, names of safetensors
TYPES = {
    "float32": (4, "F32"),
    "float16": (2, "F16"),
    "bfloat16": (2, "BF16"),
    "float64": (8, "F64"),
    "complex64": (8, None),
    "complex128": (16, None),
    "int8": (1, "I8"),
    "uint8": (1, "U8"),
    "int16": (2, "I16"),
    "int32": (4, "I32"),
    "int64": (8, "I64"),
    "bool": (1, "BOOL"),
}


class Problem(Exception):
    pass


class Array:
    def __init__(self, shape, dtype, data):
        self.shape, self.dtype, self.data = shape, dtype, data


# ---- msgpack ---------------------------------------------------------------------------------------------------------


class Reader:
    """One msgpack object after the other from bytes."""

    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise Problem(f"byte {self.at}: {size} bytes more expected, {len(self.data) - self.at} found")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def object(self, depth=0):
        if depth > MAX_DEPTH:
            raise Problem(f"byte {self.at}: at most {MAX_DEPTH} containers inside each other expected, more found")
        code = self.number("B")
        if code < 0x80:
            return code
        if code < 0x90:
            return self.map(code & 0x0F, depth)
        if code < 0xA0:
            return self.array(code & 0x0F, depth)
        if code < 0xC0:
            return self.text(code & 0x1F)
        if code >= 0xE0:
            return code - 0x100
        return self.coded(code, depth)

    def coded(self, code, depth):
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if code in simple:
            return simple[code]
        numbers = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq"))
        if code in numbers:
            return self.number(numbers[code])
        if 0xC4 <= code <= 0xC6:
            return bytes(self.take(self.number("BHI"[code - 0xC4])))
        if 0xC7 <= code <= 0xC9:
            return self.extension(self.number("BHI"[code - 0xC7]), depth)
        if 0xD4 <= code <= 0xD8:
            return self.extension(1 << (code - 0xD4), depth)
        if 0xD9 <= code <= 0xDB:
            return self.text(self.number("BHI"[code - 0xD9]))
        if code in (0xDC, 0xDD):
            return self.array(self.number("HI"[code - 0xDC]), depth)
        if code in (0xDE, 0xDF):
            return self.map(self.number("HI"[code - 0xDE]), depth)
        raise Problem(f"byte {self.at - 1}: a msgpack object expected, 0x{code:02x} found")

    def text(self, size):
        try:
            return bytes(self.take(size)).decode()
        except UnicodeDecodeError:
            raise Problem(f"byte {self.at - size}: a string in UTF-8 expected, something else found") from None

    def array(self, n, depth):
        return [self.object(depth + 1) for _ in range(n)]

    def map(self, n, depth):
        found = {}
        for _ in range(n):
            at = self.at
            key = self.object(depth + 1)
            if not isinstance(key, (str, int)) or key in found:
                raise Problem(f"byte {at}: a new key expected, {str(key)[:40]!r} found")
            found[key] = self.object(depth + 1)
        return found

    def extension(self, size, depth):
        at, kind = self.at, self.number("b")
        inner = Reader(self.take(size))
        if kind in (NDARRAY, NUMPY_SCALAR):
            return make_array(inner.object(depth + 1), at)
        if kind == NATIVE_COMPLEX:
            return None  # a Python number: no parameter
        raise Problem(f"byte {at}: an extension type of flax (1, 2 or 3) expected, {kind} found")


def make_array(parts, at):
    good = isinstance(parts, list) and len(parts) == 3 and isinstance(parts[0], list) and isinstance(parts[2], bytes)
    if not good or not all(isinstance(n, int) and n >= 0 for n in parts[0]):
        raise Problem(f"byte {at}: an array as shape, type and bytes expected, something else found")
    shape, dtype, data = parts
    if dtype not in TYPES:
        raise Problem(f"byte {at}: one of the types {', '.join(TYPES)} expected, {str(dtype)[:40]!r} found")
    size = TYPES[dtype][0]
    for n in shape:
        size *= n
    if size != len(data):
        raise Problem(f"byte {at}: {size} bytes for an array {shape} of {dtype} expected, {len(data)} found")
    return Array(shape, dtype, data)


# ---- the tree --------------------------------------------------------------------------------------------------------


def in_order(tree, path):
    """The values of a tuple or list, which flax writes as a map from "0", "1", ..."""
    keys = [str(i) for i in range(len(tree))] if isinstance(tree, dict) else None
    if keys is None or sorted(keys) != sorted(tree):
        raise Problem(f"{path}: a list expected, something else found")
    return [tree[key] for key in keys]


def join_chunks(tree, path):
    """An array too large for one msgpack object: pieces of its elements in order, and its shape."""
    shape, chunks = in_order(tree.get("shape"), path), in_order(tree.get("chunks"), path)
    if not chunks or not all(isinstance(c, Array) and c.dtype == chunks[0].dtype for c in chunks):
        raise Problem(f"{path}: pieces of one array expected, something else found")
    return make_array([shape, chunks[0].dtype, b"".join(c.data for c in chunks)], path)


def leaves(tree, path):
    """(path, array) for all arrays of a tree."""
    if isinstance(tree, Array):
        yield path, tree
    elif isinstance(tree, dict) and "__msgpack_chunked_array__" in tree:
        yield path, join_chunks(tree, path)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}/{key}")
    elif tree is not None:
        raise Problem(f"{path}: an array or a map expected, {type(tree).__name__} found")


def collect(checkpoint):
    if not isinstance(checkpoint, dict):
        raise Problem(f"a map at the top expected, {type(checkpoint).__name__} found")
    if "params" not in checkpoint:
        checkpoint = {"params": checkpoint}
    found = {}
    for collection in ("params", "batch_stats"):
        found.update(leaves(checkpoint.get(collection), collection))
    if not found:
        raise Problem("parameters expected, none found")
    return found


# ---- safetensors -----------------------------------------------------------------------------------------------------


def to_float32(array):
    if array.dtype == "complex64":
        return Array(array.shape + [2], "float32", array.data)
    if array.dtype in ("float64", "complex128"):
        n = len(array.data) // 8
        shape = array.shape + [2] if array.dtype == "complex128" else array.shape
        try:
            return Array(shape, "float32", struct.pack(f"<{n}f", *struct.unpack(f"<{n}d", array.data)))
        except OverflowError:
            raise Problem("a value that fits float32 expected, a larger one found") from None
    return array


def write(path, arrays):
    header, data, offset = {}, [], 0
    for name in sorted(arrays):
        array = to_float32(arrays[name])
        end = offset + len(array.data)
        header[name] = {"dtype": TYPES[array.dtype][1], "shape": array.shape, "data_offsets": [offset, end]}
        data.append(array.data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = path + ".partial"
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for part in data:
            file.write(part)
    os.replace(partial, path)


def convert(source, target):
    with open(source, "rb") as file:
        reader = Reader(file.read())
    checkpoint = reader.object()
    if reader.at != len(reader.data):
        raise Problem(f"byte {reader.at}: the end expected, {len(reader.data) - reader.at} bytes more found")
    arrays = collect(checkpoint)
    write(target, arrays)
    return arrays


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__ if sys.argv[1:] in (["-h"], ["--help"]) else __doc__.split("\n\n")[1], file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    source, target = sys.argv[1:]
    try:
        arrays = convert(source, target)
    except Problem as problem:
        print(f"{source}: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or source}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{target}: {len(arrays)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
