"""Write tokenizer.json and cases.json of this folder: a small byte-level BPE, and texts with the ids that a slow
tokenizer written for this purpose alone finds. It looks for added tokens by trying all of them at every place, cuts
with the `regex` package, normalises with `unicodedata`, and merges strings one pair at a time.

Usage: python3 gen_tokenizer.py (needs the package `regex`; random texts follow a fixed seed)"""

import json
import os
import random
import unicodedata

import regex

FOLDER = os.path.dirname(os.path.abspath(__file__))
SPACE = r"\p{White_Space}"
GPT2 = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{SPACE}\p{{L}}\p{{N}}]+|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
LONG = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PUNCTUATION = r"[!-\/:-@\[-`{-~\p{P}]"

TRAINING = """the cat sat on the mat and the hat. there's a state, h(t) = A h(t-1) + B x(t); then they're done!
the scan of states is a sum of the states before it: it isn't hard, we've seen it, I'll show you. numbers: 12 123 1234
die Größe der Straße wächst über Nacht, и ещё немного текста о том, что было, 状態空間モデルの状態 état été déjà vu
    indented(code)\n    indented(more)\n\n\n        deeper\t\ttabs   and   spaces   ...   !!! ??? --- *** --- 2024 2025
"""
ADDED = [
    {"content": "<|end|>", "special": True, "normalized": False},
    {"content": "<|end|><|end|>", "special": True, "normalized": False},
    {"content": "<|pad|>", "special": True, "normalized": False},
    {"content": "[LEFT]", "special": False, "normalized": False, "lstrip": True},
    {"content": "[RIGHT]", "special": False, "normalized": False, "rstrip": True},
    {"content": "whole", "special": False, "normalized": False, "single_word": True},
    {"content": "café!", "special": False, "normalized": True},
    {"content": "    ", "special": False, "normalized": True},
    {"content": "      ", "special": False, "normalized": True},
    {"content": "<<", "special": False, "normalized": True},
    {"content": "状態空間", "special": False, "normalized": False},
    {"content": "\n\n", "special": False, "normalized": False},
]


def alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(256 + i) for i, b in enumerate(rest)})
    return table


SPELL = alphabet()


def spell(text):
    return "".join(SPELL[b] for b in text.encode())


def pairs(word):
    return list(zip(word, word[1:]))


def train(n_merge):
    words = [list(spell(w)) for w in regex.findall(GPT2, TRAINING)]
    merges = []
    while len(merges) < n_merge:
        counts = {}
        for word in words:
            for pair in pairs(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda p: (counts[p], p))
        merges.append(best)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def make_tokenizer():
    merges = train(200)
    tokens = ["<|end|>"] + [SPELL[b] for b in range(256)]
    for pair in merges:
        if "".join(pair) not in tokens:
            tokens.append("".join(pair))
    vocab = {t: i for i, t in enumerate(tokens)}
    added, next_id = [], len(tokens) + 3  # a hole in the ids
    for entry in ADDED:
        id = vocab.get(entry["content"], next_id)
        next_id += entry["content"] not in vocab
        flags = {"single_word": False, "lstrip": False, "rstrip": False}
        added.append({"id": id, **flags, **entry})
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": [" ".join(p) for p in merges]},
    }


def is_word(c):
    return regex.fullmatch(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]", c) is not None


def is_space(c):
    return regex.fullmatch(rf"[{SPACE}]", c) is not None


def cut_added(text, tokens, parse_special):
    """[(piece, None) or (None, id)]"""
    out, start, at = [], 0, 0
    while at < len(text):
        found = [t for t in tokens if t["match"] and text.startswith(t["match"], at)]
        if not found:
            at += 1
            continue
        token = max(found, key=lambda t: len(t["match"]))
        low, high = at, at + len(token["match"])
        at = high
        if low < start or (token["special"] and not parse_special):
            continue
        if token["single_word"] and ((low and is_word(text[low - 1])) or (high < len(text) and is_word(text[high]))):
            continue
        while token["lstrip"] and low > start and is_space(text[low - 1]):
            low -= 1
        while token["rstrip"] and high < len(text) and is_space(text[high]):
            high += 1
        out += [(text[start:low], None), (None, token["id"])]
        start = high
    out.append((text[start:], None))
    return [(piece, id) for piece, id in out if piece or id is not None]


def split(piece, pattern, behavior, invert):
    parts, at = [], 0
    for m in regex.finditer(pattern, piece):
        if m.start() > at:
            parts.append([piece[at : m.start()], invert])
        parts.append([m.group(), not invert])
        at = m.end()
    if at < len(piece):
        parts.append([piece[at:], invert])
    if behavior == "Removed":
        return [p for p, hit in parts if not hit]
    if behavior == "Isolated":
        return [p for p, hit in parts]
    if behavior == "Contiguous":
        joins = [i > 0 and parts[i][1] == parts[i - 1][1] for i in range(len(parts))]
    elif behavior == "MergedWithPrevious":
        joins = [i > 0 and parts[i][1] and not parts[i - 1][1] for i in range(len(parts))]
    else:  # MergedWithNext: joins[i] says that i joins what comes before it
        joins = [i > 0 and parts[i - 1][1] and not parts[i][1] for i in range(len(parts))]
    out = []
    for (p, _), join in zip(parts, joins):
        if join:
            out[-1] += p
        else:
            out.append(p)
    return out


def pretokenize(pieces, component, spelled):
    """-> pieces, whether they are spelled in the byte alphabet"""
    kind = component["type"]
    if kind == "Sequence":
        for c in component["pretokenizers"]:
            pieces, spelled = pretokenize(pieces, c, spelled)
        return pieces, spelled
    if kind == "ByteLevel":
        if component.get("add_prefix_space", True):
            pieces = [p if p.startswith(" ") else " " + p for p in pieces]
        if component.get("use_regex", True):
            pieces = [q for p in pieces for q in split(p, GPT2, "Isolated", False)]
        return [spell(p) for p in pieces], True
    behavior, invert = component.get("behavior", "Isolated"), component.get("invert", False)
    if kind == "Digits":
        pattern, behavior = r"\p{N}", "Isolated" if component["individual_digits"] else "Contiguous"
    elif kind == "Punctuation":
        pattern = PUNCTUATION
    elif "String" in component["pattern"]:
        pattern = regex.escape(component["pattern"]["String"])
    else:
        pattern = component["pattern"]["Regex"].replace(r"[^\s", "[^" + SPACE)
        pattern = pattern.replace(r"\s", f"[{SPACE}]").replace(r"\S", f"[^{SPACE}]")
    return [q for p in pieces for q in split(p, pattern, behavior, invert) if q], spelled


def bpe(word, model):
    if model.get("ignore_merges") and word in model["vocab"]:
        return [model["vocab"][word]]
    merges = model["merges"]
    ranks = {tuple(m.split(" ") if isinstance(m, str) else m): i for i, m in enumerate(merges)}
    word = list(word)
    while True:
        ranked = [(ranks[p], i) for i, p in enumerate(pairs(word)) if p in ranks]
        if not ranked:
            return [model["vocab"][t] for t in word]
        _, i = min(ranked)
        word[i : i + 2] = [word[i] + word[i + 1]]


def encode(tokenizer, text, parse_special):
    nfc = tokenizer["normalizer"] is not None
    normal = lambda s: unicodedata.normalize("NFC", s) if nfc else s
    raw = [{**t, "match": t["content"]} for t in tokenizer["added_tokens"] if not t["normalized"]]
    normalized = [{**t, "match": normal(t["content"])} for t in tokenizer["added_tokens"] if t["normalized"]]
    ids = []
    for piece, id in cut_added(text, raw, parse_special):
        for part, inner in [(None, id)] if id is not None else cut_added(normal(piece), normalized, parse_special):
            if inner is not None:
                ids.append(inner)
                continue
            for word in pretokenize([part], tokenizer["pre_tokenizer"], False)[0]:
                ids += bpe(word, tokenizer["model"])
    return ids


def byte_level(**options):
    return {"type": "ByteLevel", "add_prefix_space": False, **options}


def sequence(*components):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(components)}}


def splitter(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


LAST = byte_level(use_regex=False)
SETTINGS = {
    "plain": {},
    "prefix space": {"pre_tokenizer": byte_level(add_prefix_space=True)},
    "prefix space by default": {"pre_tokenizer": {"type": "ByteLevel"}},
    "no pattern": {"pre_tokenizer": LAST},
    "nfc": {"normalizer": {"type": "NFC"}},
    "nfc in sequence": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
    "long pattern": sequence(splitter({"Regex": LONG}, "Isolated"), LAST),
    "split string": sequence(splitter({"String": "a."}, "Isolated"), LAST),
    "removed": sequence(splitter({"Regex": r"\s+"}, "Removed"), LAST),
    "kept": sequence(splitter({"Regex": r"\p{L}+"}, "Removed", True), LAST),
    "with previous": sequence(splitter({"Regex": r"[aeiou]"}, "MergedWithPrevious"), LAST),
    "with next": sequence(splitter({"Regex": r"[aeiou]"}, "MergedWithNext"), LAST),
    "contiguous": sequence(splitter({"Regex": r"[aeiou\p{N}]"}, "Contiguous"), LAST),
    "contiguous inverted": sequence(splitter({"Regex": r"[^\sa-t]"}, "Contiguous", True), LAST),
    "single digits": sequence({"type": "Digits", "individual_digits": True}, byte_level()),
    "digits": sequence({"type": "Digits", "individual_digits": False}, LAST),
    "steps after bytes": sequence(
        {"type": "Punctuation", "behavior": "Contiguous"},
        byte_level(add_prefix_space=True),
        {"type": "Digits", "individual_digits": False},
        splitter({"Regex": "[0-9][0-9]"}, "Isolated"),
    ),
    "ignore merges": {"model": {"ignore_merges": True}},
}
TEXTS = [
    "the cat sat on the mat. there's 12345 in it, they're   done!\n\n\n  x",
    "It'S THEY'RE i'll we'Ve 's't're",
    "a\u180eb\u0085c\u00a0d\u2003e\u3000f\u200bg\u001ch \u1680 i\u2028j",
    "Größe Gro\u0308\u00dfe cafe\u0301! café! caf\u00e9 e\u0301\u0316 e\u0316\u0301 \u1e69 s\u0323\u0307 s\u0307\u0323 \u212b \uac01 \u1100\u1161\u11a8 \ufb01 \u0958",
    "hi<|end|>there<|end|><|end|>you<|pad|><|end|><|en|>",
    "a  [LEFT]  b  [RIGHT]  c[RIGHT]  [LEFT]  d [LEFT][LEFT] e\u3000[RIGHT]\n\n[RIGHT]",
    "whole wholes awhole a-whole- é_whole whole\u0301 whole\u200d (whole) 9whole \u24d0whole whole",
    "if x:\n    y\n        z\n      w\n       v << 2 <<< 1",
    "状態空間モデル 12½Ⅷ٣४ ²³ ½x \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea и ещё",
    "a[RIGHT] \n\n\nb\n\n[LEFT]\n\n\n[RIGHT]\n\n",
    " ", "   ", "\n", "", "a", " a ", "\t\t tabs \r\n\r\n end ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a.a.b.a.",
]
ALPHABET = (
    list("aetho  \n\t's'tre.,!?0123") + ["é", "ß", "и", "状", "²", "½", "\u0301", "\u0323", "\u00a0", "\u3000", "\U0001f600"]
    + ["the", " state", "<|end|>", "whole", "[LEFT]", "[RIGHT]", "    ", "e\u0301"]
)


def main():
    tokenizer, rng, cases = make_tokenizer(), random.Random(20240229), []
    for name, changes in SETTINGS.items():
        changed = {**tokenizer, **changes, "model": {**tokenizer["model"], **changes.get("model", {})}}
        texts = TEXTS + ["".join(rng.choices(ALPHABET, k=rng.randint(1, 40))) for _ in range(16)]
        for text in texts:
            for parse_special in (False, True) if "<|" in text else (True,):
                cases.append([name, text, parse_special, encode(changed, text, parse_special)])
    with open(os.path.join(FOLDER, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f, ensure_ascii=False, indent=0)
        f.write("\n")
    with open(os.path.join(FOLDER, "cases.json"), "w", encoding="utf-8") as f:
        f.write('{"settings": ' + json.dumps(SETTINGS, indent=1) + ',\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")


main()
