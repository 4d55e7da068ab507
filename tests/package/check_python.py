"""The Python module on the shared library: arrays in and out, results against plain Python, errors as exceptions.

check_python.py MODULE-FOLDER ZOO          (VKSSM_LIBRARY names the library, or the module finds the installed one)
"""

import array
import ctypes
import sys

sys.path.insert(0, sys.argv[1])
zoo = sys.argv[2]
import vkssm  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None
    print("without NumPy: array.array only")

n_checked = 0


def check(condition, what):
    global n_checked
    n_checked += 1
    if not condition:
        sys.exit(f"expected {what}")


def refused(status, part, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except vkssm.Error as error:
        check(error.status == status and part in str(error), f"{part} in {error} ({error.status})")
        return
    sys.exit(f"expected a failure with {part}")


def raises(kind, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kind:
        check(True, "")
        return
    sys.exit(f"expected {kind.__name__}")


def check_scan(device):
    n_time, n_channel = 300, 3
    a = [0.5 + 0.001 * i for i in range(n_channel)]
    b = [((7 * i) % 11 - 5) / 5 for i in range(n_time * n_channel)]
    wanted, state = [], [1.0] * n_channel
    for t in range(n_time):
        state = [a[c] * state[c] + b[t * n_channel + c] for c in range(n_channel)]
        wanted += state
    shaped = memoryview(array.array("f", b)).cast("B").cast("f", [1, n_time, n_channel])
    h, last = device.scan(array.array("f", a), shaped, initial=array.array("f", [1.0] * n_channel))
    check(h.shape == (1, n_time, n_channel) and h.format == "f", "an array of b's shape")
    flat = h.cast("B").cast("f")
    # Some 300 float32 additions of numbers of a few units.
    check(max(abs(x - y) for x, y in zip(flat, wanted)) < 1e-5, "the recurrence")
    check(list(last.cast("B").cast("f")) == list(flat[-n_channel:]), "the last state")
    raises(ValueError, device.scan, array.array("f", [1, 2]), shaped)
    raises(ValueError, device.scan, array.array("f", a), shaped, initial=array.array("f", [1]))
    if numpy is None:
        return
    x = numpy.array(b, dtype=numpy.float32).reshape(1, n_time, n_channel)
    x.flags.writeable = False  # read-only arrays serve too
    from_numpy, _ = device.scan(numpy.array(a, dtype=numpy.float32), x, initial=numpy.ones(n_channel, "f4"))
    check(numpy.array_equal(numpy.asarray(from_numpy), numpy.asarray(h)), "the same from NumPy arrays")
    z = (x + 1j * x[:, ::-1]).astype(numpy.complex64)
    decay = numpy.exp(1j * numpy.arange(n_channel)).astype(numpy.complex64) * numpy.float32(0.9)
    h, _ = device.scan(decay, z)
    found = numpy.asarray(h).reshape(1, n_time, 2 * n_channel).view(numpy.complex64)
    state = numpy.zeros(n_channel, numpy.complex128)
    for t in range(n_time):
        state = decay * state + z[0, t]
        check(abs(found[0, t] - state).max() < 1e-4, "the complex recurrence")  # as above, sums of up to 20
    raises(ValueError, device.scan, numpy.zeros((1, 4, 6), "f4")[:, :, ::2], numpy.zeros((1, 4, 3), "f4"))
    raises(TypeError, device.scan, numpy.zeros(3, "U1"), x)


def check_digits(device):
    """The first digits of the model's own data, whole and pixel by pixel."""
    with device.load(f"{zoo}/smnist-s5") as model:
        check(model.info["model_type"] == "s5", "the model's type")
        n, n_pixel = 2, 48  # a part of a digit is enough
        pixels = memoryview(bytearray((i * 37) % 256 for i in range(n * n_pixel))).cast("B", [n, n_pixel])
        logits = model.run(input=pixels)["logits"]
        check(logits.shape == (n, 10), "logits [n, 10]")
        with model.stream(n_slot=n) as stream:
            for t in range(n_pixel):
                step = stream.step(input=memoryview(bytearray([pixels[0, t], pixels[1, t]])))["logits"]
        a, b = logits.cast("B").cast("f"), step.cast("B").cast("f")
        check(max(abs(x - y) for x, y in zip(a, b)) < 1e-4, "the same by steps")  # log-probabilities of some units
        refused(1, "input", model.run, nothing=pixels)
        refused(4, "language model", model.session)


def check_story(device):
    with device.load(f"{zoo}/stories-mamba2") as model, model.session(n_slot=2) as session:
        ids = model.encode("Once upon a time")
        check(model.decode(ids) == "Once upon a time", "the text again")
        logits = session.prefill(ids)
        best = max(range(len(logits)), key=lambda i: logits[i])
        image = session.save()
        tokens = session.generate(6)
        check(tokens[0] == best and len(tokens) == 6, "the likeliest token first")
        session.load(image, slot=1)
        for i, token in enumerate(tokens[:-1]):
            row = session.step([token], slots=[1]).cast("B").cast("f")
            check(max(range(len(row)), key=lambda i: row[i]) == tokens[i + 1], "the same tokens by steps")
        session.reset()
        check(session.generate_text("Once upon a time", 6) == "Once upon a time" + model.decode(tokens), "the text")
        refused(1, "token", session.prefill, [1 << 30])
        refused(5, "", session.load, image[:-1])


device = vkssm.Device()
print(vkssm.version(), "on", device.info["name"])
check(vkssm.version().startswith(f"0.{vkssm.API_VERSION}."), "the version")
check_scan(device)
check_digits(device)
check_story(device)
refused(3 + 1, "no such device", vkssm.Device, "no such device")
refused(6, "", device.load, "no/such/model")
messages = []
quiet = vkssm.Device(log=lambda level, text: messages.append(text))
check(any("device:" in text for text in messages), "a message of the log")
quiet.close()
device.close()
device.close()
print(f"{n_checked} checks")
