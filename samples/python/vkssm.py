"""vkssm from Python, over ctypes: one file, nothing to build, no other package needed.

    import vkssm
    device = vkssm.Device()
    model = device.load("models/zoo/stories-mamba2")
    print(model.session().generate_text("Once upon a time", n_token=100, temperature=0.8, seed=1))

Arrays go in as anything with the buffer protocol (NumPy arrays, array.array, memoryview), C-contiguous, and come out as
vkssm.Array, which has it too: numpy.asarray(x) is a view of it, without a copy. Objects are context managers; what is
left open is closed when it is collected. A session, stream or operator belongs to one thread at a time.

The library is looked for at VKSSM_LIBRARY, then beside this file's installation (../../../lib*/), then by name.
"""

import ctypes
import ctypes.util
import glob
import os

API_VERSION = 3  # of the headers that this file was written for

# vkssm_dtype by the buffer protocol's letters.
_FORMATS = {"f": 0, "e": 1, "d": 3, "b": 4, "B": 5, "h": 6, "i": 7, "l": 8, "q": 8, "?": 9}
F32, F16 = 0, 1

_POINTER = ctypes.c_void_p
_U32, _U64, _I32, _SIZE = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_size_t
_LOG_FUNCTION = ctypes.CFUNCTYPE(None, _POINTER, ctypes.c_int, ctypes.c_char_p)
_TOKEN_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_bool, _POINTER, _I32)


class Error(Exception):
    """A call failed; `status` is its code, the message says what was expected and what was found."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class _Struct(ctypes.Structure):
    pass


def _struct(name, /, **fields):
    return type(name, (_Struct,), {"_fields_": list(fields.items())})


_Log = _struct("_Log", callback=_LOG_FUNCTION, user=_POINTER, max_level=ctypes.c_int)
_Progress = _struct("_Progress", callback=_POINTER, user=_POINTER)
_DeviceParams = _struct(
    "_DeviceParams",
    log=_Log,
    select=ctypes.c_char_p,
    mask_features=_U32,
    subgroup_size=_U32,
    validation=ctypes.c_bool,
    cache_path=ctypes.c_char_p,
    get_instance_proc_addr=_POINTER,
)
_DeviceInfo = _struct(
    "_DeviceInfo",
    name=ctypes.c_char * 256,
    driver=ctypes.c_char * 512,
    type=ctypes.c_int,
    vendor_id=_U32,
    device_id=_U32,
    api_version=_U32,
    features=_U32,
    features_masked=_U32,
    subgroup_size=_U32,
    subgroup_size_min=_U32,
    subgroup_size_max=_U32,
    max_workgroup_invocations=_U32,
    max_shared_size=_U32,
    memory_size=_U64,
    memory_budget=_U64,
    max_allocation_size=_U64,
    n_validation_message=_U32,
    usable=ctypes.c_bool,
    unusable_reason=ctypes.c_char * 128,
)
_NamedTensor = _struct(
    "_NamedTensor",
    name=ctypes.c_char_p,
    dtype=ctypes.c_int,
    n_dim=_U32,
    shape=_U64 * 8,
    data=_POINTER,
    size=_U64,
)
_ModelInfo = _struct(
    "_ModelInfo",
    model_type=ctypes.c_char_p,
    n_layer=_U32,
    n_channel=_U32,
    n_vocab=_U32,
    n_parameter=_U64,
    weight_size=_U64,
    state_size=_U64,
    bos=_I32,
    eos=_I32,
    weight_dtype=ctypes.c_int,
    activation_dtype=ctypes.c_int,
    n_input=_U32,
    n_output=_U32,
)
_SessionParams = _struct(
    "_SessionParams",
    n_slot=_U32,
    piece_size=_U32,
    timestamps=ctypes.c_bool,
    submit_us=_U32,
    n_snapshot=_U32,
    n_rollback=_U32,
    prefix_cache_size=_U64,
    coded_inputs=ctypes.c_bool,
)
_RunParams = _struct("_RunParams", progress=_Progress, layers=ctypes.c_bool, piece_size=_U32)
_StreamParams = _struct("_StreamParams", n_slot=_U32, layers=ctypes.c_bool)
_ScanParams = _struct(
    "_ScanParams",
    n_batch=_U32,
    n_time=_U32,
    n_channel=_U32,
    dtype=ctypes.c_int,
    decay=ctypes.c_int,
    is_complex=ctypes.c_bool,
    time_contiguous=ctypes.c_bool,
    reverse=ctypes.c_bool,
    a=_POINTER,
    b=_POINTER,
    h=_POINTER,
    a_size=_SIZE,
    b_size=_SIZE,
    h_size=_SIZE,
    initial=_POINTER,
    last=_POINTER,
    resets=_POINTER,
    offsets=_POINTER,
    n_sequence=_U32,
)


# ---- the library -----------------------------------------------------------------------------------------------------


def _find_library():
    given = os.environ.get("VKSSM_LIBRARY")
    if given:
        return given
    here = os.path.dirname(os.path.abspath(__file__))
    for pattern in ("../../../lib/libvkssm.so.*", "../../../lib/*/libvkssm.so.*", "../../../lib64/libvkssm.so.*"):
        found = glob.glob(os.path.join(here, pattern))
        if found:
            return sorted(found, key=len)[0]
    return ctypes.util.find_library("vkssm") or f"libvkssm.so.{API_VERSION}"


_lib = ctypes.CDLL(_find_library())
_lib.vkssm_api_version.restype = _U32
if _lib.vkssm_api_version() != API_VERSION:
    raise ImportError(f"vkssm: a library of API {API_VERSION} expected, {_lib.vkssm_api_version()} found")
_lib.vkssm_last_error.restype = ctypes.c_char_p
_lib.vkssm_version.restype = ctypes.c_char_p
_lib.vkssm_status_text.restype = ctypes.c_char_p
_lib.vkssm_model_get_tokenizer.restype = _POINTER
_lib.vkssm_tensors_n_tensor.restype = _U32
_lib.vkssm_session_state_size.restype = _U64
_lib.vkssm_tokenizer_adds_bos.restype = ctypes.c_bool


def version():
    return _lib.vkssm_version().decode()


def _call(name, *arguments):
    status = getattr(_lib, name)(*arguments)
    if status:
        raise Error(status, _lib.vkssm_last_error().decode("utf-8", "replace"))


# ---- arrays ----------------------------------------------------------------------------------------------------------


class _View:
    """The memory of an array of the caller's, and what it is."""

    def __init__(self, array, what, writable=False):
        view = memoryview(array)
        if not view.c_contiguous:
            raise ValueError(f"{what}: a C-contiguous array expected")
        if writable and view.readonly:
            raise ValueError(f"{what}: a writable array expected")
        code = view.format.lstrip("<=@")
        self.is_complex = code.startswith("Z")
        if code.lstrip("Z") not in _FORMATS or (self.is_complex and code != "Zf"):
            raise TypeError(f"{what}: elements of type {view.format} are not known")
        self.dtype = _FORMATS[code.lstrip("Z")]
        self.shape, self.size, self.keep = view.shape, view.nbytes, array
        if view.nbytes == 0:
            self.address = None
        elif view.readonly:  # ctypes takes no address of memory that it must not write
            self.keep = (ctypes.c_char * view.nbytes).from_buffer_copy(array)
            self.address = ctypes.addressof(self.keep)
        else:
            self.keep = (ctypes.c_char * view.nbytes).from_buffer(array)
            self.address = ctypes.addressof(self.keep)

    def tensor(self, name):
        shape = (_U64 * 8)(*self.shape)
        return _NamedTensor(name, self.dtype, len(self.shape), shape, self.address, self.size)


def Array(shape, code="f", data=None):
    """A memoryview of new memory; numpy.asarray makes an array of it without a copy."""
    n = 1
    for size in shape:
        n *= size
    raw = bytearray(n * (8 if code == "Zf" else 4) if data is None else data)
    return memoryview(raw).cast(code, list(shape)) if n and len(shape) else memoryview(raw).cast(code)


def _int32(values, what):
    values = [int(v) for v in values]
    return (_I32 * len(values))(*values)


def _copy_tensor(t):
    shape = list(t.shape[: t.n_dim])
    data = ctypes.string_at(t.data, t.size)
    return Array(shape, "f", data)


# ---- handles ---------------------------------------------------------------------------------------------------------


class _Handle:
    _destroy = None

    def __init__(self, parent):
        self._handle, self._parent = _POINTER(), parent  # a child keeps what it is made on

    def close(self):
        if getattr(self, "_handle", None):
            getattr(_lib, self._destroy)(ctypes.byref(self._handle))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()


class Device(_Handle):
    """select: an index or a part of the name. log: a function of (level, message)."""

    _destroy = "vkssm_device_destroy"

    def __init__(self, select=None, mask_features=0, validation=False, cache_path=None, log=None):
        super().__init__(None)
        self._log = _LOG_FUNCTION(lambda _, level, text: log(level, text.decode("utf-8", "replace")) if log else None)
        params = _DeviceParams(
            log=_Log(self._log, None, 3 if log else 0),
            select=None if select is None else str(select).encode(),
            mask_features=mask_features,
            validation=validation,
            cache_path=cache_path and os.fsencode(cache_path),
        )
        _call(f"vkssm_device_create_api{API_VERSION}", ctypes.byref(params), ctypes.byref(self._handle))

    @property
    def info(self):
        info = _DeviceInfo()
        _lib.vkssm_device_get_info(self._handle, ctypes.byref(info))
        return {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in ((field, getattr(info, field)) for field, _ in _DeviceInfo._fields_)
        }

    def load(self, path):
        return Model(self, path)

    def scan(self, a, b, initial=None, reverse=False):
        """h[t] = a[t] h[t-1] + b[t] along the middle of [B, T, D]; a as b, or constant: [D] or [B, D]. Returns h, last."""
        va, vb = _View(a, "a"), _View(b, "b")
        if len(vb.shape) != 3:
            raise ValueError(f"b: three dimensions expected, {len(vb.shape)} found")
        n_batch, n_time, n_channel = vb.shape
        if (va.dtype, va.is_complex) != (vb.dtype, vb.is_complex):
            raise TypeError("a and b: one type expected, two found")
        decay = {vb.shape: 0, (n_channel,): 1, (n_batch, n_channel): 2}.get(tuple(va.shape))
        if decay is None or vb.dtype not in (F32, F16):
            raise ValueError(f"a: shape {vb.shape}, [{n_channel}] or [{n_batch}, {n_channel}] of floats expected")
        h = bytearray(vb.size)
        last = Array([n_batch, n_channel] + ([2] if vb.is_complex else []))
        vh, vl = _View(h, "h", True), _View(last, "last", True)
        vi = None if initial is None else _View(initial, "initial")
        if vi and (vi.dtype != F32 or vi.size != vl.size):
            raise ValueError(f"initial: {vl.size} bytes of float32 expected, {vi.size} found")
        params = _ScanParams(
            n_batch=n_batch,
            n_time=n_time,
            n_channel=n_channel,
            dtype=vb.dtype,
            decay=decay,
            is_complex=vb.is_complex,
            reverse=reverse,
            a=va.address,
            b=vb.address,
            h=vh.address,
            a_size=va.size,
            b_size=vb.size,
            h_size=vh.size,
            initial=vi and vi.address,
            last=vl.address,
        )
        _call("vkssm_scan_run", self._handle, ctypes.byref(params))
        code = "f" if vb.is_complex or vb.dtype == F32 else "e"
        shape = list(vb.shape) + ([2] if vb.is_complex else [])
        return memoryview(h).cast(code, shape), last


class Model(_Handle):
    _destroy = "vkssm_model_destroy"

    def __init__(self, device, path):
        super().__init__(device)
        _call("vkssm_model_load", device._handle, os.fsencode(path), None, ctypes.byref(self._handle))

    @property
    def info(self):
        info = _ModelInfo()
        _lib.vkssm_model_get_info(self._handle, ctypes.byref(info))
        values = {name: getattr(info, name) for name, _ in _ModelInfo._fields_}
        values["model_type"] = values["model_type"].decode()
        return values

    def _tokenizer(self):
        tokenizer = _lib.vkssm_model_get_tokenizer(self._handle)
        if not tokenizer:
            raise Error(4, "the model has no tokenizer")
        return _POINTER(tokenizer)

    def encode(self, text):
        data = text.encode()
        tokenizer, ids, n = self._tokenizer(), ctypes.POINTER(_I32)(), _SIZE()
        bos = _lib.vkssm_tokenizer_adds_bos(tokenizer)
        _call(
            "vkssm_tokenizer_encode", tokenizer, data, _SIZE(len(data)), ctypes.c_bool(bos), ctypes.c_bool(False),
            ctypes.byref(ids), ctypes.byref(n),
        )  # fmt: skip
        values = ids[: n.value]
        _lib.vkssm_free(ids)
        return values

    def decode(self, ids):
        tokens = _int32(ids, "ids")
        text, n = _POINTER(), _SIZE()
        _call(
            "vkssm_tokenizer_decode", self._tokenizer(), tokens, _SIZE(len(tokens)), ctypes.c_bool(True),
            ctypes.byref(text), ctypes.byref(n),
        )  # fmt: skip
        data = ctypes.string_at(text, n.value)
        _lib.vkssm_free(text)
        return data.decode("utf-8", "replace")

    def session(self, n_slot=1):
        return Session(self, n_slot)

    def stream(self, n_slot=1, layers=False):
        return Stream(self, n_slot, layers)

    def run(self, layers=False, **inputs):
        """Whole sequences: arrays [n, T, ...] by the names of the model's inputs; returns a dict of arrays."""
        views = {name: _View(array, name) for name, array in inputs.items()}
        tensors = (_NamedTensor * len(views))(*(view.tensor(name.encode()) for name, view in views.items()))
        params, out, found = _RunParams(layers=layers), _POINTER(), _NamedTensor()
        _call("vkssm_model_run", self._handle, ctypes.byref(params), tensors, len(tensors), ctypes.byref(out))
        results = {}
        for i in range(_lib.vkssm_tensors_n_tensor(out)):
            _lib.vkssm_tensors_get(out, i, ctypes.byref(found))
            results[found.name.decode()] = _copy_tensor(found)
        _lib.vkssm_tensors_destroy(ctypes.byref(out))
        return results


class Stream(_Handle):
    """One sample at a time: step(input=array [n_slot, ...]) returns a dict of arrays."""

    _destroy = "vkssm_stream_destroy"

    def __init__(self, model, n_slot, layers):
        super().__init__(model)
        params = _StreamParams(n_slot, layers)
        _call("vkssm_stream_create", model._handle, ctypes.byref(params), ctypes.byref(self._handle))

    def step(self, **inputs):
        views = {name: _View(array, name) for name, array in inputs.items()}
        tensors = (_NamedTensor * len(views))(*(view.tensor(name.encode()) for name, view in views.items()))
        out, n = ctypes.POINTER(_NamedTensor)(), _U32()
        _call("vkssm_stream_step", self._handle, tensors, len(tensors), ctypes.byref(out), ctypes.byref(n))
        return {out[i].name.decode(): _copy_tensor(out[i]) for i in range(n.value)}

    def reset(self, slot=0):
        _call("vkssm_stream_reset", self._handle, slot)


class Session(_Handle):
    _destroy = "vkssm_session_destroy"

    def __init__(self, model, n_slot):
        super().__init__(model)
        self.n_vocab, self.eos = model.info["n_vocab"], model.info["eos"]
        params = _SessionParams(n_slot=n_slot)
        _call("vkssm_session_create", model._handle, ctypes.byref(params), ctypes.byref(self._handle))

    def prefill(self, ids, slot=0):
        """Read tokens; returns the last one's logits, [V]."""
        tokens, logits = _int32(ids, "ids"), Array([self.n_vocab])
        view = _View(logits, "logits", True)
        _call("vkssm_session_prefill", self._handle, slot, tokens, _SIZE(len(tokens)), 1, _POINTER(view.address))
        return logits

    def step(self, ids, slots=(0,)):
        """One token for each of some slots; returns [len(slots), V]."""
        tokens, logits = _int32(ids, "ids"), Array([len(slots), self.n_vocab])
        if len(tokens) != len(slots):
            raise ValueError(f"{len(slots)} tokens expected, {len(tokens)} found")
        view = _View(logits, "logits", True)
        places = (_U32 * len(slots))(*slots)
        _call("vkssm_session_step", self._handle, len(slots), places, tokens, _POINTER(view.address))
        return logits

    def reset(self, slot=0):
        _call("vkssm_session_reset", self._handle, slot)

    def save(self, slot=0):
        data = ctypes.create_string_buffer(_lib.vkssm_session_state_size(self._handle))
        _call("vkssm_session_state_save", self._handle, slot, data, _U64(len(data)))
        return data.raw

    def load(self, data, slot=0):
        _call("vkssm_session_state_load", self._handle, slot, bytes(data), _U64(len(data)))

    def generate_text(self, prompt, n_token=100, temperature=0.0, top_k=0, top_p=0.0, seed=0, slot=0):
        """The prompt continued; the slot goes on from there."""
        model = self._parent
        self.prefill(model.encode(prompt), slot)
        ids = self.generate(n_token, temperature, top_k, top_p, seed, slot)
        if ids and ids[-1] == self.eos:
            ids.pop()
        return prompt + model.decode(ids)

    def generate(self, n_token, temperature=0.0, top_k=0, top_p=0.0, seed=0, slot=0):
        """Up to n_token ids, which end with the end token if it was drawn."""
        stop = _I32(self.eos)
        params = _GenerateParams(
            n_token=n_token,
            sampling=_Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed),
            stop_tokens=ctypes.pointer(stop),
            n_stop_token=self.eos >= 0,
        )
        tokens, n = (_I32 * n_token)(), _U32()
        _call("vkssm_session_generate", self._handle, slot, ctypes.byref(params), tokens, ctypes.byref(n))
        return list(tokens[: n.value])


_Sampling = _struct(
    "_Sampling",
    temperature=ctypes.c_float,
    top_k=_U32,
    top_p=ctypes.c_float,
    seed=_U64,
    min_p=ctypes.c_float,
    repetition_penalty=ctypes.c_float,
    presence_penalty=ctypes.c_float,
    seen_tokens=_POINTER,
    n_seen_token=_SIZE,
    biases=_POINTER,
    n_bias=_SIZE,
)
_GenerateParams = _struct(
    "_GenerateParams",
    n_token=_U32,
    sampling=_Sampling,
    stop_tokens=ctypes.POINTER(_I32),
    n_stop_token=_U32,
    on_token=_TOKEN_FUNCTION,
    user=_POINTER,
    log_probabilities=_POINTER,
)
