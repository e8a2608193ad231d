#pragma once
// TensorBoard event files, written and cut from the published format: TFRecord frames around protobuf `Event`
// messages.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/base/append.h"

namespace gw::inline runs {

/// One TFRecord frame.
/// Math:   length u64 | mask(crc(length)) u32 | bytes | mask(crc(bytes)) u32, little endian; mask(c) =
///         rotr(c, 15) + 0xA282EAD8.
std::string tfrecord_frame(std::string_view bytes);

/// The summary of a set of values as TensorBoard's histogram view wants it: equal buckets between the least
/// and the largest value.
struct Histogram {
  double min = 0, max = 0, count = 0, sum = 0, sum_of_squares = 0;
  std::vector<double> limits;  ///< right edges, ascending
  std::vector<double> counts;  ///< one per edge
};
/// Values that are not finite are left out. Equal values give one bucket.
Histogram make_histogram(const std::vector<float>& values, int buckets = 30);

/// `Event` messages, not yet framed. `wall_time_s` is seconds since 1970.
std::string encode_version_event(double wall_time_s);
std::string encode_scalar_event(double wall_time_s, int64_t step, std::string_view tag, float value);
std::string encode_histogram_event(double wall_time_s, int64_t step, std::string_view tag,
                                   const Histogram& histogram);

/// The step of an encoded event; 0 where the message has none, as protobuf has it.
/// Errors: ValueError if the bytes are not a message.
int64_t event_step(std::string_view event);

/// Bytes of the whole frames at the beginning of `file`, up to the first that is cut or whose checksums do
/// not hold.
uint64_t whole_frames(std::string_view file);

/// Appends events to one file; each call is one write, so that a killed process leaves at most one cut frame.
class EventWriter {
 public:
  /// Opens for appending, and starts an empty file with the version event.
  /// Errors: IoError if the file cannot be opened or written.
  EventWriter(const std::string& path, double wall_time_s);

  void scalar(double wall_time_s, int64_t step, std::string_view tag, float value);
  /// Does nothing when no value is finite.
  void histogram(double wall_time_s, int64_t step, std::string_view tag, const std::vector<float>& values);
  /// Its length alone: wall times differ from run to run, and each frame has a checksum of its own.
  LogMark mark() { return {file_.mark().bytes, std::nullopt}; }

 private:
  LogFile file_;
};

}  // namespace gw::inline runs
