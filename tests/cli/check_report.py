"""The page of charts: what is on it, in both colour schemes, and what it refuses.

usage: check_report.py REPORT.PY
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zlib

REPORT = os.path.abspath(sys.argv[1])
LIMITS = {"copy_gb_per_s": 400, "gemm_tflop_per_s": 20, "dispatch_ns": 200, "barrier_ns": 2000, "submit_ns": 30000}
LIGHT, DARK = ((0x1F, 0x6F, 0xEB), (0xC2, 0x41, 0x0C)), ((0x6C, 0xB6, 0xFF), (0xFF, 0x9D, 0x5C))  # of two devices


def measured(name, device, median_ns, flop, size, **more):
    case = {"name": name, "device": device, "driver": "made up", "commit": "0123", "limits": LIMITS, "spread": 0.01}
    case.update(median_ns=median_ns, flop=flop, bytes=size, gb_per_s=size / median_ns, limit_share=0.5)
    case.update(tflop_per_s=flop / median_ns * 1e-3, variants=["x_f32"], **more)
    return case


def made_up(device, factor):
    return [
        measured("scan/real/b1d8t1024/f32", device, 1000 * factor, 2e4, 1e5),
        measured("scan/real/b1d8t8192/f32", device, 8000 * factor, 1.6e5, 8e5),
        measured("gemm/m64k64n64/f16", device, 3000 * factor, 5e5, 3e4),
        measured("model/x/prefill/t512/f16", device, 1e6 * factor, 1e9, 1e8, tokens_per_s=512e3 / factor),
        {"name": "ssd/b1/f32", "device": device, "driver": "made up", "limits": LIMITS, "skipped": "needs <memory>"},
    ]


def write_lines(path, cases):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(case) + "\n" for case in cases)


def run(*arguments):
    return subprocess.run([sys.executable, "-B", REPORT, *arguments], capture_output=True, text=True, check=False)


def expect(condition, wanted, found):
    if not condition:
        raise AssertionError(f"{wanted} expected, found: {found}")


def check_page(folder):
    paths = [os.path.join(folder, name) for name in ("one.jsonl", "two.jsonl", "page.html")]
    write_lines(paths[0], made_up("GPU <one> & only", 1))
    write_lines(paths[1], made_up("GPU two", 3))
    result = run("--out", paths[2], *paths[:2])
    expect(result.returncode == 0 and "8 measurements of 2 devices" in result.stdout, "8 measurements", result)
    with open(paths[2], encoding="utf-8") as file:
        page = file.read()
    expect("GPU &lt;one&gt; &amp; only" in page and "<one>" not in page, "names as text", page[:2000])
    expect("needs &lt;memory&gt;" in page, "the reason of a skipped case", page[-2000:])
    expect(not re.search(r"https?:|src=|url\(|@import|<script", page), "nothing from elsewhere", "something")
    drawings = [xml.etree.ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.S)]
    # Tokens, shares, two rooflines, one series of two lengths.
    expect(len(drawings) == 5, "5 drawings", len(drawings))
    counts = [(len(drawing.findall("rect")), len(drawing.findall("circle"))) for drawing in drawings]
    expect(counts == [(2, 0), (6, 0), (0, 4), (0, 4), (0, 4)], "bars and dots for every measurement", counts)
    widths = [float(bar.get("width")) for bar in drawings[0].findall("rect")]
    expect(abs(widths[0] - 3 * widths[1]) < 0.2, "a bar three times as long as the other", widths)
    return paths[2]


def pixels_of(path):
    """The colours of an 8-bit PNG without interlacing."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed, colours = 8, b"", set()
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            width, height, _, colour_type = struct.unpack_from(">IIBB", data, at + 8)
        if kind == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += size + 12
    n, raw = {2: 3, 6: 4}[colour_type], zlib.decompress(packed)
    before = bytearray(width * n)
    for row in range(height):
        start = row * (width * n + 1)
        line, kind = bytearray(raw[start + 1 : start + 1 + width * n]), raw[start]
        for i, value in enumerate(line):
            left, up = line[i - n] if i >= n else 0, before[i]
            corner = before[i - n] if i >= n else 0
            guess = left + up - corner
            paeth = min((abs(guess - v), k, v) for k, v in enumerate((left, up, corner)))[2]
            line[i] = (value + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        colours.update(bytes(line[i : i + 3]) for i in range(0, len(line), n))
        before = line
    return colours


def check_screen(page, folder):
    browser = shutil.which("chromium")
    if not browser:
        print("  the page was not drawn: chromium is not installed")
        return
    for dark in (0, 1):
        shot = os.path.join(folder, f"page{dark}.png")
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=700,600",
                   f"--user-data-dir={folder}/profile", *scheme, f"--screenshot={shot}", "file://" + page]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        expect(os.path.exists(shot), "a picture of the page", result.stderr[-600:])
        colours = pixels_of(shot)
        for colour in (LIGHT, DARK)[dark]:
            expect(bytes(colour) in colours, f"bars of colour {colour}", f"{len(colours)} other colours")


def check_refused(folder):
    good = made_up("x", 1)[0]
    no_name = {key: value for key, value in good.items() if key != "name"}
    bad = {
        "": "at least one case",
        "7": "line 1: a JSON object",
        json.dumps(good) + "\n{": "line 2: a JSON object",
        json.dumps(no_name): '"name"',
        json.dumps({**good, "limits": None}): '"limits"',
        json.dumps({**good, "limits": {**LIMITS, "copy_gb_per_s": "fast"}}): '"copy_gb_per_s"',
        json.dumps({**good, "median_ns": -1}): '"median_ns"',
        json.dumps({**good, "flop": float("inf")}): '"flop"',
        "\n".join(json.dumps({**good, "device": f"device {i}"}) for i in range(7)): "at most 6 devices",
    }
    path, page = os.path.join(folder, "bad.jsonl"), os.path.join(folder, "none.html")
    for content, part in bad.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        result = run("--out", page, path)
        one_line = result.returncode == 1 and result.stderr.startswith("report: ") and result.stderr.count("\n") == 1
        expect(one_line and part in result.stderr, f"one line with {part}", result)
        expect(not os.path.exists(page), "no page", "one")
    expect("cannot read" in run("--out", page, os.path.join(folder, "absent")).stderr, "cannot read", "something else")
    write_lines(path, [good])
    expect("cannot write" in run("--out", os.path.join(folder, "no", "page"), path).stderr, "cannot write", "something else")
    expect(run(path).returncode == 2, "status 2 without --out", "another")


with tempfile.TemporaryDirectory() as temporary:
    check_screen(check_page(temporary), temporary)
    check_refused(temporary)
print("ok")
