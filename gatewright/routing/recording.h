#pragma once
// The format of recorded routes (docs/recording.md): what is in a file, and how one record is written and
// read.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/routing/route_tap.h"

namespace gw::inline routing {

inline constexpr char kRecordingMagic[] = "GWROUTES";  ///< the first eight bytes
inline constexpr uint32_t kRecordingVersion = 1;
inline constexpr size_t kRecordingHeader_bytes = 1 << 20;     ///< of the JSON header, at most
inline constexpr size_t kRecordingPayload_bytes = 256 << 20;  ///< of one record, at most
inline constexpr int64_t kRecordingTokens = 1 << 24;          ///< of one decision, at most
/// Tokens that no expert serves take no bytes: a reader goes through this many, and as many again for every
/// 64 KiB of the file.
inline constexpr int64_t kRecordingIdleTokens = 1 << 26;
inline constexpr int64_t kRecordingExperts = 1 << 24;  ///< of all sites together, at most

/// Record types. 0 is none: a tail of zeros, as some file systems leave it after a crash, is a cut.
enum class RecordType : uint8_t { kSite = 1, kFrame = 2, kDecision = 3 };

/// A place that decides. Its number is its rank in the file.
struct RouteSite {
  std::string name;
  int64_t experts = 0;
};

enum class RouteWeights : uint8_t { kNone = 0, kOnes = 1, kF32 = 2, kF64 = 3 };

/// One decision as it was recorded: the rows of the plan, sorted by expert and then token.
struct RouteDecision {
  int64_t site = 0, tokens = 0;
  RoutePurpose purpose = RoutePurpose::kClean;
  std::vector<int32_t> expert, token;  ///< [N]
  RouteWeights weights = RouteWeights::kNone;
  std::vector<double> weight;  ///< [N] for kF32 and kF64, else empty
  std::vector<float> scores;   ///< [T, E] or empty
};

/// What a recorder keeps beside the routes.
struct RecordingOptions : OptionSet {
  bool scores = false, weights = false, inputs = true;
  void fields(OptionVisitor& v) override;
};

/// The whole record: type, length, payload, CRC-32C.
/// Errors: ValueError for a payload above the limit.
std::string frame_record(RecordType type, std::string_view payload);
/// Magic, version, JSON, CRC-32C.
std::string encode_recording_header(const Json& about);

/// Payloads. Sizes are checked before anything is reserved. Errors: ValueError for what the format does not
/// allow.
std::string encode_site(const RouteSite& site);
RouteSite decode_site(std::string_view payload);
std::string encode_frame(const RouteFrame& frame, bool inputs);
RouteFrame decode_frame(std::string_view payload);
/// Cost: O(T·K + N) and T·K·⌈log2(E + 1)⌉ bits, or about a byte per row where tokens differ much in their
///       number of experts.
std::string encode_decision(int64_t site, RoutePurpose purpose, const RoutingPlan& plan,
                            const RecordingOptions& options);
RouteDecision decode_decision(std::string_view payload, const std::vector<RouteSite>& sites);

/// The plan that a decision stands for; ones as weights where none were recorded. Cost: O(N + E).
RoutingPlan decision_plan(const RouteDecision& decision, int64_t experts);
/// The experts of each token [T, K] int64, −1 for empty slots.
at::Tensor decision_slots(const RouteDecision& decision);

}  // namespace gw::inline routing
