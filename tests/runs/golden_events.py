"""Writes the golden bytes of test_tensorboard.cpp with the reference implementation.

Run with the `tensorboard` package of PyPI (made with 2.21): python3 golden_events.py
"""
import struct

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as _  # noqa: F401  (fails early if the package has moved)
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c


def frame(body):
    head = struct.pack("<Q", len(body))
    return head + struct.pack("<I", masked_crc32c(head)) + body + struct.pack("<I", masked_crc32c(body))


def main():
    version = event_pb2.Event(wall_time=1700000000.25, file_version="brain.Event:2")
    scalar = event_pb2.Event(wall_time=1700000000.25, step=300)
    scalar.summary.value.add(tag="train/loss", simple_value=0.125)
    histogram = event_pb2.Event(wall_time=1700000000.25, step=70000)
    values = [0.0, 1.0, 1.0, 4.0]
    histogram.summary.value.add(tag="weights", histo=summary_pb2.HistogramProto(
        min=0.0, max=4.0, num=4, sum=6.0, sum_squares=sum(v * v for v in values), bucket_limit=[2.0, 4.0], bucket=[3, 1]))
    for event in (version, scalar, histogram):
        print(frame(event.SerializeToString(deterministic=True)).hex())


if __name__ == "__main__":
    main()
