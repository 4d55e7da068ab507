"""The command as its users see it: output, exit statuses, one-line messages.

Usage: check_cli.py VKSSM ZOO [PART-OF-NAME]. Cases that need a Vulkan device are skipped, with the reason, where there
is none. Exit status 0, 1, or 77 if there was no device or all cases were skipped.
"""

import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback

VKSSM, ZOO = (os.path.abspath(path) for path in sys.argv[1:3])
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORIES = os.path.join(ZOO, "stories-mamba2")
GOLDEN = os.path.join(STORIES, "golden.safetensors")
COMMANDS = ("info", "generate", "eval", "logits", "run")  # those with options in common; bench has cases of its own
FEATURES = (
    "subgroup_arithmetic subgroup_shuffle shader_f16 storage_16 shader_int8 storage_8 shader_int64 integer_dot "
    "bfloat16 cooperative_matrix cooperative_matrix_2 pipeline_statistics memory_budget timestamps bfloat16_matrix "
    "int8_matrix"
).split()
cases = []


def case(function):
    cases.append((function, False))
    return function


def device_case(function):
    cases.append((function, True))
    return function


class Result:
    def __init__(self, arguments, process):
        self.what = "vkssm " + " ".join(repr(a) if isinstance(a, bytes) or not a else a for a in arguments)
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    def expect(self, condition, wanted):
        if not condition:
            raise AssertionError(
                f"{self.what}: expected {wanted}; found status {self.status}, stdout {self.out[:600]!r}, "
                f"stderr {self.err[:600]!r}"
            )

    def passed(self):
        self.expect(self.status == 0, "status 0")
        return self

    def failed(self, *parts, status=1):
        """The status, nothing on stdout, and one line on stderr that holds all parts, in any case."""
        self.expect(self.status == status, f"status {status}")
        self.expect(self.out == b"", "nothing on stdout")
        line = self.err.decode("utf-8", "replace")
        one = line.startswith("vkssm: ") and line.endswith("\n") and line.count("\n") == 1
        self.expect(one, 'one line on stderr that starts with "vkssm: "')
        for part in parts:
            self.expect(part.lower() in line.lower(), f'"{part}" on stderr')
        return self


def run(*arguments, **options):
    environment = {**os.environ, "XDG_CACHE_HOME": os.path.join(folder, "cache"), **options}
    process = subprocess.run([VKSSM, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    return Result(arguments, process)


def wrong_usage(*arguments, parts=()):
    return run(*arguments).failed(*parts, status=2)


def equal(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: expected {str(wanted)[:600]}, found {str(found)[:600]}")


# ---- safetensors -----------------------------------------------------------------------------------------------------

FORMATS = {"I32": "i", "I64": "q", "F32": "f"}


def split_file(path):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def read_tensor(path, name):
    header, data = split_file(path)
    begin, end = header[name]["data_offsets"]
    values = [value for (value,) in struct.iter_unpack("<" + FORMATS[header[name]["dtype"]], data[begin:end])]
    return header[name]["shape"], values


def write_file(path, header, data):
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_ids(name, dtype, values, shape=None):
    path = os.path.join(folder, name)
    data = struct.pack(f"<{len(values)}{FORMATS[dtype]}", *values)
    entry = {"dtype": dtype, "shape": shape or [len(values)], "data_offsets": [0, len(data)]}
    write_file(path, {"ids": entry}, data)
    return path + ":ids"


def copy_model(name):
    """A copy of the model that may be damaged; what stays whole is linked."""
    path = os.path.join(folder, name)
    os.mkdir(path)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        os.symlink(os.path.join(STORIES, file), os.path.join(path, file))
    return path


def replace(path, data):
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)


# ---- text ------------------------------------------------------------------------------------------------------------


def byte_of_letter():
    """The byte that each letter of a byte-level vocabulary stands for: printable ones for themselves, the others, in
    order, for the letters from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in plain)
    letters.update((chr(0x100 + i), byte) for i, byte in enumerate(others))
    return letters


def decode(ids):
    with open(os.path.join(STORIES, "tokenizer.json"), encoding="utf-8") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    token_of = {id: token for token, id in vocabulary.items()}
    letters = byte_of_letter()
    return bytes(letters[letter] for id in ids if id != 0 for letter in token_of[id])


# ---- cases without a device ------------------------------------------------------------------------------------------


@case
def help_of_each_command():
    for option in ("--help", "-h"):
        result = run(option).passed()
        for command in COMMANDS:
            result.expect(f"  {command} " in result.out.decode(), f"the command {command}")
    for command in COMMANDS:
        result = run(command, "--help").passed()
        result.expect(result.out.startswith(b"usage: vkssm " + command.encode() + b" "), "a usage line")
        result.expect(b"\n  --help " in result.out and result.err == b"", "a list of options, nothing on stderr")
        # Help is given whatever else is there or missing.
        equal("help after an option", run(command, "--device", "0", "--help").passed().out, result.out)


@case
def version():
    result = run("--version").passed()
    result.expect(result.out.startswith(b"vkssm") and result.out.count(b"\n") == 1, "one line")


@case
def wrong_commands():
    wrong_usage(parts=["command"])
    wrong_usage("frobnicate", parts=["frobnicate", "generate"])
    wrong_usage("two\nlines", parts=["two?lines"])
    wrong_usage("--model", "x")


@case
def wrong_options():
    for command in COMMANDS:
        wrong_usage(command, "--frobnicate", parts=[command, "--frobnicate"])
        wrong_usage(command, "word", parts=["word"])
        wrong_usage(command, "--device", parts=["--device", "nothing"])
        wrong_usage(command, "--mask", "warp_drive", parts=["--mask", "warp_drive"])
        wrong_usage(command, "--mask", "", parts=["--mask"])
        wrong_usage(command, "--mask", "shader_f16,", parts=["--mask"])
        wrong_usage(command, "--avoid", parts=["--avoid"])
        wrong_usage(command, "--validation=1", parts=["--validation", "no value"])
        if command != "info":
            wrong_usage(command, parts=["--model"])
            wrong_usage(command, "--precision", "f64", parts=["--precision", "f64", "bf16"])
            wrong_usage(command, "--weights", "q5_0", parts=["--weights", "q5_0", "q8_0"])
    wrong_usage("generate", "--model", STORIES, parts=["--prompt"])
    wrong_usage("logits", "--model", STORIES, "--ids", "1", parts=["--out"])


@case
def options_out_of_range():
    bad = {
        "--tokens": ("0", "-1", "", "12x", " 5", "+5", "1e3", "4294967296", "99999999999999999999999"),
        "--top-k": ("-1", "x", "4294967296"),
        "--seed": ("-1", "x", "", "18446744073709551616"),
        "--temperature": ("-0.5", "nan", "inf", "1e39", "1e999", "", "hot", "0.5x", " 1"),
        "--top-p": ("0", "-1", "1.01", "nan", ""),
        "--min-p": ("-0.1", "1.01", "nan", ""),
        "--repetition-penalty": ("0", "-1", "nan", "1e7"),
        "--presence-penalty": ("nan", "inf", "x"),
        "--slots": ("0", "-1", "4097", "x"),
    }
    for option, values in bad.items():
        for value in values:
            wrong_usage("generate", "--model", STORIES, "--prompt", "x", option, value, parts=[option, f'"{value}"'])
            wrong_usage("generate", "--model", STORIES, "--prompt", "x", f"{option}={value}", parts=[option])
    for value in ("0", "-5", "x"):
        wrong_usage("eval", "--model", STORIES, "--text", "x", "--window", value, parts=["--window"])


@case
def sources_that_exclude_each_other():
    wrong_usage("eval", "--model", STORIES, parts=["--text", "--ids"])
    wrong_usage("eval", "--model", STORIES, "--text", "x", "--ids", "y:z", parts=["both"])
    for source in ("file", ":tensor", "file.safetensors:", "file.safetensors", ""):
        wrong_usage("eval", "--model", STORIES, "--ids", source, parts=["FILE.safetensors:TENSOR"])
        wrong_usage("logits", "--model", STORIES, "--ids-file", source, "--out", "x", parts=["FILE.safetensors:TENSOR"])
    wrong_usage("logits", "--model", STORIES, "--out", "x", parts=["--ids", "--ids-file", "--text"])
    wrong_usage("logits", "--model", STORIES, "--out", "x", "--ids", "1", "--text", "a", parts=["--ids"])
    for ids in ("", ",", "1,", ",1", "1,,2", "1 2", "1;2", "one", "1.5", "-"):
        wrong_usage("logits", "--model", STORIES, "--out", "x", "--ids", ids, parts=["--ids", f'"{ids}"'])


@case
def empty_prompt():
    run("generate", "--model", STORIES, "--prompt", "").failed("--prompt", "empty")


@case
def help_to_a_full_device():
    if not os.path.exists("/dev/full"):
        return "no /dev/full on this system"
    with open("/dev/full", "w") as full:
        process = subprocess.run([VKSSM, "--help"], stdout=full, stderr=subprocess.PIPE)
    equal("the status of vkssm --help >/dev/full", process.returncode, 1)
    equal("lines on stderr", process.stderr.count(b"\n"), 1)
    return None


@case
def code_of_the_readme():
    """One block of C is a whole sample, the other a part of one, line by line."""
    with open(os.path.join(PROJECT, "README.md"), encoding="utf-8") as file:
        blocks = [fence.split("```")[0] for fence in file.read().split("```c\n")[1:]]
    equal("blocks of C in README.md", len(blocks), 2)
    programs = []
    for sample in ("minimal", "custom_scan"):
        with open(os.path.join(PROJECT, "samples", sample, "main.c"), encoding="utf-8") as file:
            programs.append(file.read())
    equal("README.md's program, compared with samples/minimal/main.c", blocks[0], programs[0])
    lines = [line.strip() for line in blocks[1].splitlines() if line.strip() and line.strip() != "..."]
    missing = [line for line in lines if line not in programs[1]]
    equal("lines of README.md's scan that samples/custom_scan/main.c has not", missing, [])


# ---- info ------------------------------------------------------------------------------------------------------------


@device_case
def info_as_json():
    report = json.loads(run("info", "--json").passed().out)
    selected = report["selected"]
    equal("the selected device's name in the list", report["devices"][selected["index"]]["name"], selected["name"])
    equal("features without a name", set(selected["features"]) - set(FEATURES), set())
    if not selected["variants"] or not any(v["available"] for v in selected["variants"]):
        raise AssertionError("info --json: expected a kernel variant in use, found none")
    for variant in selected["variants"]:
        has_reason, left_out = bool(variant["reason"]), not variant["available"]
        equal(f"{variant['name']}: a reason if and only if it is left out", has_reason, left_out)


@device_case
def info_for_people():
    report = json.loads(run("info", "--json").passed().out)
    result = run("info").passed()
    lines = result.out.decode()
    for word in [d["name"] for d in report["devices"]] + [v["name"] for v in report["selected"]["variants"]] + FEATURES:
        result.expect(word in lines, word)


@device_case
def masked_features_are_absent():
    found = set(json.loads(run("info", "--json").passed().out)["selected"]["features"])
    selected = json.loads(run("info", "--json", "--mask", ",".join(FEATURES)).passed().out)["selected"]
    equal("features under a mask of all", selected["features"], [])
    equal("features_masked", set(selected["features_masked"]), found)


@device_case
def kernels_checked():
    """The table has a row for every variant; those that ran were right. Cases of few kernels: compiling takes the time."""
    selected = json.loads(run("info", "--json").passed().out)["selected"]
    for case, kernels in {"rms_norm/": "rms_norm", "ssd_step/": "ssd_step"}.items():
        result = run("info", "--check", "--case", case).passed()
        lines = result.out.decode().splitlines()
        for part in ("device    " + selected["name"], "driver    " + selected["driver"]):
            result.expect(any(line.startswith(part) for line in lines), part)
        rows = {words[0]: words[1:] for words in map(str.split, lines) if len(words) > 3}
        for variant in selected["variants"]:
            row = rows.get(variant["name"], [])
            ran = variant["available"] and variant["name"].startswith(kernels)
            result.expect(row[-1:] == ["ok"] if ran else row[:2] == ["-", "-"], f"{variant['name']}, ran: {ran}")
        result.expect(" 0 wrong" in lines[-1], "none wrong")
    result = run("info", "--check", "--case", "nothing/")
    result.expect(result.status == 1 and b'"nothing/"' in result.err and result.err.count(b"\n") == 1, "status 1, one line")
    wrong_usage("info", "--check", "--json", parts=["--check", "--json"])
    wrong_usage("info", "--case", "scan/", parts=["--case", "--check"])


@device_case
def variants_avoided():
    run("bench", "--ops", "*", "--avoid", "no_such_kernel").failed("--avoid", '"no_such_kernel"')
    run("bench", "--ops", "*", "--avoid", "matmul_*,").failed("--avoid", '""')
    plain = json.loads(run("info", "--json").passed().out)["selected"]["variants"]
    variants = json.loads(run("info", "--json", "--avoid", "rms_norm_wide,matmul_*").passed().out)["selected"]["variants"]
    n_avoided = 0
    for before, now in zip(plain, variants):
        avoided = before["name"] == "rms_norm_wide" or before["name"].startswith("matmul_")
        reason = "avoided, as asked for" if avoided and before["available"] else before["reason"]
        equal(before["name"], (now["available"], now["reason"]), (before["available"] and not avoided, reason))
        n_avoided += reason == "avoided, as asked for"
    if n_avoided < 5:
        raise AssertionError(f"--avoid: at least 5 variants that it left out expected, {n_avoided} found")
    # A kernel that is the last resort is used all the same.
    options = ["--ops", "gemm/m256k512n512/f32", "--seconds", "0.01", "--json", "--avoid", "matmul_*"]
    equal("kernels", len(json.loads(run("bench", *options).passed().out)["variants"]), 1)


@case
def no_device_at_all():
    nothing = os.path.join(folder, "no-driver.json")
    for arguments in (["bench", "--ops", "scan/*"], ["info", "--check"], ["bench", "--quick", "--json"]):
        run(*arguments, VK_ICD_FILENAMES=nothing, VK_DRIVER_FILES=nothing).failed("device")


@device_case
def unknown_device():
    run("generate", "--model", STORIES, "--prompt", "x", "--device", "no such device").failed("no such device")
    run("generate", "--model", STORIES, "--prompt", "x", "--device", "4096").failed("4096")


# ---- bad models ------------------------------------------------------------------------------------------------------


def bad_model(path, *parts):
    run("logits", "--model", path, "--ids", "1,2", "--out", os.path.join(folder, "never")).failed(*parts)
    equal("a file left by a failure", os.path.exists(os.path.join(folder, "never")), False)


@device_case
def missing_model():
    bad_model(os.path.join(folder, "no-such-folder"), "no-such-folder")
    bad_model("")
    os.mkdir(os.path.join(folder, "empty"))
    bad_model(os.path.join(folder, "empty"), "empty")


@device_case
def truncated_weights():
    path = copy_model("truncated")
    file = os.path.join(path, "model.safetensors")
    with open(file, "rb") as whole:
        data = whole.read()
    header_end = 8 + struct.unpack("<Q", data[:8])[0]
    for size in (0, 1, 7, 8, 9, 100, header_end - 1, header_end, header_end + 1, len(data) // 2, len(data) - 1):
        replace(file, data[:size])
        bad_model(path, "model.safetensors")
    replace(file, data + b"\0")
    bad_model(path, "model.safetensors")
    replace(file, struct.pack("<Q", 2**63) + data[8:])
    bad_model(path, "model.safetensors")
    os.unlink(file)
    bad_model(path, "model.safetensors")


@device_case
def truncated_text_files():
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        path = copy_model("truncated-" + name)
        with open(os.path.join(STORIES, name), "rb") as file:
            data = file.read()
        for size in (0, 1, len(data) // 2, len(data.rstrip()) - 1):
            replace(os.path.join(path, name), data[:size])
            bad_model(path, name)


@device_case
def damaged_header():
    path = copy_model("header")
    file = os.path.join(path, "model.safetensors")
    name = "backbone.layers.3.mixer.in_proj.weight"

    def damage(change, *parts):
        header, data = split_file(os.path.join(STORIES, "model.safetensors"))
        change(header)
        os.unlink(file)
        write_file(file, header, data)
        bad_model(path, *parts)

    def turn(header):
        header[name]["shape"].reverse()

    def grow(header):
        header[name]["shape"][0] += 1

    def huge(header):
        header[name]["shape"] = [2**32, 2**32]

    def beyond(header):
        header[name]["data_offsets"] = [2**40, 2**40 + 1288 * 256 * 2]

    def unknown_type(header):
        header[name]["dtype"] = "F17"

    def wrong_type(header):
        header[name]["dtype"] = "I16"

    def rename(header):
        header["other"] = header.pop(name)

    damage(turn, path, name, "[1288, 256]", "[256, 1288]")
    damage(grow, "model.safetensors", name)
    damage(huge, "model.safetensors", name)
    damage(beyond, "model.safetensors", name)
    damage(unknown_type, "model.safetensors", name, "F17")
    damage(wrong_type, name, "I16")
    damage(rename, name)


@device_case
def damaged_configuration():
    path = copy_model("configuration")
    with open(os.path.join(STORIES, "config.json"), encoding="utf-8") as file:
        good = json.load(file)
    bad = [
        ("model_type", "warp_drive"),
        ("vocab_size", 4097),
        ("hidden_size", 257),
        ("hidden_size", 0),
        ("hidden_size", -256),
        ("hidden_size", 2**62),
        ("hidden_size", "wide"),
        ("num_hidden_layers", 11),
        ("num_heads", 7),
        ("n_groups", 3),
        ("state_size", 64),
        ("conv_kernel", 5),
    ]
    for key, value in bad:
        replace(os.path.join(path, "config.json"), json.dumps({**good, key: value}).encode())
        bad_model(path)
    for text in (b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100000):
        replace(os.path.join(path, "config.json"), text)
        bad_model(path, "config.json")


# ---- bad text and ids ------------------------------------------------------------------------------------------------


@device_case
def prompt_that_is_not_utf8():
    for prompt in (b"\xff", b"Tom \xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"):
        run("generate", "--model", STORIES, "--prompt", prompt).failed("--prompt", "UTF-8")
        out = os.path.join(folder, "never")
        run("logits", "--model", STORIES, "--text", prompt, "--out", out).failed("--text", "UTF-8")


@device_case
def model_without_a_tokenizer():
    path = copy_model("speechless")
    os.unlink(os.path.join(path, "tokenizer.json"))
    os.unlink(os.path.join(path, "tokenizer_config.json"))
    run("generate", "--model", path, "--prompt", "x").failed("--prompt", "tokenizer.json")
    run("logits", "--model", path, "--ids", "1,2", "--out", os.path.join(folder, "ids-only")).passed()


@device_case
def ids_out_of_the_vocabulary():
    out = os.path.join(folder, "never")
    for ids, found in (("4096", "4096"), ("1,2,-1", "-1"), ("1,2147483648", "2147483648"), ("9" * 30, "position 0")):
        run("logits", "--model", STORIES, "--ids", ids, "--out", out).failed("--ids", "4095", found)
    for dtype, id in (("I32", -5), ("I32", 4096), ("I64", 2**40), ("I64", -(2**63))):
        source = write_ids("bad-ids.safetensors", dtype, [1, 2, id, 3])
        parts = (source, "4095", str(id), "position 2")
        run("logits", "--model", STORIES, "--ids-file", source, "--out", out).failed(*parts)
        run("eval", "--model", STORIES, "--ids", source).failed(*parts)
    equal("a file left by a failure", os.path.exists(out), False)


@device_case
def ids_of_a_wrong_kind():
    for source, parts in (
        (os.path.join(folder, "none.safetensors") + ":ids", ["none.safetensors"]),
        (GOLDEN + ":no.such.tensor", ["golden.safetensors", "no.such.tensor"]),
        (GOLDEN + ":prompt0.logits", ["prompt0.logits", "I32", "F32", "[20, 4096]"]),
        (write_ids("square.safetensors", "I32", [1, 2, 3, 4], [2, 2]), ["square.safetensors:ids", "[2, 2]"]),
        (write_ids("empty.safetensors", "I32", []), ["empty.safetensors:ids"]),
    ):
        run("eval", "--model", STORIES, "--ids", source).failed(*parts)
    run("eval", "--model", STORIES, "--ids", write_ids("one.safetensors", "I32", [1])).failed("2", "1")


@device_case
def text_files_that_cannot_be_scored():
    missing, empty, bad = (os.path.join(folder, name) for name in ("missing.txt", "empty.txt", "bad.txt"))
    run("eval", "--model", STORIES, "--text", missing).failed("missing.txt")
    run("eval", "--model", STORIES, "--text", folder).failed(folder)
    for path, data in ((empty, b""), (bad, b"Once upon \xff")):
        with open(path, "wb") as file:
            file.write(data)
    run("eval", "--model", STORIES, "--text", empty).failed("2", "1")  # the begin token alone
    run("eval", "--model", STORIES, "--text", bad).failed("bad.txt", "UTF-8")


@device_case
def output_that_cannot_be_written():
    for path in (os.path.join(folder, "no-such-folder", "out.safetensors"), folder, ""):
        before = sorted(os.listdir(folder))
        run("logits", "--model", STORIES, "--ids", "1,2", "--out", path).failed(path)
        equal("files after a failure", sorted(os.listdir(folder)), before)


# ---- good runs -------------------------------------------------------------------------------------------------------


def largest_gap(found, wanted):
    equal("numbers", len(found), len(wanted))
    gaps = [abs(a - b) for a, b in zip(found, wanted)]
    return max(gaps) if all(map(math.isfinite, gaps)) else math.inf


@device_case
def logits_of_a_prompt():
    wanted_shape, wanted = read_tensor(GOLDEN, "prompt0.logits")
    files = {way: os.path.join(folder, way + ".safetensors") for way in ("ids", "step", "text")}
    ids = ",".join(map(str, read_tensor(GOLDEN, "prompt0.ids")[1]))
    prompt = decode(read_tensor(GOLDEN, "prompt0.ids")[1])
    run("logits", "--model", STORIES, "--ids", ids, "--out", files["ids"]).passed()
    run("logits", "--model", STORIES, "--ids-file", GOLDEN + ":prompt0.ids", "--step", "--out", files["step"]).passed()
    run("logits", "--model", STORIES, "--text", prompt, "--out", files["text"]).passed()
    found = {}
    for way, path in files.items():
        shape, found[way] = read_tensor(path, "logits")
        equal(f"shape of {way}", shape, wanted_shape)
    # The golden logits themselves are 0.0085 away from those of a double-precision evaluation of the model.
    gap = largest_gap(found["ids"], wanted)
    if not gap < 0.012:
        raise AssertionError(f"logits by prefill: expected the golden ones within 0.012, found a gap of {gap}")
    # Logits reach 20; float32 in another order, through ten layers, was seen to differ from double by 1.5e-5.
    gap = largest_gap(found["ids"], found["step"])
    if not gap < 2e-4:
        raise AssertionError(f"logits by step: expected those by prefill within 2e-4, found a gap of {gap}")
    with open(files["ids"], "rb") as one, open(files["text"], "rb") as other:
        equal("the same tokens from a list and from text, bit for bit", one.read() == other.read(), True)


@device_case
def model_named_by_its_weights_file():
    weights, out = os.path.join(STORIES, "model.safetensors"), os.path.join(folder, "by-file")
    run("logits", "--model", weights, "--ids", "1,2", "--out", out).passed()


@device_case
def loss_of_held_out_tokens():
    source = GOLDEN + ":val.tokens"
    report = json.loads(run("eval", "--model", STORIES, "--ids", source, "--json").passed().out)
    # The reference is rounded to five digits; float32 in another order moves a mean of 4096 losses by far less.
    if not abs(report["loss"] - 1.02023) < 5e-4:
        raise AssertionError(f"eval: expected a loss of 1.02023 within 5e-4, found {report['loss']}")
    equal("tokens and windows", (report["n_token"], report["n_window"], report["window"]), (4096, 8, 512))


@device_case
def last_window_counts_by_its_tokens():
    """Two windows of 96 and 5 targets give the mean over the 101, as windows of their own do."""
    ids = read_tensor(GOLDEN, "val.tokens")[1][:102]

    def loss(name, part):
        source = write_ids(name + ".safetensors", "I64", part)
        return json.loads(run("eval", "--model", STORIES, "--ids", source, "--window", "96", "--json").passed().out)

    both, first, last = loss("both", ids), loss("first", ids[:97]), loss("last", ids[96:])
    counts = [(report["n_token"], report["n_window"]) for report in (both, first, last)]
    equal("targets and windows", counts, [(101, 2), (96, 1), (5, 1)])
    mean = (96 * first["loss"] + 5 * last["loss"]) / 101
    # The same numbers are added up in another order; printing keeps nine digits.
    if not abs(both["loss"] - mean) < 1e-7:
        raise AssertionError(f"eval: expected the mean {mean}, found {both['loss']}")


@device_case
def loss_for_people():
    path = os.path.join(folder, "story.txt")
    with open(os.path.join(STORIES, "heldout.txt"), "rb") as file:
        story = file.read(2000).split(b"<|endoftext|>")[0]
    with open(path, "wb") as file:
        file.write(story)
    result = run("eval", "--model", STORIES, "--text", path).passed()
    line = result.out.decode()
    result.expect(line.count("\n") == 1, "one line")
    result.expect("loss" in line and "perplexity" in line, "loss and perplexity")
    result.expect(result.err == b"", "no progress on a stderr that is no terminal")


@device_case
def greedy_story():
    prompt = read_tensor(GOLDEN, "prompt0.ids")[1]
    greedy = read_tensor(GOLDEN, "prompt0.greedy")[1]
    equal("the golden text's begin", greedy[: len(prompt)], prompt)
    new = greedy[len(prompt) :]
    until_end = new[: new.index(0)] if 0 in new else new
    arguments = ["--temperature", "0", "--tokens", str(len(new))]
    result = run("generate", "--model", STORIES, "--prompt", decode(prompt), *arguments).passed()
    equal("the greedy text", result.out, decode(prompt + until_end) + b"\n")
    line = result.err.decode()
    result.expect(line.count("\n") == 1 and line.endswith(")\n"), "one closing line on stderr")
    for part in (f"prefill {len(prompt)} tokens at ", ", decode ", " MiB (weights "):
        result.expect(part in line, f'"{part}" on stderr')


@case
def quantize_usage():
    out = os.path.join(folder, "u.gguf")
    wrong_usage("quantize", "--type", "q8_0", "--out", out, parts=["--model"])
    wrong_usage("quantize", "--model", STORIES, "--out", out, parts=["--type"])
    wrong_usage("quantize", "--model", STORIES, "--type", "q8_0", parts=["--out"])
    wrong_usage("quantize", "--model", STORIES, "--type", "q5_k", "--out", out, parts=["--type", "q5_k", "q4_k"])
    wrong_usage("quantize", "--model", STORIES, "--type", "q8_0", "--tables", "x", "--out", out, parts=["--tables"])
    to_file = ("quantize", "--model", STORIES, "--type", "q8_0", "--out")
    run(*to_file, out, "--override", "blk.0=q9").failed("PATTERN=TYPE", "blk.0=q9")
    run(*to_file, os.path.join(folder, "none", "x.gguf")).failed("x.gguf")
    run("quantize", "--model", os.path.join(folder, "nobody"), "--type", "f16", "--out", out).failed("nobody")
    run("quantize", "--model", os.path.join(ZOO, "smnist-s5"), "--type", "f16", "--out", out).failed("mamba2", "s5")
    equal("a file left by a failure", os.path.exists(out), False)


@device_case
def gguf_files():
    """Written by quantize, a float16 file tells the same story; its table says what became of the tensors."""
    out = os.path.join(folder, "story.gguf")
    result = run("quantize", "--model", STORIES, "--type", "f16", "--out", out).passed()
    for part in (b"blk.N.ssm_in.weight", b"token_embd.weight", b"F16   F32", b"MiB of weights"):
        result.expect(part in result.out, f"{part} in the table")
    story = ("generate", "--prompt", "Once upon a time", "--temperature", "0", "--tokens", "12", "--model")
    equal("the story of a GGUF file", run(*story, out).passed().out, run(*story, STORIES).passed().out)
    with open(out, "rb") as file:
        data = file.read()
    for size in (0, 3, 4, 23, 24, 1000, 100000, len(data) // 2, len(data) - 40):
        replace(out, data[:size])
        bad_model(out, "story.gguf" if size >= 4 else "")


@device_case
def seeds():
    def story(*options):
        return run("generate", "--model", STORIES, "--prompt", "Once", "--tokens", "24", *options).passed().out

    first = story()
    equal("the same command twice", story(), first)
    equal("the default seed", story("--seed", "1"), first)
    others = {story("--seed", str(seed), "--temperature", "1.5", "--top-p", "1") for seed in range(2, 6)}
    if len(others) < 3:
        raise AssertionError(f"four seeds at temperature 1.5: expected different stories, found {others}")
    greedy = story("--temperature", "0")
    equal("the most probable token alone is left by top-k 1", story("--top-k", "1"), greedy)
    equal("the most probable token alone is left by a tiny top-p", story("--top-p", "1e-60"), greedy)


def write_prompts(name, text):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(text)
    return path


@device_case
def batch():
    """Lines come back in order, each as if it were alone, however few slots they share."""
    lines = ["Once upon a time", "The dog", "Lily", "One day", "The dog"]
    path = write_prompts("prompts.txt", "\n".join(lines).encode())
    options = ("--tokens", "20", "--temperature", "0")
    alone = [run("generate", "--model", STORIES, "--prompt", line, *options).passed().out for line in lines]
    result = run("generate", "--model", STORIES, "--batch", path, "--slots", "2", *options).passed()
    equal("five prompts in two slots", result.out, b"---\n".join(alone))
    result.expect(b"5 prompts take turns in 2 slots" in result.err, "a word about turns")
    result.expect(b"2 slots, " in result.err, "a closing line")


@case
def bad_batches():
    for text, part in ((b"", "empty file"), (b"one\n\ntwo\n", "line 2"), (b"a\0b\n", "zero byte")):
        path = write_prompts("bad.txt", text)
        run("generate", "--model", STORIES, "--batch", path).failed("bad.txt", part)
    run("generate", "--model", STORIES, "--batch", os.path.join(folder, "none.txt")).failed("none.txt")
    wrong_usage("generate", "--model", STORIES, "--batch", "x", "--prompt", "y", parts=["--prompt", "--batch", "both"])


@device_case
def bad_prompt_in_batch():
    path = write_prompts("latin1.txt", b"fine\ncaf\xe9\n")
    run("generate", "--model", STORIES, "--batch", path, "--tokens", "2").failed("--batch", "UTF-8")


@device_case
def text_is_valid_utf8():
    """Hot sampling cuts characters between tokens; what is printed is whole characters all the same."""
    for seed in range(3):
        arguments = ["--tokens", "100", "--temperature", "50", "--top-p", "1", "--seed", str(seed)]
        result = run("generate", "--model", STORIES, "--prompt", "caf\u00e9 \u20ac", *arguments).passed()
        text = result.out.decode("utf-8")  # raises if it is not
        result.expect(text.startswith("caf\u00e9 \u20ac"), "the prompt")
        result.expect("<|endoftext|>" not in text, "no special token")


@device_case
def one_token():
    result = run("generate", "--model", STORIES, "--prompt", "Once", "--tokens", "1", "--temperature", "0").passed()
    result.expect(b"decode 1 token," in result.err, "a decode of one token without a speed")


@device_case
def storage_types():
    """Every storage type gives about the same loss on 64 tokens: the file's matrices are float16, so that float32
    changes nothing that matters, and the 8 bits of a bf16 mantissa move a trained model's loss by less than 0.05."""
    ids = write_ids("short.safetensors", "I32", read_tensor(GOLDEN, "val.tokens")[1][:65])

    def loss(*options):
        return json.loads(run("eval", "--model", STORIES, "--ids", ids, "--json", *options).passed().out)["loss"]

    reference = loss()
    for option in ("--weights", "--precision"):
        for dtype in ("f32", "f16", "bf16"):
            found = loss(option, dtype)
            if not abs(found - reference) < 0.05:
                raise AssertionError(f"eval {option} {dtype}: expected about {reference}, found {found}")


@device_case
def masked_run():
    ids = write_ids("short.safetensors", "I32", read_tensor(GOLDEN, "val.tokens")[1][:65])
    arguments = ["eval", "--model", STORIES, "--ids", ids, "--json"]
    plain = json.loads(run(*arguments).passed().out)["loss"]
    masked = json.loads(run(*arguments, "--mask", ",".join(FEATURES)).passed().out)["loss"]
    # The plain variants sum in another order: some 1e-5 of a loss near 1.
    if not abs(plain - masked) < 1e-3:
        raise AssertionError(f"eval with all features masked: expected {plain} within 1e-3, found {masked}")


@device_case
def pipeline_cache():
    cache = os.path.join(folder, "cache-of-its-own")
    arguments = ["logits", "--model", STORIES, "--ids", "1,2,3", "--out"]
    outputs = [os.path.join(folder, f"cached-{i}") for i in range(4)]
    run(*arguments, outputs[0], XDG_CACHE_HOME=cache).passed()
    files = os.listdir(os.path.join(cache, "vkssm"))
    equal("cache files", len(files), 1)
    run(*arguments, outputs[1], XDG_CACHE_HOME=cache).passed()
    replace(os.path.join(cache, "vkssm", files[0]), b"not a cache" * 1000)
    run(*arguments, outputs[2], XDG_CACHE_HOME=cache).passed()
    run(*arguments, outputs[3], XDG_CACHE_HOME=os.path.join(VKSSM, "not-a-folder")).passed()
    contents = set()
    for path in outputs:
        with open(path, "rb") as file:
            contents.add(file.read())
    equal("different results with, without and with a corrupt cache", len(contents), 1)


@device_case
def validation_layers():
    result = run("generate", "--model", STORIES, "--prompt", "Once", "--tokens", "3", "--validation")
    if result.status == 1 and b"VK_LAYER_KHRONOS_validation" in result.err and result.err.count(b"\n") == 1:
        return "the Vulkan validation layers are not installed"
    result.passed()
    return None


# ---- bench -----------------------------------------------------------------------------------------------------------


@case
def bench_list():
    result = run("bench", "--list").passed()
    names = [line.split()[0] for line in result.out.decode().splitlines()]
    equal("names that stand twice", len(names) - len(set(names)), 0)
    for name in (
        "scan/real/b8d1536t2048/f32",
        "scan/complex-lti/b8t16384p256/c64",
        "ssd/b1t2048h80p64g1n128/f32",
        "ssd_step/b1h80p64n128/f32",
        "gemm/m2048k2560n10576/f16",
        "gemv/k2560n10576/f16",
        "sample/v50288/top_p",
        "model/mamba2-2.7b/prefill/t2048/f16",
        "model/mamba2-2.7b/decode/b1/f16",
    ):
        result.expect(name in names, name)

    def listed(*options):
        return run("bench", "--list", *options).passed().out.decode().splitlines()

    equal("operators and models", len(listed("--ops", "*")) + len(listed("--models", "*")), len(names))
    equal("both patterns", len(listed("--ops", "*", "--models", "*")), len(names))
    equal("one name", [line.split()[0] for line in listed("--ops", "ssd_step/b?h80*")], ["ssd_step/b1h80p64n128/f32"])


@case
def bench_patterns_that_fit_nothing():
    for options in (["--ops", "warp/*"], ["--models", "warp/*"], ["--ops", ""], ["--ops", "model/*"], ["--ops", "ssd"]):
        run("bench", *options).failed(options[0], f'"{options[1]}"')
        run("bench", *options, "--list").failed(options[0], f'"{options[1]}"')
    run("bench", "--ops", "*", "--models", "warp/*").failed("--models")


@case
def bench_wrong_options():
    for value in ("0", "-1", "nan", "inf", "3601", "", "x"):
        wrong_usage("bench", "--seconds", value, parts=["--seconds", f'"{value}"'])
    wrong_usage("bench", "--frobnicate", parts=["--frobnicate"])
    wrong_usage("bench", "word", parts=["word"])
    wrong_usage("bench", "--ops", parts=["--ops"])
    wrong_usage("bench", "--precision", "f64", parts=["--precision", "f64"])


def finite_numbers(value):
    """How many numbers there are in a value of JSON, all of them finite and not negative."""
    if isinstance(value, dict):
        return sum(map(finite_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(finite_numbers, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if not (math.isfinite(value) and value >= 0):
        raise AssertionError(f"bench --json: expected finite numbers that are not negative, found {value}")
    return 1


@device_case
def bench_as_json():
    """No time is judged: only that there are some, and that rates follow from them."""
    selected = json.loads(run("info", "--json").passed().out)["selected"]
    patterns = {"scan/complex-lti/b1t1024*": "c64", "sample/*/greedy": "f32"}
    for pattern in patterns:
        result = run("bench", "--ops", pattern, "--seconds", "0.01", "--json").passed()
        report = json.loads(result.out)
        result.expect(result.out.count(b"\n") == 1, "one line")
        result.expect(finite_numbers(report) >= 15, "at least 15 numbers")
        equal("device", (report["device"], report["driver"]), (selected["name"], selected["driver"]))
        equal("features", set(report["features"]), set(selected["features"]))
        variants = {variant["name"] for variant in selected["variants"] if variant["available"]}
        equal("variants that the device does not have", set(report["variants"]) - variants, set())
        result.expect(report["variants"] and report["runs"] >= report["samples"] >= 1, "variants and runs")
        result.expect(0 < report["min_ns"] <= report["median_ns"], "times in order")
        result.expect(report["clock"] == report["limits"]["clock"], "one clock")
        # Printed with nine digits.
        rate = report["bytes"] / report["median_ns"]
        result.expect(abs(report["gb_per_s"] - rate) <= 1e-6 * rate, f"{rate} GB/s")
    # y [256, 512] = x [256, 512] w [512, 512]
    report = json.loads(run("bench", "--ops", "gemm/m256k512n512/f32", "--seconds", "0.01", "--json").passed().out)
    equal("bytes and flop", (report["bytes"], report["flop"]), (4 * 512 * (256 + 512 + 256), 2 * 256 * 512 * 512))
    equal("dtype and shape", (report["dtype"], report["shape"]), ("f32", "m256k512n512"))


PRODUCTS = ("m2048k2560n10576", "m512k2560n10576", "m256k512n512")


@device_case
def bench_goes_on_behind_a_case_that_cannot_be():
    """Which products are too slow or too large for --quick is the device's affair: each has a time or a reason."""
    result = run("bench", "--ops", "gemm/m*/f32", "--quick", "--json").passed()
    reports = [json.loads(line) for line in result.out.splitlines()]
    equal("cases", {report["name"] for report in reports}, {f"gemm/{m}/f32" for m in PRODUCTS})
    for report in reports:
        result.expect(report.get("median_ns") or report.get("skipped"), "a time or a reason")


@device_case
def bench_for_people():
    result = run("bench", "--ops", "ssd/b1t128h8*", "--seconds", "0.01").passed()
    lines = result.out.decode().splitlines()
    result.expect(lines[0].startswith("device ") and lines[1].startswith("limits "), "device and limits first")
    result.expect(lines[-1].startswith("ssd/b1t128h8p64g1n128/f32 "), "the case last")
    result.expect(result.err == b"", "no progress on a stderr that is no terminal")


@device_case
def bench_on_the_host_clock():
    """The clock is the host's; and what a repetition needs is there, whatever the clock."""
    options = ["--ops", "rms_norm/t1d2560/f32", "--seconds", "0.01", "--json", "--mask", "timestamps"]
    report = json.loads(run("bench", *options, "--seed", "7", "--avoid", "rms_norm_wide").passed().out)
    equal("clocks", (report["clock"], report["limits"]["clock"]), ("host", "host"))
    equal("seed, seconds, avoided", (report["seed"], report["seconds"], report["avoided"]), (7, 0.01, "rms_norm_wide"))
    equal("kernels that were to be avoided", report["variants"].count("rms_norm_wide"), 0)
    for dtype in ("f32", "f16", "bf16"):
        rate = report["limits"][f"gemm_{dtype}_tflop_per_s"]
        if not 0 < rate <= report["limits"]["gemm_tflop_per_s"] or not report["subgroup_size"]:
            raise AssertionError(f"limits: a rate of {dtype} above 0, and not above the best, expected, {rate} found")
    finite_numbers(report)


def bench_file(folder, name, **cases):
    """JSON lines as `bench --json` prints them; a case is (median, spread, samples) and perhaps the quarters' medians."""
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        for case_name, (median, spread, samples, *quarters) in cases.items():
            record = {"name": case_name, "device": "a device", "driver": "a driver", "median_ns": median}
            record.update(spread=spread, samples=samples, quarter_ns=quarters or [median] * 4)
            file.write(json.dumps(record) + "\n")
    return path


@case
def bench_compared():
    """Made-up measurements, so that it is known what has changed."""
    with tempfile.TemporaryDirectory() as folder:
        before = {"same": (1000, 0.01, 100), "slower": (1000, 0.01, 100), "faster": (1000, 0.01, 100)}
        before.update(noisy=(1000, 0.3, 10), drifting=(1000, 0.001, 100), gone=(1000, 0.01, 100), steady=(1000, 0.0, 100))
        now = {"same": (1004, 0.01, 100), "slower": (1030, 0.01, 100), "faster": (900, 0.01, 100)}
        now.update(noisy=(1200, 0.3, 10), new=(7, 0, 1), steady=(1009, 0.0, 100))
        # Three hundredths more, but its own quarters are four hundredths apart.
        now["drifting"] = (1030, 0.001, 100, 1010, 1020, 1040, 1050)
        before, now = bench_file(folder, "before", **before), bench_file(folder, "now", **now)
        result = run("bench", "--baseline", before, "--against", now)
        result.expect(result.status == 1 and b"1 of 6" in result.err and result.err.count(b"\n") == 1, "one slower case")
        rows = {line.split()[0]: line.split()[-1] for line in result.out.decode().splitlines() if line and "%" in line}
        equal("verdicts", {name: row for name, row in rows.items() if row != "%"}, {"slower": "SLOWER", "faster": "faster"})
        equal("cases in both", set(rows), {"same", "slower", "faster", "noisy", "drifting", "steady"})
        result = run("bench", "--baseline", now, "--against", now).passed()
        result.expect(b"7 cases in both: 0 slower, 0 faster, 7 the same" in result.out, "nothing changed")
        # Two runs in a file: what moved between them is no change.
        one, two = bench_file(folder, "one", x=(1000, 0, 100)), bench_file(folder, "two", x=(1200, 0, 100))
        slower = run("bench", "--baseline", one, "--against", two)
        slower.expect(slower.status == 1, "a slower case")
        both = os.path.join(folder, "both")
        with open(both, "wb") as file:
            for part in (one, two):
                with open(part, "rb") as source:
                    file.write(source.read())
        run("bench", "--baseline", both, "--against", two).passed()
        far = run("bench", "--baseline", both, "--against", bench_file(folder, "far", x=(2000, 0, 100)))
        far.expect(far.status == 1 and b"SLOWER" in far.out, "a slower case")


@case
def bench_baselines_that_are_none():
    good = {"name": "x", "device": "d", "driver": "e", "median_ns": 1.5, "spread": 0.1, "samples": 9}
    bad = {
        "": "at least one measured case",
        "{": "case 1: a JSON object",
        "[1]": "case 1: a JSON object",
        json.dumps(good) + "\n7": "case 2: a JSON object",
        json.dumps(good) + "\n{'a'}": "case 2: a JSON object",
        json.dumps({**good, "skipped": "too large"}): "at least one measured case",
        json.dumps({**good, "name": 3}): '"name"',
        json.dumps({**good, "driver": None}): '"driver"',
        json.dumps({**good, "median_ns": 0}): '"median_ns" above 0',
        json.dumps({**good, "median_ns": "1"}): '"median_ns" above 0',
        json.dumps({**good, "spread": -1}): '"spread"',
        json.dumps({**good, "samples": 0}): '"samples"',
        json.dumps({**good, "quarter_ns": [1, 2]}): '"quarter_ns"',
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "baseline")
        run("bench", "--baseline", path, "--against", path).failed(path, "cannot open")
        for text, part in bad.items():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            run("bench", "--baseline", path, "--against", path).failed(path, part)
        one, other = bench_file(folder, "one", x=(1, 0, 1)), bench_file(folder, "other", y=(1, 0, 1))
        run("bench", "--baseline", one, "--against", other).failed(one, "none found")
    wrong_usage("bench", "--against", "x", parts=["--against", "--baseline"])
    wrong_usage("bench", "--baseline", "x", "--json", parts=["--baseline", "--json"])


@device_case
def bench_against_a_baseline():
    """A case that took no time before has become slower, whatever the machine."""
    with tempfile.TemporaryDirectory() as folder:
        name = "rms_norm/t1d2560/f32"
        quick = bench_file(folder, "quick", **{name: (1e-60, 0, 100)})
        options = ["--ops", name, "--seconds", "0.01"]
        result = run("bench", *options, "--baseline", quick)
        result.expect(result.status == 1 and b"SLOWER" in result.out and b"another device" in result.out, "a slower case")
        slow = bench_file(folder, "slow", **{name: (1e60, 0, 100)})
        result = run("bench", *options, "--baseline", slow).passed()
        result.expect(b"faster" in result.out and b"1 faster" in result.out, "a faster case")


# ---- run -------------------------------------------------------------------------------------------------------------


def main():
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    info = run("info")
    message = info.err.decode("utf-8", "replace").strip()
    # Another failure of info is no reason to skip anything.
    no_device = message if info.status == 1 and "Vulkan" in message else None
    n_run = n_failed = n_skipped = 0
    for function, needs_device in cases:
        name = function.__name__
        if wanted not in name:
            continue
        n_run += 1
        skipped = failure = None
        try:
            skipped = f"no device ({no_device})" if needs_device and no_device else function()
        except AssertionError as error:
            failure = str(error)
        except Exception:  # a case that breaks must not hide the others
            failure = traceback.format_exc()
        n_failed += failure is not None
        n_skipped += skipped is not None
        if failure:
            print("  " + failure)
        print(f"FAIL {name}" if failure else f"skip {name}: {skipped}" if skipped else f"ok   {name}", flush=True)
    print(f"{n_run} cases, {n_failed} failed, {n_skipped} skipped")
    return 1 if n_failed or not n_run else 77 if no_device or n_skipped == n_run else 0


if __name__ == "__main__":
    folder = tempfile.mkdtemp(prefix="vkssm-cli-")
    try:
        status = main()
    finally:
        shutil.rmtree(folder)
    sys.exit(status)
