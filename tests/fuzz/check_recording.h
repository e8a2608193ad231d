#pragma once
#include <cstdlib>
#include <string_view>

#include "gatewright/base/error.h"
#include "gatewright/routing/recording_reader.h"

namespace gw::test {

/// The property that fuzzing attacks: any bytes are refused with a ValueError or read up to a place where
/// they stop being whole, and what was read comes back the same after writing and reading. Returns whether
/// the end was reached without an error; aborts if it fails.
inline bool check_recording(std::string_view bytes) {
  try {
    RecordingReader reader(memory_source(bytes), "fuzz");
    RecordingOptions all;
    all.weights = all.scores = true;
    for (auto item = reader.next(); item != RecordingReader::Item::kEnd; item = reader.next()) {
      if (item == RecordingReader::Item::kFrame) {
        const auto again = decode_frame(encode_frame(reader.frame(), true));
        if (again.step != reader.frame().step || again.phase != reader.frame().phase) std::abort();
        continue;
      }
      const auto& d = reader.decision();
      if (d.expert.size() > 8 * bytes.size() || d.scores.size() > bytes.size())
        std::abort();  // no more than the file can hold
      if (d.tokens > kRecordingTokens) std::abort();
      if (d.expert.empty()) continue;  // legal, and slow to write where the tokens are many
      auto plan = decision_plan(d, reader.site().experts);
      const auto again = decode_decision(encode_decision(d.site, d.purpose, plan, all), reader.sites());
      if (again.expert != d.expert || again.token != d.token || again.tokens != d.tokens) std::abort();
      if (d.weights >= RouteWeights::kF32 && again.weights != RouteWeights::kOnes &&
          again.weight.size() != d.weight.size())
        std::abort();
    }
    if (reader.ending().good_bytes + reader.ending().lost_bytes != bytes.size()) std::abort();
    return true;
  } catch (const ValueError&) {
    return false;
  }
}

}  // namespace gw::test
