#!/usr/bin/env python3
"""Compares `gatewright tokenize` with the `tokenizers` package, and with llama.cpp, on drawn strings.

Usage: tools/check_tokenizer.py PROGRAM MODEL.gguf [--strings 100000] [--seed 0] [--llama] [--show 5]

MODEL.gguf holds byte pairs over bytes (tokenizer.ggml.model = gpt2) cut as SmolLM2's or GPT-2's text is (tokenizer.ggml.pre = smollm,
gpt-2 or default); from its tokens, merges and kinds a tokenizer of the package is put together here. Needs PyPI's tokenizers and gguf;
with --llama also llama-cpp-python, whose own tokenizer reads the file then.

Strings: up to 24 pieces, each a word, a space of any kind, a number, a sign, a run of letters or marks of one of two dozen scripts, an
emoji with its modifiers, a control character, any code point, a token of the vocabulary, or a special token, whole or cut.
exit code 0: no string differs, 1: some do
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import unicodedata

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTROL, USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type
SCRIPTS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x250, 0x2AF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F), (0x5D0, 0x5EA),
           (0x620, 0x6D3), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xE01, 0xE5B), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F),
           (0x1E00, 0x1FFF), (0x3041, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xFF01, 0xFFEF), (0x10330, 0x1034A), (0x1D400, 0x1D7FF), (0x20000, 0x200FF)]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u0085", "\u1680", "\ufeff"]
SIGNS = ["!", "?", "...", "'", "''", "'s", "'re", "'LL", "\u2019s", '"', "-", "--", "\u2014", "/", "\\", "_", "#", "@", "&", "%", "$", "\u20ac", "(", ")", "[]", "{}", "<", ">", "|", "~",
         "^", "`", "*", "+", "=", ";", ":", ",", ".", "\u00a1", "\u00bf", "\u3002", "\uff0c", "\u0964", "\u060c", "\u0640", "\u200d", "\u200c", "\ufe0f", "\u00ad"]
NUMBERS = ["0", "7", "10", "123", "1234567890", "3.14", "1,000", "\u0663\u0664", "\u096f", "\u00bd", "\u00b2", "\u2160", "\u2460", "\uff11", "\U0001d7d8"]
EMOJI = ["\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "1\ufe0f\u20e3", "\u2603"]
WORDS = ["the", "The", "THE", "and", "don't", "it's", "I'll", "mixture", "gate", "experts", "gatewright", "http://example.org/a?b=c", "user@example.com", "snake_case", "CamelCase",
         "def f(x):\n    return x", "x += 1;", "na\u00efve", "e\u0301", "\ufb01ne", "Stra\u00dfe", "\u0130stanbul", "\u4f60\u597d", "\u3053\u3093\u306b\u3061\u306f"]


def code_point(rng):
    while True:
        value = rng.randrange(0x110000) if rng.random() < 0.3 else rng.randrange(0x3000)
        if not 0xD800 <= value <= 0xDFFF:
            return chr(value)


def drawn(rng, tokens, special):
    def piece():
        kind = rng.random()
        for share, choose in ((0.2, lambda: rng.choice(WORDS)), (0.2, lambda: rng.choice(SPACES) * rng.choice((1, 1, 1, 2, 5))),
                              (0.1, lambda: rng.choice(NUMBERS)), (0.13, lambda: rng.choice(SIGNS) * rng.choice((1, 1, 2, 3))),
                              (0.17, lambda: "".join(chr(rng.randint(*script)) for _ in range(rng.randint(1, 8))) if (script := rng.choice(SCRIPTS)) else ""),
                              (0.04, lambda: rng.choice(EMOJI)), (0.03, lambda: chr(rng.randrange(0x20))), (0.05, lambda: code_point(rng)),
                              (0.05, lambda: rng.choice(tokens)), (0.02, lambda: rng.choice(special)), (0.01, lambda: rng.choice(special)[: rng.randint(1, 8)])):
            if kind < share:
                return choose()
            kind -= share
        return " "

    return "".join(piece() for _ in range(rng.randint(1, 24)))


def byte_alphabet():
    """The sign of each byte in vocabularies of bytes: itself where it prints, else one from U+0100 on."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in prints else chr(next(others)) for byte in range(256)]


class Vocabulary:
    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields
        self.kind, self.cut = fields["tokenizer.ggml.model"].contents(), fields["tokenizer.ggml.pre"].contents()
        self.tokens, self.merges = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents()
        self.types = fields["tokenizer.ggml.token_type"].contents()
        if self.kind != "gpt2" or self.cut not in ("smollm", "gpt-2", "default"):
            sys.exit(f"check_tokenizer: expected gpt2 with smollm, gpt-2 or default, got {self.kind} with {self.cut}")

    def special(self):
        return [token for token, kind in zip(self.tokens, self.types) if kind in (CONTROL, USER_DEFINED)]

    def package(self):
        merges = [tuple(merge.split(" ")) for merge in self.merges]
        made = Tokenizer(models.BPE({token: i for i, token in enumerate(self.tokens)}, merges))
        digits = [pre_tokenizers.Digits(individual_digits=True)] if self.cut == "smollm" else []
        made.pre_tokenizer = pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in self.special()])
        return made


def ours(options, strings):
    text = "".join(json.dumps(s) + "\n" for s in strings)
    ran = subprocess.run([options.program, "tokenize", options.model, "--lines"], input=text, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"check_tokenizer: tokenize ended with {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def llama(options, strings):
    import llama_cpp

    model = llama_cpp.Llama(str(options.model), vocab_only=True, verbose=False)
    return [model.tokenize(s.encode(), add_bos=True, special=True) for s in strings]


def report(name, strings, mine, other, without_token, show):
    """What differs, and how much of it has a known reason: tables of other years, and bytes that nothing stands for."""
    wrong = [i for i in range(len(strings)) if mine[i] != other[i]]
    missing = sum(any(byte in without_token for byte in strings[i].encode()) for i in wrong)
    unknown = sum(any(unicodedata.category(c) == "Cn" for c in strings[i]) for i in wrong)
    print(f"{name}: {len(strings)} strings, {sum(map(len, mine))} tokens, {len(wrong)} differ; of these {missing} hold a byte without a token, "
          f"{unknown} a code point that Unicode {unicodedata.unidata_version} does not assign", flush=True)
    for i in wrong[:show]:
        print(f"  {strings[i]!r}\n    ours {mine[i]}\n    {name} {other[i]}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5, help="so many that differ")
    parser.add_argument("--llama", action="store_true", help="llama-cpp-python's answer too")
    options = parser.parse_args()
    options.program = options.program.resolve()
    vocabulary, rng = Vocabulary(options.model), random.Random(options.seed)
    package = vocabulary.package()
    texts = [package.decode([i], skip_special_tokens=False) for i in range(len(vocabulary.tokens))]
    special = vocabulary.special()
    strings = [drawn(rng, texts, special) for _ in range(options.strings)]
    mine = ours(options, strings)
    known = set(vocabulary.tokens)
    lacking = {byte for byte, sign in enumerate(byte_alphabet()) if sign not in known}
    print(f"bytes without a token: {sorted(lacking)}")
    held = report("tokenizers", strings, mine, [e.ids for e in package.encode_batch(strings)], lacking, options.show)
    if options.llama:
        held = report("llama.cpp", strings, mine, llama(options, strings), lacking, options.show) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
