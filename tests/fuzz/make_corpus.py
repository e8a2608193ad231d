#!/usr/bin/env python3
"""Writes the seed corpora of the fuzzers: small valid files and one file per way to be wrong. Standard library only."""
import base64
import gzip
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent / "corpus"


def save(kind, name, data):
    (HERE / kind).mkdir(parents=True, exist_ok=True)
    (HERE / kind / name).write_bytes(data)


def idx(shape, content, kind=8, rank=None):
    return bytes([0, 0, kind, len(shape) if rank is None else rank]) + b"".join(struct.pack(">I", s) for s in shape) + content


def idx_corpus():
    images = idx([2, 3, 4], bytes(range(24)))
    save("idx", "images", images)
    save("idx", "labels", idx([5], bytes([0, 9, 3, 2, 1])))
    save("idx", "images.gz", gzip.compress(images, mtime=0))
    save("idx", "stored.gz", gzip.compress(images, compresslevel=0, mtime=0))
    save("idx", "members.gz", gzip.compress(images[:10], mtime=0) + gzip.compress(images[10:], mtime=0))
    save("idx", "truncated.gz", gzip.compress(images, mtime=0)[:-6])
    save("idx", "bomb.gz", gzip.compress(bytes(4 << 20), mtime=0))
    save("idx", "rank_8", idx([1] * 8, b"x"))
    save("idx", "overflow", idx([0xFFFFFFFF] * 8, b"abc"))
    save("idx", "product_0_modulo_2_64", idx([65536] * 4, b""))
    save("idx", "zero_size", idx([0, 4], b""))
    save("idx", "trailing", idx([2], b"abc"))
    save("idx", "floats", idx([1], b"abcd", kind=13))
    save("idx", "rank_255", idx([1], b"a", rank=255))
    save("idx", "empty", b"")


def toml_corpus():
    save("toml", "plain", b'title = "t"\n[sizes.tiny]\nseeds = [3, 4]\n[arms.a.config]\nx = { y = 1.5, z = true }\n')
    save("toml", "values", b"a = 0x1F\nb = -1e3\nc = 2023-08-20T10:00:00Z\nd = inf\ne = nan\nf = 'g'\nh = 07:32:00\n")
    save("toml", "strings", b'a = """x\\\n  y"" """\nb = \'\'\'z\'\'\'\nc = "\\u00e4\\t"\n')
    save("toml", "marks", b'[[marks]]\nname = "m"\nat_least = 1\n[[marks]]\nname = "n" # two\n')
    save("toml", "quoted_keys", b'"a b".\'c\'.d = 1\n["x.y".z]\n')
    save("toml", "table_without_name", b"[=")
    save("toml", "list_of_tables_without_name", b"[[=")
    save("toml", "value_missing", b"a = ]\nb = }\nc = ,\n")
    save("toml", "dotted_65", b"[" + b".".join([b"a"] * 65) + b"]\n")
    save("toml", "brackets_65", b"a = " + b"[" * 65)
    save("toml", "twice", b"a = 1\na = 2\n")
    save("toml", "open_string", b'a = "x\n')
    save("toml", "not_utf8", b'a = "\xff\xfe"\n')
    save("toml", "zero_byte", b"a = 1\x00\n")
    save("toml", "utf16", "a = 1\n".encode("utf-16"))
    save("toml", "empty", b"")


def csv_corpus():
    save("csv", "blank_before_quote", b'y, x\n1, "2"\n3, "4"\n')
    save("csv", "blank_first_line", b"\n\ny;x\n1;2\n2;1\n")
    save("csv", "cr_only", b"y,x\r1,2\r3,4\r")
    save("csv", "latin_1", b"y,gr\xf6\xdfe\n1,2\n3,4\n")
    save("csv", "units", b"y,x\n1,5 kg\n2,6 kg\n")
    save("csv", "dates", b"y,x\n1,2024-01-31\n2,2024-02-01\n")
    save("csv", "several_commas", b'y,x\n1,"1,500,000"\n2,"500,000"\n')
    save("csv", "forms_of_numbers", b"y,x\n1,1e-400\n2,+-5\n3,-nan\n")
    save("csv", "level_of_a_dropped_row", b"y,g\n1,a\n2,b\n4,b\nNA,c\n")
    save("csv", "plain", b"y,x,sex\n1,2.5,f\n2,-1e3,m\n0.5,7,f\n")
    save("csv", "semicolon", b"y;x\r\n1;2\r\n3;4\r\n")
    save("csv", "quoted", b'"y","a ""name"", with comma"\n1,2\n"3","4"\n')
    save("csv", "line_in_quotes", b'y,x,note\n1,2,"two\nlines"\n3,4,"one"\n')
    save("csv", "missing", b"y,x\n1,NA\n2,\n3,4\n5,6\n")
    save("csv", "byte_order_mark", b"\xef\xbb\xbfy\tx\n1\t2\n3\t5\n")
    save("csv", "row_names", b'"","y","x"\n"1",2,3\n"2",4,7\n')
    save("csv", "blank_lines", b"y,x\n\n1,2\n  \n3,4\n\n")
    save("csv", "short_row", b"y,x\n1\n")
    save("csv", "open_quote", b'y,x\n1,"2\n')
    save("csv", "after_quote", b'y,x\n1,"2"3\n')
    save("csv", "zero_byte", b"y,x\n1,\x002\n")
    save("csv", "twice", b"y,y\n1,2\n")
    save("csv", "mixed", b"y,x\n1,2\n3,abc\n")
    save("csv", "huge", b"y,x\n1,1e999\n2,3\n")
    save("csv", "decimal_commas", b"y;x;note\n1,5;2;a\n2,25;-1,5e3;b\n0,5;7,125;a\n")
    save("csv", "quoted_commas", b'y,x\n"1,5",2\n"2,5","3,25"\n')
    save("csv", "thousands", b'y,x\n"1,234.5",2\n"2.345,5","3,25"\n1,2\n')
    save("csv", "header_only", b"y,x\n")
    save("csv", "empty", b"")


def st(header, content=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_corpus():
    def put(name, *args, **named):
        save("safetensors", name, st(*args, **named))

    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    every, begin = {"__metadata__": {"format": "pt", "note": "a\"\\\n\u00e9"}}, 0
    for dtype, size in sizes.items():
        every[dtype.lower()] = entry(dtype, [2], begin, begin + 2 * size)
        begin += 2 * size
    put("every_dtype", every, bytes(begin - 1) + b"\1")
    put("empty", {})
    put("scalar", {"s": entry("F32", [], 0, 4)}, b"\0\0\x80\x3f")
    put("zero_sized", {"a": entry("F32", [0, 3], 0, 0), "b": entry("U8", [1], 0, 1)}, b"x")
    put("matrix", {"w": entry("F32", [2, 2], 0, 16), "b": entry("I64", [1], 16, 24)}, bytes(24))
    put("long_content", {"a": entry("F64", [8, 8], 0, 512), "b": entry("I16", [256], 512, 1024)}, bytes(1024))
    put("length_beyond", {}, length=1 << 20)
    put("length_huge", {}, length=0xFFFFFFFFFFFFFFFF)
    put("length_over_limit", {}, length=100_000_001)
    save("safetensors", "short", b"\x08\0\0\0")
    save("safetensors", "nothing", b"")
    put("not_json", b"{not json}")
    put("not_object", b"[1, 2, 3]")
    put("deep", b'{"a":' + b"[" * 5000)
    put("deep_object", b'{"a":' * 3000)
    put("bad_utf8", b'{"\xff\xfe":{}}')
    one = b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    put("duplicate_name", b"{" + one + b"," + one + b"}", b"x")
    put("duplicate_field", b'{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"x")
    put("duplicate_metadata", b'{"__metadata__":{"a":"1","a":"2"}}')
    put("metadata_number", b'{"__metadata__":{"a":1}}')
    put("missing_field", {"a": {"dtype": "U8", "shape": [1]}}, b"x")
    put("unknown_field", {"a": dict(entry("U8", [1], 0, 1), extra=1)}, b"x")
    put("negative_shape", {"a": entry("U8", [-1], 0, 1)}, b"x")
    put("overflow_shape", {"a": entry("U8", [1 << 32, 1 << 32], 0, 1)}, b"x")
    put("overflow_number", b'{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}', b"x")
    put("float_shape", {"a": entry("U8", [1.5], 0, 1)}, b"x")
    put("long_shape", {"a": entry("U8", [1] * 300, 0, 1)}, b"x")
    put("offsets_beyond", {"a": entry("U8", [9], 0, 9)}, b"x")
    put("offsets_reversed", {"a": entry("U8", [1], 1, 0)}, b"x")
    put("offsets_three", {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, b"x")
    put("overlap", {"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"xyz")
    put("hole", {"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"xyz")
    put("trailing", {"a": entry("U8", [1], 0, 1)}, b"xyz")
    put("span", {"a": entry("F32", [2], 0, 4)}, b"abcd")
    put("unknown_dtype", {"a": entry("F23", [1], 0, 4)}, b"abcd")
    put("bool_two", {"a": entry("BOOL", [1], 0, 1)}, b"\2")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def packed(values):
    width = max(1, max(values, default=1).bit_length())
    bits = sum(value << i * width for i, value in enumerate(values))
    return bytes([width]) + bits.to_bytes((len(values) * width + 7) // 8, "little")


def sealed(data):
    return data + struct.pack("<I", crc32c(data))


def record(kind, payload, length=None):
    return sealed(bytes([kind]) + varint(len(payload) if length is None else length) + payload)


def recording_header(about=b'{"name":"corpus"}', magic=b"GWROUTES", version=1, length=None):
    return sealed(magic + struct.pack("<I", version) + varint(len(about) if length is None else length) + about)


def route_site(name, experts):
    return record(1, varint(len(name)) + name + varint(experts))


def route_frame(phase=0, step=1, labels=(), index=()):
    payload = bytes([phase]) + varint(step) + varint(0) + varint(0) + bytes([(1 if labels else 0) | (2 if index else 0)])
    if labels or index:
        payload += varint(max(len(labels), len(index))) + (packed(labels) if labels else b"") + (packed(index) if index else b"")
    return record(2, payload)


def decision(site, tokens, rows, routes, flags=2, purpose=0, tail=b""):
    return record(3, varint(site) + bytes([purpose, flags]) + varint(tokens) + varint(rows) + routes + tail)


def recording_corpus():
    def put(name, *parts):
        save("recording", name, b"".join(parts))

    head, site, frame = recording_header(), route_site(b"router", 4), route_frame(labels=[3, 0, 9], index=[5, 1, 2])
    slots = varint(2) + packed([0, 3, 1, 4, 2, 3])  # 4 stands for an empty slot
    lists = varint(2) + varint(0) + varint(2) + varint(0) + varint(1) + varint(2) + varint(1) + varint(2)
    put("slots", head, site, frame, decision(0, 3, 5, slots))
    put("lists", head, site, frame, decision(0, 3, 3, lists, flags=3))
    put("weights_f32", head, site, frame, decision(0, 3, 5, slots, flags=4, tail=struct.pack("<5f", *range(5))))
    put("weights_f64", head, site, frame, decision(0, 3, 5, slots, flags=6, tail=struct.pack("<5d", *range(5))))
    put("scores", head, site, frame, decision(0, 3, 5, slots, flags=10, tail=struct.pack("<12f", *range(12))))
    put("two_frames", head, site, frame, decision(0, 3, 5, slots), route_frame(phase=2, step=9), decision(0, 3, 3, lists, flags=3, purpose=1))
    put("empty", head)
    put("nothing", b"")
    put("magic", recording_header(magic=b"GWROUTEX"))
    put("version", recording_header(version=2))
    put("header_cut", head[:-2])
    put("header_huge", recording_header(length=1 << 62))
    put("header_text", recording_header(about=b"[1]"))
    put("header_deep", recording_header(about=b'{"a":' * 3000))
    put("header_sum", head[:-1] + b"x")
    put("cut", (head + site + frame + decision(0, 3, 5, slots))[:-7])
    put("flipped", head, site, frame, decision(0, 3, 5, slots)[:-1] + b"\0", frame)
    put("zeros", head, site, bytes(64))
    put("length_huge", head, b"\3" + varint(1 << 60), bytes(40))
    put("length_limit", head, b"\3" + varint(256 << 20), bytes(40))
    put("type_9", head, record(9, b"x"))
    put("site_none", head, frame, decision(0, 3, 5, slots))
    put("site_empty", head, route_site(b"", 0))
    put("site_huge", head, route_site(b"a", 1 << 40))
    put("sites_many", head, *[route_site(b"s", 1 << 23) for _ in range(3)])
    put("name_huge", head, record(1, varint(1 << 50) + b"a" + varint(2)))
    put("phase", head, route_frame(phase=7))
    put("frame_flags", head, record(2, b"\0\1\0\0\x0f\2"))
    put("labels_huge", head, record(2, b"\0\1\0\0\1" + varint(1 << 30) + b"\1x"))
    put("duplicate", head, site, frame, decision(0, 1, 2, varint(2) + packed([1, 1])))
    put("descending", head, site, frame, decision(0, 1, 2, varint(2) + packed([2, 1])))
    put("hole_in_slots", head, site, frame, decision(0, 1, 1, varint(2) + packed([4, 1])))
    put("expert_beyond", head, site, frame, decision(0, 1, 1, varint(1) + packed([5])))
    put("rows_wrong", head, site, frame, decision(0, 3, 4, slots))
    put("tokens_huge", head, site, frame, decision(0, (1 << 31) - 1, 0, varint(0) + packed([])))
    put("tokens_over", head, site, frame, decision(0, 1 << 40, 0, varint(0) + packed([])))
    put("slots_huge", head, site, frame, decision(0, 1 << 30, 4, varint(4) + b"\1x"))
    put("width_0", head, site, frame, decision(0, 8, 8, varint(1) + b"\0"))
    put("width_60", head, site, frame, decision(0, 1, 1, varint(1) + b"\x3c" + bytes(8)))
    put("list_token", head, site, frame, decision(0, 1, 2, varint(1) + varint(0) + varint(2) + varint(0) + varint(5), flags=3))
    put("list_rows", head, site, frame, decision(0, 3, 1 << 20, varint(1) + varint(0) + varint(1 << 20), flags=3))
    put("list_expert", head, site, frame, decision(0, 3, 1, varint(1) + varint(9) + varint(1) + varint(0), flags=3))
    put("weights_short", head, site, frame, decision(0, 3, 5, slots, flags=6, tail=b"abc"))
    put("scores_short", head, site, frame, decision(0, 3, 5, slots, flags=10, tail=b"abc"))
    put("trailing", head, site, frame, decision(0, 3, 5, slots, tail=b"x"))


# 8 x 8 pixels, quality 50: what the standard library cannot write.
JPEGS = {
    "grey": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAABf/EABgQAAIDAAAAAAAAAAAAAAAAAAAEBSEx/9oACAEBAAA/AAo1HKP/2Q==",
    "colour": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAIAAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAT/xAAYEAEAAwEAAAAAAAAAAAAAAAAABAUhMf/EABQBAQAAAAAAAAAAAAAAAAAAAAT/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCKtg8wA0R//9k=",
    "progressive": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/wgARCAAIAAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAP/xAAUAQEAAAAAAAAAAAAAAAAAAAAD/9oADAMBAAIQAxAAAAGAYf/EABYQAAMAAAAAAAAAAAAAAAAAAAACA//aAAgBAQABBQKaH//EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQMBAT8Bf//EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQIBAT8Bf//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEABj8Cf//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAT8hf//aAAwDAQACAAMAAAAQ/wD/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/EH//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAECAQE/EH//xAAWEAADAAAAAAAAAAAAAAAAAAAAITH/2gAIAQEAAT8Qgj//2Q==",
    "cmyk": "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBtUVdfYmdoZz5NcXlwZHhcZWdj/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAQFB//EABgQAAIDAAAAAAAAAAAAAAAAAAAEBSEx/9oADgRDAE0AWQBLAAA/AIUajlBo1HKFxqOUaAf/2Q==",
}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, kind, samples, depth=8, before=b"", interlace=0):
    """kind: 0 grey, 2 colour, 3 palette, 4 grey and alpha, 6 colour and alpha."""
    line = (width * samples * depth + 7) // 8
    rows = b"".join(bytes([y % 5]) + bytes((7 * y + 5 * x) % 251 for x in range(line)) for y in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture_corpus():
    grey = png(9, 7, 0, 1)
    palette = chunk(b"PLTE", bytes(range(0, 255)) + bytes(513)[:513])
    for name, data in {
        "grey.png": grey,
        "colour.png": png(8, 8, 2, 3),
        "alpha.png": png(5, 6, 6, 4),
        "grey_alpha.png": png(5, 6, 4, 2),
        "deep.png": png(6, 5, 2, 3, depth=16),
        "bits.png": png(20, 3, 0, 1, depth=1),
        "palette.png": png(6, 6, 3, 1, before=palette),
        "transparent_palette.png": png(6, 6, 3, 1, before=palette + chunk(b"tRNS", bytes(range(100)))),
        "no_palette.png": png(6, 6, 3, 1),
        "interlaced_short.png": png(8, 8, 0, 1, interlace=1),
        "text_bomb.png": png(8, 8, 0, 1, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22)))),
        "wide.png": png(1 << 14, 1, 0, 1),
        "too_wide.png": grey[:16] + struct.pack(">II", 1 << 30, 1 << 30) + grey[24:],
        "zero.png": png(0, 0, 0, 1),
        "cut.png": grey[: len(grey) - 20],
        "no_data.png": grey[:33] + chunk(b"IEND", b""),
        "signature.png": grey[:8],
        "gif": b"GIF89a",
        "empty": b"",
    }.items():
        save("picture", name, data)
    for name, text in JPEGS.items():
        data = base64.b64decode(text)
        save("picture", name + ".jpg", data)
        save("picture", name + "_cut.jpg", data[: len(data) * 3 // 4])
    colour = base64.b64decode(JPEGS["colour"])
    frame = colour.index(b"\xff\xc0")
    save("picture", "too_large.jpg", colour[: frame + 5] + b"\xff\xdc\xff\xdc" + colour[frame + 9 :])
    save("picture", "marker.jpg", b"\xff\xd8\xff")


idx_corpus()
toml_corpus()
csv_corpus()
safetensors_corpus()
recording_corpus()
picture_corpus()
