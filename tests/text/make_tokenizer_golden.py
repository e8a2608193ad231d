#!/usr/bin/env python3
"""Writes tests/text/golden/ with the public packages: pip install tokenizers==0.23.3 sentencepiece==0.2.3.

Small tokenizers of every kind, trained on this repository's own pages, and for each of them what the package makes of the same strings: ids with
special tokens around them, and the text of these ids with and without special tokens. tests/text/test_tokenizer_golden.cpp demands equality.
The trainers break ties by chance: another run writes other tokenizers, which serve as well.
"""
import base64
import json
import pathlib
import struct

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent / "golden"
ROOT = pathlib.Path(__file__).parent.parent.parent

CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
FOREIGN = ("Zażółć gęślą jaźń. Größe über Straße. Ελληνικά κείμενα. Съешь ещё этих мягких французских булок. 你好，世界。日本語のテキスト。 한국어 문장. "
           "हिन्दी पाठ. ภาษาไทย. 😀👍🏽 naïve café façade œuvre ½ ① Ⅷ ﬁ ")


def corpus():
    pages = sorted((ROOT / "docs" / "decisions").glob("00*.md"))
    return [page.read_text(encoding="utf-8") for page in pages] + [FOREIGN] * 3


def strings():
    words = ["Hello, world!", "hello", " hello", "  hello", "hello ", "hello  ", "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\n \n", "a\nb", "a\r\nb", "a \r\n b",
             "tabs\tand\t\tmore", "trailing   \n   leading", "line\n\n\nline", "\x00", "a\x00b", "\x01\x02\x1f", "\x7f", "\x85", "a\x85b", "\u00a0", "a\u00a0b", "\u3000wide\u3000space",
             "\u200b", "zero\u200bwidth", "\u200d", "\ufeffbom", "\u2028line\u2029par", "\u180emongol", "\ufffd", "\ufffdreplacement"]
    words += ["don't", "DON'T", "Don't I'll we've they're I'm he'd it's", "'s", "'S'T'RE", "''s", "it\u2019s", "'ſ", "rock'n'roll", "O'Neill's"]
    words += ["1", "12", "123", "1234", "12345678901234567890", "3.14159", "1,000,000", "-1e-9", "0x1F", "1st 2nd", "٣٤٥", "१२३", "½ ¾", "①②③", "Ⅷ", "x²+y³", "10⁻⁹", "a1b2c3"]
    words += ["é", "e\u0301", "\u0301", "a\u0300\u0301\u0302", "Å", "A\u030a", "\u212b", "ﬁne ﬂow", "ＦＵＬＬ", "ｶﾞ", "가", "\u1100\u1161", "İstanbul", "ISTANBUL ıi", "ΣΊΣΥΦΟΣ", "ß ẞ", "ǅ", "ŉ", "naïve café",
              "ÀÉÎÕÜ", "Zażółć gęślą jaźń", "Việt Nam", "Tiếng Việt"]
    words += ["你好，世界", "日本語のテキスト", "カタカナ ひらがな", "한국어 문장", "हिन्दी पाठ", "ภาษาไทย", "العربية", "עברית", "Съешь ещё", "Ελληνικά", "ქართული", "አማርኛ", "𝕳𝖊𝖑𝖑𝖔", "𐍈𐌰", "中文English混合", "汉字。标点！", "㐀𠀀"]
    words += ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "a😀b", "😀 😀", "❤️", "☃", "1️⃣", "🫠"]
    words += ["!", "!!", "...", "…", "—", "“quoted”", "(a)[b]{c}", "a/b\\c", "$100", "€5", "#tag @user", "http://example.org/path?q=1&r=2#x", "user@example.com", "<a href='x'>y</a>", "_under_score__", "snake_case", "CamelCase",
              "kebab-case", "a+b=c", "x<=y", "`code`", "**bold**", "~~~", "^_^", "¡Hola!", "¿Qué?", "«guillemets»", "№ 5 ™ ®", "a\u0327b"]
    words += ["<s>", "</s>", "a<s>b", "<s> a", " <s> ", "<|end|>", "a<|end|>b", "<|end|><|end|>", "x <|end|>  y", "<|en", "<pad>", "<mask>", " <mask> ", "a  <mask>  b", "a<mask>b", "yesterday", "yesterdays", "a yesterday b", "Yesterday", "xyesterday", "<unk>",
              "[CLS]", "[SEP] x", "[MASK]", "a[MASK] b", "word  <r>  word", "<r>\n x", "<l> <r>", "bitte", "Bitte schön"]
    words += ["<0x41>", "<0x0A>", "▁", "▁▁a", "a▁b", "a ▁ b", "##a", "Ġ", "aĠb", "Ċ"]
    words += ["the " * 40, "ab" * 100, "a" * 300, "é" * 60, " " * 50 + "x", "\n" * 20, "!?" * 30, "Gatewright floor kernels", "The quick brown fox jumps over the lazy dog.", "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
              "| a | b |\n|---|---|\n| 1 | 2 |\n", "Table 1.2: 3,4 % of 5 000", "wörter   mit\tgemischten \u00a0 abständen\u2003hier", "e\u0301<|end|>e\u0301", "mixed 中 text with İ and ﬁ and ½"]
    return words


SPECIAL = [AddedToken("<unk>", special=True), AddedToken("<s>", special=True), AddedToken("</s>", special=True), AddedToken("<|end|>", special=True)]
MORE = [AddedToken("<mask>", special=True, lstrip=True), AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<l>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("yesterday", single_word=True), AddedToken("bitte schön", normalized=True)]
BOS = [("<s>", 1), ("</s>", 2)]


def byte_bpe(pre_tokenizer, vocab=500, normalizer=None, post=None, **options):
    made = Tokenizer(models.BPE(**options))
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.ByteLevel()
    made.post_processor = post or processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(corpus(), trainer)
    made.add_tokens(MORE)
    return made


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def in_bytes(*splits):
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_fallback(metaspace, **options):
    """As Llama's: characters, and bytes for those that are unknown."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True, **options))
    if metaspace:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.pre_tokenizer = None
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    training = Tokenizer(models.BPE())
    training.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    training.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=650, special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=70, show_progress=False)
    training.train_from_iterator(corpus(), trainer)
    model = json.loads(training.to_str())["model"]
    made.model = models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>" if metaspace else "<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=BOS)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens(["<unk>", "<s>", "</s>", "<|end|>"])
    made.add_tokens(MORE)
    return made


def character_bpe():
    """With affixes, unknown characters one by one, and whatever pre-tokenizers the others lack."""
    made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False)])
    made.decoder = decoders.BPEDecoder(suffix="</w>")
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    made.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, end_of_word_suffix="</w>", limit_alphabet=60, show_progress=False))
    made.add_tokens(MORE)
    return made


def unigram(byte_fallback_too):
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False)
    made.train_from_iterator(corpus(), trainer)
    if byte_fallback_too:
        model = json.loads(made.to_str())["model"]
        kept = [tuple(entry) for entry in model["vocab"] if len(entry[0].encode()) < 3 or entry[0].isascii() or entry[0].startswith("▁")]
        made.model = models.Unigram([*kept, *[(f"<0x{b:02X}>", -20.0) for b in range(256)]], 0, True)
        made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
        made.normalizer = charsmap()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=BOS)
    made.add_tokens(MORE)
    return made


def word_piece():
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=120, show_progress=False)
    made.train_from_iterator(corpus(), trainer)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_tokens(MORE)
    return made


def double_array(table):
    """A double array (the form of SentencePiece's charsmaps) of a few keys, and the texts that it points to."""
    texts, place = b"", {}
    for key, text in sorted(table.items()):
        place[key], texts = len(texts), texts + text.encode() + b"\0"
    trie = {}
    for key in table:
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = place[key]
    units, used = {0: 0}, {0}

    def put(node, at):
        labels = [0 if byte is None else byte for byte in node]
        offset = next(o for o in range(1, 1 << 20) if all((at ^ o ^ label) not in used for label in labels) and o < 1 << 21)
        units[at] = units[at] & (1 << 31 | 0x1FF) | offset << 10
        for label in labels:
            used.add(at ^ offset ^ label)
        for byte, child in node.items():
            to = at ^ offset ^ (byte or 0)
            if byte is None:
                units[at] |= 1 << 8
                units[to] = 1 << 31 | child
            else:
                units[to] = byte
        for byte, child in node.items():
            if byte is not None:
                put(child, at ^ offset ^ byte)

    put(trie, 0)
    size = max(units) // 256 * 256 + 256
    array = struct.pack(f"<{size}I", *[units.get(i, 0) for i in range(size)])
    return struct.pack("<I", len(array)) + array + texts


def charsmap():
    table = {"ﬁ": "fi", "½": " 1/2", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "é": "e\u0301", "e\u0301": "E", "Å": "A", "👍": "+1", "İ": "i", "\u200b": "", "ab": "X"}
    return normalizers.Precompiled(double_array(table))


KINDS = {
    "gpt2": lambda: byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "gpt2_prefix": lambda: byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), vocab=400, post=processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B", special_tokens=BOS)])),
    "qwen2": lambda: byte_bpe(in_bytes(split(CL100K % "")), normalizer=normalizers.NFC()),
    "llama3": lambda: byte_bpe(in_bytes(split(CL100K % "{1,3}")), ignore_merges=True,
                               post=processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=BOS)),
    "o200k": lambda: byte_bpe(in_bytes(split(O200K)), vocab=420),
    "splits": lambda: byte_bpe(in_bytes(split(r"\d", "merged_with_previous"), split(r"[.,;!?]+", "merged_with_next"), split(r"\w+|\s", "contiguous", True), pre_tokenizers.Split("e", "isolated"),
                                        split(r"[\r\n]+", "removed"), pre_tokenizers.Digits(individual_digits=True)), vocab=400,
                               normalizer=normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(Regex(r"\s+$"), "")])),
    "llama": lambda: byte_fallback(False),
    "metaspace": lambda: byte_fallback(True),
    "characters": character_bpe,
    "unigram": lambda: unigram(False),
    "unigram_bytes": lambda: unigram(True),
    "word_piece": word_piece,
}


def write(name, value, indent=None):
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=(",", ":") if indent is None else None)
    (HERE / name).write_text(text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029") + "\n", encoding="utf-8", newline="\n")


RULES = [("ﬁ", "fi"), ("½", " 1/2"), ("\u3000", " "), ("\t", " "), ("\n", " "), ("e\u0301", "é"), ("İ", "i"), ("\u200b", " "), ("ab", "X"), ("abc", "Y")]
SENTENCE_PIECE = {
    "sp_unigram": {"model_type": "unigram", "vocab_size": 350},
    "sp_unigram_bytes": {"model_type": "unigram", "vocab_size": 560, "byte_fallback": True, "add_dummy_prefix": False},
    "sp_bpe": {"model_type": "bpe", "vocab_size": 560, "byte_fallback": True, "remove_extra_whitespaces": False},
}


def sentence_piece(texts):
    """SentencePiece's own models, with a charsmap of a few rules, and the ids without special tokens."""
    rules = HERE / "rules.tsv"
    rules.write_text("".join("%s\t%s\n" % tuple(" ".join(f"{ord(c):X}" for c in side) for side in rule) for rule in RULES), encoding="utf-8")
    lines = [line for page in corpus() for line in page.splitlines() if line.strip()]
    for name, options in SENTENCE_PIECE.items():
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=str(HERE / name), normalization_rule_tsv=str(rules), character_coverage=0.99,
                                                 minloglevel=2, hard_vocab_limit=False, num_threads=1, **options)
        (HERE / f"{name}.vocab").unlink()
        made = sentencepiece.SentencePieceProcessor(model_file=str(HERE / f"{name}.model"))
        write(f"{name}.cases.json", [made.encode(text) for text in texts])
        print(name, made.get_piece_size(), (HERE / f"{name}.model").stat().st_size)
    rules.unlink()


def main():
    HERE.mkdir(exist_ok=True)
    texts = strings()
    write("strings.json", texts, 0)
    for name, make in KINDS.items():
        made = make()
        write(f"{name}.json", json.loads(made.to_str()))
        made = Tokenizer.from_file(str(HERE / f"{name}.json"))
        cases = []
        for text in texts:
            ids = made.encode(text).ids
            cases.append([ids, made.decode(ids), made.decode(ids, skip_special_tokens=False)])
        write(f"{name}.cases.json", cases)
        print(name, made.get_vocab_size(), (HERE / f"{name}.json").stat().st_size, (HERE / f"{name}.cases.json").stat().st_size)
    sentence_piece(texts)


if __name__ == "__main__":
    main()
