#!/usr/bin/env python3
"""Turn measurements into one page of charts.

usage: report.py --out PAGE.html MEASUREMENTS.jsonl...

Each file holds what `vkssm bench --json` printed, of one device or several; devices stand side by side in every chart.
The page needs no network and no script, and follows the reader's light or dark colour scheme.
"""

import argparse
import collections
import html
import json
import math
import os
import re
import sys

MAX_DEVICE = 6  # colours that can be told apart
WIDTH = 860


class Refused(Exception):
    """One line about a file that cannot be used."""


# ---- measurements ----------------------------------------------------------------------------------------------------

NUMBERS = ("median_ns", "spread", "bytes", "flop", "gb_per_s", "tflop_per_s", "limit_share")
LIMITS = ("copy_gb_per_s", "gemm_tflop_per_s", "dispatch_ns", "barrier_ns", "submit_ns")


def check_numbers(where, values, names):
    for name in names:
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise Refused(f'{where}: a number "{name}" of at least 0 expected, {json.dumps(value)} found')


def check_case(where, case):
    if not isinstance(case, dict):
        raise Refused(f"{where}: a JSON object expected")
    for name in ("name", "device", "driver"):
        if not isinstance(case.get(name), str):
            raise Refused(f'{where}: the text "{name}" expected, {json.dumps(case.get(name))} found')
    if not isinstance(case.get("limits"), dict):
        raise Refused(f'{where}: the object "limits" expected, not found')
    check_numbers(f"{where}: limits", case["limits"], LIMITS)
    if "skipped" not in case:
        check_numbers(where, case, NUMBERS)
    if "tokens_per_s" in case:
        check_numbers(where, case, ("tokens_per_s",))


def read_file(path):
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: cannot read the file: {error}") from None
    cases = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except ValueError as error:
            raise Refused(f"{path}: line {number}: a JSON object expected: {error}") from None
        check_case(f"{path}: line {number}", case)
        cases.append(case)
    if not cases:
        raise Refused(f"{path}: at least one case expected, none found")
    return cases


class Device:
    """The cases of one device with one driver; of a case measured twice the last."""

    def __init__(self, name, driver):
        self.name, self.driver, self.cases, self.skipped = name, driver, {}, {}
        self.commits, self.limits = set(), {}

    def add(self, case):
        self.limits = case["limits"]
        self.commits.add(case.get("commit") or "?")
        (self.skipped if "skipped" in case else self.cases)[case["name"]] = case


def group_by_device(cases):
    devices = {}
    for case in cases:
        key = (case["device"], case["driver"])
        devices.setdefault(key, Device(*key)).add(case)
    if len(devices) > MAX_DEVICE:
        raise Refused(f"at most {MAX_DEVICE} devices with their drivers expected, {len(devices)} found")
    return list(devices.values())


# ---- text and numbers ------------------------------------------------------------------------------------------------


def text(value):
    return html.escape(str(value))


def format_time(ns):
    for unit in ("ns", "µs", "ms"):
        if ns < 1000:
            return f"{ns:.3g} {unit}"
        ns /= 1000
    return f"{ns:.3g} s"


def format_count(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def family(name):
    return name.split("/", 1)[0]


# ---- SVG -------------------------------------------------------------------------------------------------------------


class Drawing:
    """An SVG image: elements one after the other. Colours are classes, so that the page's style decides them."""

    def __init__(self, height, label):
        self.parts = [f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{text(label)}">']

    def write(self, x, y, value, anchor="start", style=""):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{text(value)}</text>'
        )

    def bar(self, x, y, width, height, device, tip):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2" class="fill{device}">'
            f"<title>{text(tip)}</title></rect>"
        )

    def dot(self, x, y, device, tip):
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="fill{device} dot"><title>{text(tip)}</title></circle>'
        )

    def line(self, points, style):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" class="{style}"/>')

    def end(self):
        return "".join(self.parts) + "</svg>"


class LogAxis:
    """A logarithmic scale from below the least value to above the largest, and its powers of ten."""

    def __init__(self, values, begin, end):
        self.low = math.floor(math.log10(min(values)) - 0.02)
        self.high = max(math.ceil(math.log10(max(values)) + 0.02), self.low + 1)
        self.begin, self.end = begin, end

    def at(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self):
        step = 1 + (self.high - self.low) // 8
        return [10.0**power for power in range(self.low, self.high + 1, step)]


def draw_frame(drawing, x_axis, y_axis, x_label, y_label, format_x, format_y):
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        drawing.line([(x, y_axis.begin), (x, y_axis.end)], "grid")
        drawing.write(x, y_axis.begin + 18, format_x(tick), "middle", "tick")
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        drawing.line([(x_axis.begin, y), (x_axis.end, y)], "grid")
        drawing.write(x_axis.begin - 8, y + 4, format_y(tick), "end", "tick")
    drawing.write((x_axis.begin + x_axis.end) / 2, y_axis.begin + 38, x_label, "middle", "label")
    drawing.write(x_axis.begin - 62, y_axis.end - 12, y_label, "start", "label")


# ---- charts ----------------------------------------------------------------------------------------------------------


def draw_bars(rows, label, format_value):
    """rows: (name, [(device, part of the full width, value, tip)])."""
    bar, gap, left, right = 14, 12, 300, 90
    drawing = Drawing(sum(len(bars) * bar + gap for _, bars in rows) + gap, label)
    y = gap
    for name, bars in rows:
        drawing.write(left - 10, y + len(bars) * bar / 2 + 4, name, "end", "name")
        for device, part, value, tip in bars:
            width = part * (WIDTH - left - right)
            drawing.bar(left, y, width, bar - 2, device, tip)
            drawing.write(left + max(width, 1) + 6, y + bar - 4, format_value(value), "start", "value")
            y += bar
        y += gap
    return drawing.end()


def rows_of(devices, wanted, value_of, part_of):
    """For each case of any device, in the order in which they were measured: its bars."""
    names = dict.fromkeys(name for device in devices for name, case in device.cases.items() if wanted(case))
    rows = []
    for name in names:
        values = [(i, device.cases[name]) for i, device in enumerate(devices) if name in device.cases]
        most = max(value_of(case) for _, case in values)
        bars = []
        for i, case in values:
            value = value_of(case)
            tip = f"{name}, {devices[i].name}: {format_time(case['median_ns'])} ± {100 * case['spread']:.1f} %"
            bars.append((i, part_of(value, most), value, tip))
        rows.append((name, bars))
    return rows


def chart_tokens(devices):
    rows = rows_of(
        devices,
        lambda case: case.get("tokens_per_s", 0) > 0,
        lambda case: case["tokens_per_s"],
        lambda value, most: value / most,
    )
    return draw_bars(rows, "tokens per second", format_count) if rows else None


def chart_share(devices):
    rows = rows_of(
        devices,
        lambda case: case["limit_share"] > 0 and "tokens_per_s" not in case,
        lambda case: case["limit_share"],
        lambda value, most: min(value, 1),
    )
    return draw_bars(rows, "share of the limit", lambda value: f"{100 * value:.0f} %") if rows else None


def chart_roofline(index, device):
    """Floating-point operations per second against operations per byte, below what the limits allow."""
    cases = [case for case in device.cases.values() if case["flop"] and case["bytes"] and case["tflop_per_s"] > 0]
    copy, gemm = device.limits["copy_gb_per_s"] * 1e-3, device.limits["gemm_tflop_per_s"]
    if not cases or not copy or not gemm:
        return None
    intensity = [case["flop"] / case["bytes"] for case in cases]
    ridge = gemm / copy
    height = 420
    drawing = Drawing(height, f"roofline of {device.name}")
    x_axis = LogAxis(intensity + [ridge], 90, WIDTH - 30)
    y_axis = LogAxis([case["tflop_per_s"] for case in cases] + [gemm, copy * 10.0**x_axis.low], height - 50, 34)
    draw_frame(
        drawing, x_axis, y_axis, "operations per byte", "TFLOP/s", lambda value: f"{value:g}", lambda value: f"{value:g}"
    )
    low, high = 10.0**x_axis.low, 10.0**x_axis.high
    drawing.line([(x_axis.at(low), y_axis.at(copy * low)), (x_axis.at(ridge), y_axis.at(gemm)),
                  (x_axis.at(high), y_axis.at(gemm))], "roof")  # fmt: skip
    roofs = f"limits: copy {copy * 1e3:,.4g} GB/s, fastest product {gemm:.3g} TFLOP/s"
    drawing.write(x_axis.end, y_axis.end - 12, roofs, "end", "label")
    for case, x in zip(cases, intensity):
        tip = f"{case['name']}: {case['tflop_per_s']:.3g} TFLOP/s, {case['gb_per_s']:.4g} GB/s, {format_time(case['median_ns'])}"
        drawing.dot(x_axis.at(x), y_axis.at(case["tflop_per_s"]), index, tip)
    return drawing.end()


LENGTH = re.compile(r"(?<![a-z])((?:[a-su-z]\d+)*)t(\d+)")  # t2048 of b1t2048h80


def series_by_length(devices):
    """{name with the length left out: {device: [(length, ns)]}} of what was measured at two lengths or more."""
    series = collections.defaultdict(lambda: collections.defaultdict(list))
    for i, device in enumerate(devices):
        for name, case in device.cases.items():
            match = LENGTH.search(name)
            if match:
                general = name[: match.start(2) - 1] + "t·" + name[match.end() :]
                series[general][i].append((int(match.group(2)), case["median_ns"]))
    return {
        name: {i: sorted(points) for i, points in lines.items() if len(points) > 1}
        for name, lines in series.items()
        if any(len(points) > 1 for points in lines.values())
    }


def chart_length(name, lines):
    height = 300
    points = [point for line in lines.values() for point in line]
    drawing = Drawing(height, f"time against length of {name}")
    x_axis = LogAxis([x for x, _ in points], 90, WIDTH - 30)
    y_axis = LogAxis([y for _, y in points], height - 50, 34)
    draw_frame(drawing, x_axis, y_axis, "length T", "time", format_count, format_time)
    for i, line in lines.items():
        drawing.line([(x_axis.at(x), y_axis.at(y)) for x, y in line], f"stroke{i}")
        for x, y in line:
            drawing.dot(x_axis.at(x), y_axis.at(y), i, f"T = {x:,}: {format_time(y)}, {y / x:.3g} ns a step")
    return drawing.end()


# ---- the page --------------------------------------------------------------------------------------------------------

COLOURS = (("#1f6feb", "#6cb6ff"), ("#c2410c", "#ff9d5c"), ("#15803d", "#6bd68a"),
           ("#9333ea", "#d2a8ff"), ("#b91c5c", "#ff8fb8"), ("#6b6200", "#e3c94f"))  # fmt: skip


def variables(dark):
    ground = (
        "--back:#14171c;--ink:#e6e9ee;--soft:#a3abb8;--grid:#2c323b;--roof:#e6e9ee;"
        if dark
        else "--back:#ffffff;--ink:#1b1f24;--soft:#59636e;--grid:#e3e6ea;--roof:#1b1f24;"
    )
    return ground + "".join(f"--c{i}:{pair[dark]};" for i, pair in enumerate(COLOURS))


def style():
    per_device = "".join(
        f".fill{i}{{fill:var(--c{i})}}.stroke{i}{{fill:none;stroke:var(--c{i});stroke-width:2}}" for i in range(MAX_DEVICE)
    )
    return (
        f":root{{color-scheme:light dark;{variables(False)}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{variables(True)}}}}}"
        "body{background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;"
        "padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin-bottom:0}"
        "p,li{color:var(--soft);max-width:70ch}svg{width:100%;height:auto;display:block;margin:.5rem 0}"
        "svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .tick,svg .label{fill:var(--soft)}"
        "svg .name{font-family:ui-monospace,monospace;font-size:11px}svg .value{fill:var(--soft);font-size:11px}"
        ".grid{fill:none;stroke:var(--grid)}.roof{fill:none;stroke:var(--roof);stroke-width:1.5;stroke-dasharray:5 4}"
        ".dot{stroke:var(--back);stroke-width:1}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px}"
        "th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--grid);white-space:nowrap}"
        "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
        ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}" + per_device
    )


def key(i):
    return f'<span class="key" style="background:var(--c{i})"></span>'


def table(head, rows):
    cells = "".join(f'<th class="{kind}">{text(name)}</th>' for name, kind in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(row, head)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


def table_of_devices(devices):
    head = [("device", ""), ("driver", ""), ("commit", ""), ("copy GB/s", "n"), ("GEMM TFLOP/s", "n"), ("dispatch", "n"),
            ("with barrier", "n"), ("submit and wait", "n")]  # fmt: skip
    rows = []
    for i, device in enumerate(devices):
        limits = device.limits
        times = [format_time(limits[name]) for name in ("dispatch_ns", "barrier_ns", "submit_ns")]
        rows.append([key(i) + text(device.name), text(device.driver), text(", ".join(sorted(device.commits))),
                     f"{limits['copy_gb_per_s']:,.1f}", f"{limits['gemm_tflop_per_s']:.3g}", *times])  # fmt: skip
    return table(head, rows)


def table_of_cases(i, device):
    head = [("case", ""), ("median", "n"), ("±", "n"), ("GB/s", "n"), ("TFLOP/s", "n"), ("of limit", "n"), ("tokens/s", "n"),
            ("kernels", "")]  # fmt: skip
    rows = [
        [text(name), format_time(case["median_ns"]), f"{100 * case['spread']:.1f} %", f"{case['gb_per_s']:,.1f}",
         f"{case['tflop_per_s']:.3g}", f"{100 * case['limit_share']:.0f} %",
         format_count(case["tokens_per_s"]) if "tokens_per_s" in case else "",
         text(", ".join(map(str, case.get("variants", []))))]
        for name, case in device.cases.items()
    ]  # fmt: skip
    rows += [[text(name), "skipped: " + text(case["skipped"])] for name, case in device.skipped.items()]
    return f"<details><summary>{key(i)}{text(device.name)}: {len(rows)} cases</summary>{table(head, rows)}</details>"


def section(title, words, *charts):
    charts = [chart for chart in charts if chart]
    return f"<h2>{text(title)}</h2><p>{text(words)}</p>{''.join(charts)}" if charts else ""


def make_page(devices):
    rooflines = []
    for i, device in enumerate(devices):
        chart = chart_roofline(i, device)
        if chart:
            rooflines.append(f"<h3>{key(i)}{text(device.name)}</h3>{chart}")
    lengths = [f"<h3>{text(name)}</h3>{chart_length(name, lines)}" for name, lines in series_by_length(devices).items()]
    body = (
        "<h1>Sequence models on Vulkan</h1>"
        "<p>Measured by <code>vkssm bench</code> on made-up data. Point at a bar or a dot for its numbers.</p>"
        + table_of_devices(devices)
        + section("Tokens per second", "Whole models. The longest bar of a case is its fastest device.", chart_tokens(devices))
        + section(
            "Share of the limit",
            "The least time that the device's own copy bandwidth and fastest matrix product allow for a case, as a part "
            "of the time it took. A full bar is as fast as this device can be.",
            chart_share(devices),
        )
        + section(
            "Roofline",
            "Each dot is a case. The dashed line is what the device's memory (left) and its matrix units (right) allow, as "
            "measured in the same run.",
            *rooflines,
        )
        + section("Time against length", "Both axes are logarithmic: a straight line of slope one is linear time.", *lengths)
        + "<h2>All numbers</h2>"
        + "".join(table_of_cases(i, device) for i, device in enumerate(devices))
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sequence models on Vulkan</title><style>{style()}</style><body>{body}</body></html>\n"
    )


def write_whole(path, page):
    """The page appears whole or not at all."""
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(page)
        os.replace(part, path)
    except OSError as error:
        raise Refused(f"{path}: cannot write the page: {error.strerror}") from None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", required=True, metavar="PAGE.html", help="the page to write")
    parser.add_argument("measurements", nargs="+", metavar="MEASUREMENTS.jsonl", help="what vkssm bench --json printed")
    arguments = parser.parse_args()
    try:
        cases = [case for path in arguments.measurements for case in read_file(path)]
        devices = group_by_device(cases)
        write_whole(arguments.out, make_page(devices))
    except Refused as refused:
        sys.exit(f"report: {refused}")
    n_case = sum(len(device.cases) for device in devices)
    print(f"{arguments.out}: {n_case} measurements of {len(devices)} devices")


if __name__ == "__main__":
    main()
