#!/usr/bin/env python3
"""Writes tests/models/golden/*.safetensors with the public package: pip install safetensors numpy ml_dtypes.

Values are simple functions of the index, so that the test states them again without reading this file's output:
element i of every tensor is i - 2 (unsigned: i, bool: i odd).
"""
import pathlib

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent / "golden"
DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
    "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8, "u8": np.uint8, "bool": np.bool_,
}


def ramp(dtype, shape):
    index = np.arange(np.prod(shape, dtype=int))
    values = index % 2 == 1 if dtype is np.bool_ else index if dtype is np.uint8 else index - 2
    return values.astype(dtype).reshape(shape)


HERE.mkdir(exist_ok=True)
# Odd sizes and names out of order: shows the order of the tensors and that every one is aligned.
save_file({f"z_{name}": ramp(dtype, (3, 1, 5)) for name, dtype in DTYPES.items()} | {"b.weight": ramp(np.float32, (2, 2)), "a.bias": ramp(np.uint8, (3,))},
          HERE / "every_dtype.safetensors", metadata={"format": "pt"})
save_file({"scalar": ramp(np.float32, ()), "none": ramp(np.float32, (0, 4)), "also none": ramp(np.int8, (2, 0))}, HERE / "empty_shapes.safetensors")
save_file({'quote " back \\ tab \t line \n bell \x07 del \x7f umlaut \u00e4 rocket \U0001f680': ramp(np.int32, (2,))}, HERE / "odd_names.safetensors",
          metadata={"note": 'caf\u00e9 "\\\n\x01'})
save_file({}, HERE / "no_tensors.safetensors")
