#!/usr/bin/env python3
"""Writes the seed corpora of the fuzzers: small valid files and one file per way to be wrong. Standard library only."""
import gzip
import json
import pathlib
import struct

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


def csv_corpus():
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


idx_corpus()
csv_corpus()
safetensors_corpus()
