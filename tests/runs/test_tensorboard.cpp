#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/runs/tensorboard.h"
#include "tests/runs/scratch.h"

using namespace gw;
using gw::test::read_file;
using gw::test::Scratch;
using gw::test::write_file;

namespace gw::test::tensorboard_cases {

constexpr double kTime = 1700000000.25;

std::string hex(const std::string& bytes) {
  std::string text;
  for (unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string scalar_frame(int64_t step) { return tfrecord_frame(encode_scalar_event(kTime, step, "a", 1.0f)); }

// Bytes written by golden_events.py with the reference implementation.
TEST(Tensorboard, GoldenBytes) {
  EXPECT_EQ(hex(tfrecord_frame(encode_version_event(kTime))),
            "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9");
  EXPECT_EQ(
      hex(tfrecord_frame(encode_scalar_event(kTime, 300, "train/loss", 0.125f))),
      "2100000000000000017becf60900001040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000003e3b6f9b6d");
  const Histogram h = make_histogram({0, 1, 1, 4}, 2);
  EXPECT_EQ(hex(tfrecord_frame(encode_histogram_event(kTime, 70000, "weights", h))),
            "6400000000000000435f1cdf0900001040fc54d94110f0a2042a550a530a07776569676874732a481100000000000010"
            "40190000000000001040210000000000001"
            "8402900000000000032403210000000000000004000000000000010403a100000000000000840000000000000f03fd00"
            "529ad");
}

TEST(Tensorboard, NegativeAndLargeStepsSurvive) {
  for (int64_t step :
       {int64_t{0}, int64_t{-1}, int64_t{127}, int64_t{128}, std::numeric_limits<int64_t>::max()})
    EXPECT_EQ(event_step(encode_scalar_event(kTime, step, "tag", 2.0f)), step);
  EXPECT_EQ(event_step(encode_version_event(kTime)), 0);
  EXPECT_THROW(event_step("\x10"), ValueError);
  EXPECT_THROW(event_step("\x2a\x7f"), ValueError);
}

TEST(Tensorboard, HistogramLeavesOutWhatIsNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Histogram h = make_histogram({nan, -1, 1, std::numeric_limits<float>::infinity(), 0.999f}, 4);
  EXPECT_EQ(h.count, 3);
  EXPECT_EQ(h.limits, (std::vector<double>{-0.5, 0, 0.5, 1}));
  EXPECT_EQ(h.counts, (std::vector<double>{1, 0, 0, 2}));
  EXPECT_EQ(make_histogram({nan}).count, 0);
  const Histogram equal = make_histogram({3, 3});
  EXPECT_EQ(equal.limits, std::vector<double>{3});
  EXPECT_EQ(equal.counts, std::vector<double>{2});
}

TEST(Tensorboard, WholeFramesEndAtTheFirstDamage) {
  const std::string first = scalar_frame(1), second = scalar_frame(2), third = scalar_frame(3);
  EXPECT_EQ(whole_frames(first + second + third), (first + second + third).size());
  EXPECT_EQ(whole_frames(first + second.substr(0, second.size() - 1)), first.size());
  std::string damaged = second;
  damaged[14] = static_cast<char>(damaged[14] ^ 1);
  EXPECT_EQ(whole_frames(first + damaged + third), first.size());
  EXPECT_EQ(whole_frames(""), 0u);
  EXPECT_EQ(whole_frames(std::string("\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16)), 0u);
}

TEST(Tensorboard, WriterStartsAFileOnce) {
  Scratch scratch;
  const std::string path = scratch / "events";
  {
    EventWriter writer(path, kTime);
    writer.scalar(kTime, 1, "a", 1.0f);
  }
  {
    EventWriter writer(path, kTime);
    writer.scalar(kTime, 2, "a", 1.0f);
    writer.histogram(kTime, 2, "h", {std::numeric_limits<float>::quiet_NaN()});
  }
  EXPECT_EQ(read_file(path), tfrecord_frame(encode_version_event(kTime)) + scalar_frame(1) + scalar_frame(2));
  EXPECT_THROW(EventWriter(scratch / "absent/events", kTime), IoError);
}

}  // namespace gw::test::tensorboard_cases
