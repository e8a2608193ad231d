#include "gatewright/routing/recording.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/bytes.h"
#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"
#include "gatewright/base/json.h"

namespace gw::inline routing {
namespace {

constexpr const char* kWhat = "recording";
constexpr uint64_t kTokens = kRecordingTokens, kName_bytes = 256, kSites = 1 << 16,
                   kNumber = uint64_t{1} << 62;
constexpr int64_t kLabels = int64_t{1} << 40;
constexpr uint8_t kLists = 1, kScores = 8;  // flags of a decision; bits 1 and 2 hold the kind of the weights
constexpr uint8_t kHasLabels = 1, kHasIndex = 2;

std::vector<int64_t> numbers(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  const auto flat = tensor.to(at::kCPU, at::kLong).contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

at::Tensor tensor_of(const std::vector<int64_t>& values) {
  return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
}

/// The largest number of experts that a token has.
int64_t most_experts(const RoutingPlan& plan, const int64_t* token) {
  std::vector<int32_t> used(static_cast<size_t>(plan.tokens), 0);
  int32_t k = 0;
  for (int64_t row = 0; row < plan.rows(); ++row) k = std::max(k, ++used[static_cast<size_t>(token[row])]);
  return k;
}

/// Experts of every token in ascending order, K slots each; the number of experts stands for an empty slot.
std::vector<int64_t> slots_of(const RoutingPlan& plan, const int64_t* token, int64_t k) {
  std::vector<int32_t> used(static_cast<size_t>(plan.tokens), 0);
  std::vector<int64_t> slots(static_cast<size_t>(plan.tokens * k), plan.experts());
  for (int64_t e = 0; e < plan.experts(); ++e) {
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1];
         ++row) {
      const auto t = static_cast<size_t>(token[row]);
      slots[t * static_cast<size_t>(k) + static_cast<size_t>(used[t]++)] = e;
    }
  }
  return slots;
}

/// Number of experts with rows; for each the gap to the one before, its number of rows, and the gaps between
/// its tokens.
void write_lists(ByteWriter& out, const RoutingPlan& plan, const int64_t* token) {
  uint64_t served = 0;
  for (int64_t e = 0; e < plan.experts(); ++e) served += plan.rows_of(e) > 0 ? 1 : 0;
  out.varint(served);
  int64_t last = -1;
  for (int64_t e = 0; e < plan.experts(); ++e) {
    if (plan.rows_of(e) == 0) continue;
    out.varint(static_cast<uint64_t>(e - last - 1));
    out.varint(static_cast<uint64_t>(plan.rows_of(e)));
    last = e;
    int64_t before = -1;
    for (int64_t row = plan.offsets[static_cast<size_t>(e)]; row < plan.offsets[static_cast<size_t>(e) + 1];
         ++row) {
      out.varint(static_cast<uint64_t>(token[row] - before - 1));
      before = token[row];
    }
  }
}

void read_lists(ByteReader& in, RouteDecision& out, int64_t experts, size_t rows) {
  GW_CHECK(rows <= in.left(), "recording: expected {} rows, got {} bytes; the file is damaged", rows,
           in.left());  // a row takes a byte at least
  out.expert.reserve(rows), out.token.reserve(rows);
  const int64_t served = in.count("experts with rows", static_cast<uint64_t>(experts));
  int64_t e = -1;
  for (int64_t i = 0; i < served; ++i) {
    e += 1 + in.count("an expert", static_cast<uint64_t>(experts));
    const int64_t n = in.count("rows of an expert", rows - out.expert.size());
    GW_CHECK(e < experts && n > 0,
             "recording: expected rows of an expert below {}, got {} of {}; the file is damaged", experts, n,
             e);
    int64_t t = -1;
    for (int64_t r = 0; r < n; ++r) {
      t += 1 + in.count("a token", kTokens);
      GW_CHECK(t < out.tokens, "recording: expected tokens below {}, got {}; the file is damaged", out.tokens,
               t);
      out.expert.push_back(static_cast<int32_t>(e)), out.token.push_back(static_cast<int32_t>(t));
    }
  }
}

void read_slots(ByteReader& in, RouteDecision& out, int64_t experts) {
  const int64_t k = in.count("experts per token", static_cast<uint64_t>(experts));
  GW_CHECK(k == 0 || static_cast<size_t>(out.tokens) <= in.left() * 8 / static_cast<size_t>(k),
           "recording: expected {} experts for each of {} tokens, got {} bytes; the file is damaged", k,
           out.tokens, in.left());
  const auto slots = in.packed(static_cast<size_t>(out.tokens * k), experts + 1);
  std::vector<std::pair<int32_t, int32_t>> rows;
  for (size_t i = 0; i < slots.size(); ++i) {
    const bool first = i % static_cast<size_t>(k) == 0;
    const bool empty = slots[i] == experts;
    const int64_t before = first ? -1 : slots[i - 1];
    GW_CHECK(before < slots[i] || (empty && before == experts),
             "recording: expected ascending experts of a token, got {} after {}; the file is damaged",
             slots[i], before);
    if (!empty)
      rows.emplace_back(static_cast<int32_t>(slots[i]), static_cast<int32_t>(i / static_cast<size_t>(k)));
  }
  std::sort(rows.begin(), rows.end());
  for (const auto& [e, t] : rows) out.expert.push_back(e), out.token.push_back(t);
}

RouteWeights kind_of(const RoutingPlan& plan, const at::Tensor& weight, bool wanted) {
  if (!plan.weight.defined()) return RouteWeights::kNone;
  if (weight.eq(1).all().item<bool>()) return RouteWeights::kOnes;
  if (!wanted) return RouteWeights::kNone;
  return weight.scalar_type() == at::kDouble ? RouteWeights::kF64 : RouteWeights::kF32;
}

void write_weights(ByteWriter& out, const at::Tensor& weight, RouteWeights kind) {
  const auto count = static_cast<size_t>(weight.defined() ? weight.numel() : 0);
  if (kind == RouteWeights::kF64) out.f64(weight.data_ptr<double>(), count);
  if (kind == RouteWeights::kF32) out.f32(weight.to(at::kFloat).contiguous().data_ptr<float>(), count);
}

void read_weights(ByteReader& in, RouteDecision& out) {
  const size_t n = out.expert.size(),
               size = out.weights == RouteWeights::kF64 ? sizeof(double) : sizeof(float);
  if (out.weights == RouteWeights::kNone || out.weights == RouteWeights::kOnes) return;
  GW_CHECK(n <= in.left() / size, "recording: expected {} weights, got {} bytes; the file is damaged", n,
           in.left());
  out.weight.resize(n);
  if (out.weights == RouteWeights::kF64) return in.f64(out.weight.data(), n);
  std::vector<float> single(n);
  in.f32(single.data(), n);
  std::copy(single.begin(), single.end(), out.weight.begin());
}

}  // namespace

void RecordingOptions::fields(OptionVisitor& v) {
  v.flag("scores", scores, "also the scores of every decision, as float32: T·E·4 bytes");
  v.flag("weights", weights,
         "also weights that are not all one: N·4 bytes; replay of policies that cannot weigh given routes "
         "needs them");
  v.flag("inputs", inputs, "also label and position of every sample: affinity and flips need them");
}

std::string frame_record(RecordType type, std::string_view payload) {
  GW_CHECK(
      payload.size() <= kRecordingPayload_bytes,
      "recording: expected a record of at most {} bytes, got {}; use smaller batches or leave the scores out",
      kRecordingPayload_bytes, payload.size());
  ByteWriter out;
  out.bytes.reserve(payload.size() + 16);
  out.u8(static_cast<uint8_t>(type));
  out.text(payload);
  out.u32(crc32c(out.bytes));
  return std::move(out.bytes);
}

std::string encode_recording_header(const Json& about) {
  ByteWriter out;
  out.bytes = kRecordingMagic;
  out.u32(kRecordingVersion);
  const auto text = dump_json(about);
  GW_CHECK(text.size() <= kRecordingHeader_bytes,
           "recording: expected a description of at most {} bytes, got {}; shorten it",
           kRecordingHeader_bytes, text.size());
  out.text(text);
  out.u32(crc32c(out.bytes));
  return std::move(out.bytes);
}

std::string encode_site(const RouteSite& site) {
  ByteWriter out;
  out.text(std::string_view(site.name).substr(0, kName_bytes));
  out.varint(static_cast<uint64_t>(site.experts));
  return std::move(out.bytes);
}

RouteSite decode_site(std::string_view payload) {
  ByteReader in(payload, kWhat);
  RouteSite site;
  site.name = in.text(kName_bytes);
  site.experts = in.count("experts", kRecordingExperts);
  GW_CHECK(site.experts >= 1,
           "recording: expected at least one expert at \"{}\", got none; the file is damaged", site.name);
  in.finish();
  return site;
}

std::string encode_frame(const RouteFrame& frame, bool inputs) {
  const auto labels = inputs ? numbers(frame.labels) : std::vector<int64_t>{},
             index = inputs ? numbers(frame.index) : std::vector<int64_t>{};
  GW_CHECK(labels.empty() || index.empty() || labels.size() == index.size(),
           "recording: expected one label per position, got {} and {}", labels.size(), index.size());
  for (const auto* list : {&labels, &index}) {
    for (const int64_t value : *list)
      GW_CHECK(value >= 0 && value < kLabels, "recording: expected labels and positions in [0, {}), got {}",
               kLabels, value);
  }
  GW_CHECK(std::min({frame.step, frame.epoch, frame.batch}) >= 0,
           "recording: expected step, epoch and batch of at least 0, got {}, {}, {}", frame.step, frame.epoch,
           frame.batch);
  ByteWriter out;
  out.u8(static_cast<uint8_t>(frame.phase));
  for (const int64_t n : {frame.step, frame.epoch, frame.batch}) out.varint(static_cast<uint64_t>(n));
  out.u8(static_cast<uint8_t>((labels.empty() ? 0 : kHasLabels) | (index.empty() ? 0 : kHasIndex)));
  if (labels.empty() && index.empty()) return std::move(out.bytes);
  out.varint(std::max(labels.size(), index.size()));
  if (!labels.empty()) out.packed(labels);
  if (!index.empty()) out.packed(index);
  return std::move(out.bytes);
}

RouteFrame decode_frame(std::string_view payload) {
  ByteReader in(payload, kWhat);
  RouteFrame frame;
  const uint8_t phase = in.u8();
  GW_CHECK(phase <= static_cast<uint8_t>(RoutePhase::kInference),
           "recording: expected a phase of 0 to 3, got {}; the file is damaged", phase);
  frame.phase = static_cast<RoutePhase>(phase);
  frame.step = in.count("a step", kNumber), frame.epoch = in.count("an epoch", kNumber),
  frame.batch = in.count("a batch", kNumber);
  const uint8_t flags = in.u8();
  GW_CHECK((flags & ~(kHasLabels | kHasIndex)) == 0,
           "recording: expected known flags, got {}; the file is damaged or newer", flags);
  if (flags != 0) {
    const auto n = static_cast<size_t>(in.count("samples", kTokens));
    if ((flags & kHasLabels) != 0) frame.labels = tensor_of(in.packed(n, kLabels));
    if ((flags & kHasIndex) != 0) frame.index = tensor_of(in.packed(n, kLabels));
  }
  in.finish();
  return frame;
}

std::string encode_decision(int64_t site, RoutePurpose purpose, const RoutingPlan& plan,
                            const RecordingOptions& options) {
  GW_CHECK(plan.tokens <= static_cast<int64_t>(kTokens), "recording: expected at most {} tokens, got {}",
           kTokens, plan.tokens);
  const auto tokens = plan.token.to(at::kCPU).contiguous();
  const int64_t* token = tokens.data_ptr<int64_t>();
  const auto weight = plan.weight.defined() ? plan.weight.detach().to(at::kCPU).contiguous() : at::Tensor();
  const RouteWeights kind = kind_of(plan, weight, options.weights);
  const bool scores = options.scores && plan.scores.defined();
  const int64_t k = most_experts(plan, token), width = bit_width(static_cast<uint64_t>(plan.experts()));
  const bool lists = plan.tokens * k * width > 8 * (2 * plan.rows() + plan.experts());
  ByteWriter out;
  out.varint(static_cast<uint64_t>(site));
  out.u8(static_cast<uint8_t>(purpose));
  out.u8(
      static_cast<uint8_t>((lists ? kLists : 0) | static_cast<uint8_t>(kind) << 1 | (scores ? kScores : 0)));
  out.varint(static_cast<uint64_t>(plan.tokens));
  out.varint(static_cast<uint64_t>(plan.rows()));
  if (!lists) out.varint(static_cast<uint64_t>(k)), out.packed(slots_of(plan, token, k));
  if (lists) write_lists(out, plan, token);
  write_weights(out, weight, kind);
  if (scores) {
    const auto s = plan.scores.detach().to(at::kCPU, at::kFloat).contiguous();
    out.f32(s.data_ptr<float>(), static_cast<size_t>(s.numel()));
  }
  return std::move(out.bytes);
}

RouteDecision decode_decision(std::string_view payload, const std::vector<RouteSite>& sites) {
  ByteReader in(payload, kWhat);
  RouteDecision out;
  out.site = in.count("a site", kSites);
  GW_CHECK(out.site < static_cast<int64_t>(sites.size()),
           "recording: expected a site below {}, got {}; the file is damaged", sites.size(), out.site);
  const int64_t experts = sites[static_cast<size_t>(out.site)].experts;
  const uint8_t purpose = in.u8(), flags = in.u8();
  GW_CHECK(purpose <= static_cast<uint8_t>(RoutePurpose::kSearch) && flags < 16,
           "recording: expected a known purpose and known flags, got {} and {}; the file is damaged or newer",
           purpose, flags);
  out.purpose = static_cast<RoutePurpose>(purpose);
  out.weights = static_cast<RouteWeights>(flags >> 1 & 3);
  out.tokens = in.count("tokens", kTokens);
  const auto rows = static_cast<size_t>(
      in.count("rows", static_cast<uint64_t>(out.tokens) * static_cast<uint64_t>(experts)));
  (flags & kLists) != 0 ? read_lists(in, out, experts, rows) : read_slots(in, out, experts);
  GW_CHECK(out.expert.size() == rows, "recording: expected {} rows, got {}; the file is damaged", rows,
           out.expert.size());
  read_weights(in, out);
  if ((flags & kScores) != 0) {
    GW_CHECK(static_cast<uint64_t>(out.tokens) <= in.left() / sizeof(float) / static_cast<size_t>(experts),
             "recording: expected scores of {} tokens, got {} bytes; the file is damaged", out.tokens,
             in.left());
    out.scores.resize(static_cast<size_t>(out.tokens * experts));
    in.f32(out.scores.data(), out.scores.size());
  }
  in.finish();
  return out;
}

RoutingPlan decision_plan(const RouteDecision& decision, int64_t experts) {
  RoutingPlan plan;
  plan.tokens = decision.tokens;
  plan.offsets.assign(static_cast<size_t>(experts) + 1, 0);
  for (const int32_t e : decision.expert) ++plan.offsets[static_cast<size_t>(e) + 1];
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) plan.offsets[e + 1] += plan.offsets[e];
  plan.token = tensor_of({decision.token.begin(), decision.token.end()});
  const auto type = decision.weights == RouteWeights::kF64 ? at::kDouble : at::kFloat;
  plan.weight = decision.weight.empty()
                    ? at::ones({plan.rows()}, type)
                    : at::tensor(at::ArrayRef<double>(decision.weight), at::kDouble).to(type);
  return plan;
}

at::Tensor decision_slots(const RouteDecision& decision) {
  std::vector<int64_t> used(static_cast<size_t>(decision.tokens), 0);
  int64_t k = 1;
  for (const int32_t t : decision.token) k = std::max(k, ++used[static_cast<size_t>(t)]);
  auto slots = at::full({decision.tokens, k}, -1, at::kLong);
  int64_t* out = slots.data_ptr<int64_t>();
  std::fill(used.begin(), used.end(), 0);
  for (size_t row = 0; row < decision.expert.size(); ++row) {
    const auto t = static_cast<size_t>(decision.token[row]);
    out[static_cast<int64_t>(t) * k + used[t]++] = decision.expert[row];
  }
  return slots;
}

}  // namespace gw::inline routing
