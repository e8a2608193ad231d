// The format: every plan comes back, whatever its shape; every hostile file is refused or read up to its
// damage.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gatewright/ops/random.h"
#include "gatewright/routing/recording_reader.h"
#include "tests/fuzz/check_recording.h"
#include "tests/fuzz/replay.h"

namespace gw::test::recording_cases {

using gw::RecordingReader;
using gw::RoutingPlan;

/// Token choice with gaps: each of T tokens takes `k` of E experts, a share of the slots stays empty.
RoutingPlan random_plan(int64_t tokens, int64_t experts, int64_t k, double empty, uint64_t seed) {
  const auto order = gw::ops::uniform(gw::Rng(seed), {tokens, experts}, 0, 1)
                         .argsort(int64_t{1})
                         .narrow(1, 0, k)
                         .contiguous();
  const auto gone = gw::ops::uniform(gw::Rng(seed + 1), {tokens, k}, 0, 1).lt(empty);
  auto plan = gw::make_plan(order.masked_fill(gone, -1),
                            gw::ops::uniform(gw::Rng(seed + 2), {tokens, k}, 0, 1), experts);
  plan.scores = gw::ops::normal(gw::Rng(seed + 3), {tokens, experts}, 0, 1);
  return plan;
}

/// Experts choose tokens: few tokens with many experts.
RoutingPlan expert_choice_plan(int64_t tokens, int64_t experts, int64_t each) {
  RoutingPlan plan;
  plan.tokens = tokens;
  plan.offsets = {0};
  std::vector<int64_t> token;
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t i = 0; i < each; ++i) token.push_back(i == 0 ? 0 : e + i * 3);  // token 0 pleases everybody
    plan.offsets.push_back(static_cast<int64_t>(token.size()));
  }
  plan.token = at::tensor(token, at::kLong);
  plan.weight = at::ones({plan.rows()});
  return plan;
}

gw::RecordingOptions everything() {
  gw::RecordingOptions options;
  options.scores = options.weights = true;
  return options;
}

void expect_back(const RoutingPlan& plan) {
  const std::vector<gw::RouteSite> sites{{"a", 3}, {"b", plan.experts()}};
  const auto decision =
      gw::decode_decision(gw::encode_decision(1, gw::RoutePurpose::kAttacked, plan, everything()), sites);
  const auto back = gw::decision_plan(decision, plan.experts());
  gw::validate_plan(back);
  EXPECT_EQ(decision.site, 1);
  EXPECT_EQ(decision.purpose, gw::RoutePurpose::kAttacked);
  EXPECT_EQ(back.offsets, plan.offsets);
  EXPECT_EQ(back.tokens, plan.tokens);
  EXPECT_TRUE(back.token.equal(plan.token));
  EXPECT_TRUE(back.weight.equal(plan.weight.detach()));
  if (plan.scores.defined()) {
    EXPECT_TRUE(at::tensor(decision.scores).view_as(plan.scores).equal(plan.scores));
  }
  const auto again = gw::make_plan(gw::decision_slots(decision),
                                   at::ones(gw::decision_slots(decision).sizes()), plan.experts());
  EXPECT_EQ(again.offsets, plan.offsets);
  EXPECT_TRUE(again.token.equal(plan.token));
}

TEST(Recording, EveryPlanComesBack) {
  for (const int64_t experts : {2, 3, 8, 64, 300}) {
    for (const int64_t k : {1, 2}) {
      for (const double empty : {0.0, 0.3, 1.0}) {
        SCOPED_TRACE(fmt::format("{} experts, {} each, {} empty", experts, k, empty));
        expect_back(random_plan(37, experts, k, empty, static_cast<uint64_t>(experts)));
      }
    }
  }
  expect_back(random_plan(0, 4, 2, 0, 1));
  expect_back(random_plan(1, 4, 4, 0, 1));
  expect_back(expert_choice_plan(400, 64, 6));
  expect_back(gw::constant_plan(9, 4, 2));
  auto exact = random_plan(20, 4, 2, 0.2, 5);
  exact.weight = exact.weight.to(at::kDouble) / 3;  // f64 weights keep their bits
  expect_back(exact);
}

TEST(Recording, IsCompact) {
  const gw::RecordingOptions routes_only;
  const auto bytes = [&](const RoutingPlan& plan) {
    return gw::encode_decision(0, gw::RoutePurpose::kClean, plan, routes_only).size();
  };
  EXPECT_LE(bytes(random_plan(4096, 63, 8, 0, 1)), 4096u * 8 * 6 / 8 + 16);  // six bits per choice
  EXPECT_LE(bytes(gw::make_plan(at::arange(128).remainder(2).view({128, 1}), at::ones({128, 1}), 2)),
            128u * 2 / 8 + 16);
  EXPECT_LE(bytes(expert_choice_plan(4000, 64, 6)),
            64u * 6 + 3 * 64 + 16);  // 64 slots for each of 4000 tokens would be 224 kB
}

TEST(Recording, FramesComeBack) {
  gw::RouteFrame frame{gw::RoutePhase::kValidation,         70000, 3, 2, at::tensor({4, 0, 9}, at::kLong),
                       at::tensor({59999, 0, 7}, at::kLong)};
  const auto back = gw::decode_frame(gw::encode_frame(frame, true));
  EXPECT_EQ(back.phase, frame.phase);
  EXPECT_EQ(back.step, 70000);
  EXPECT_EQ(back.epoch, 3);
  EXPECT_EQ(back.batch, 2);
  EXPECT_TRUE(back.labels.equal(frame.labels));
  EXPECT_TRUE(back.index.equal(frame.index));
  EXPECT_FALSE(gw::decode_frame(gw::encode_frame(frame, false)).labels.defined());
  frame.index = at::Tensor();
  EXPECT_TRUE(gw::decode_frame(gw::encode_frame(frame, true)).labels.equal(frame.labels));
  frame.labels = at::tensor({-1}, at::kLong);
  EXPECT_THROW(gw::encode_frame(frame, true), gw::ValueError);
}

std::string small_recording(size_t frames, std::vector<size_t>& ends) {
  std::string bytes = gw::encode_recording_header({{"name", "test"}});
  bytes += gw::frame_record(gw::RecordType::kSite, gw::encode_site({"router", 5}));
  ends = {bytes.size()};
  for (size_t i = 0; i < frames; ++i) {
    gw::RouteFrame frame;
    frame.step = static_cast<int64_t>(i);
    bytes += gw::frame_record(gw::RecordType::kFrame, gw::encode_frame(frame, true));
    ends.push_back(bytes.size());
    bytes +=
        gw::frame_record(gw::RecordType::kDecision,
                         gw::encode_decision(0, gw::RoutePurpose::kClean, random_plan(9, 5, 2, 0.1, i), {}));
    ends.push_back(bytes.size());
  }
  return bytes;
}

int64_t records_in(std::string_view bytes, gw::RecordingEnd& end) {
  RecordingReader reader(gw::memory_source(bytes), "test");
  int64_t records = 0;
  while (reader.next() != RecordingReader::Item::kEnd) ++records;
  end = reader.ending();
  return records;
}

TEST(Recording, ACutFileReadsUpToTheCut) {
  std::vector<size_t> ends;
  const auto bytes = small_recording(4, ends);
  for (size_t size = ends[0]; size <= bytes.size(); ++size) {
    gw::RecordingEnd end;
    const auto whole =
        static_cast<int64_t>(std::upper_bound(ends.begin(), ends.end(), size) - ends.begin()) - 1;
    EXPECT_EQ(records_in(std::string_view(bytes).substr(0, size), end), whole) << size;
    EXPECT_EQ(end.good_bytes, ends[static_cast<size_t>(whole)]) << size;
    EXPECT_EQ(end.lost_bytes, size - end.good_bytes) << size;
    EXPECT_EQ(end.kind, end.lost_bytes == 0 ? gw::RecordingEnd::Kind::kWhole : gw::RecordingEnd::Kind::kCut)
        << size;
  }
}

TEST(Recording, EveryFlippedBitIsNoticed) {
  std::vector<size_t> ends;
  const auto bytes = small_recording(3, ends);
  gw::RecordingEnd end;
  const auto all = records_in(bytes, end);
  for (size_t at = ends[0]; at < bytes.size(); ++at) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    EXPECT_LT(records_in(damaged, end), all) << at;
    EXPECT_NE(end.kind, gw::RecordingEnd::Kind::kWhole) << at;
    EXPECT_LE(end.good_bytes, at) << at;
  }
  for (size_t at = 0; at < ends[0] - 20; ++at) {  // in the header nothing can be read
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_THROW(records_in(damaged, end), gw::ValueError) << at;
  }
}

TEST(Recording, SearchesAnyBatch) {
  std::vector<size_t> ends;
  const auto bytes = small_recording(6, ends);
  RecordingReader reader(gw::memory_source(bytes), "test");
  for (const int64_t step : {3, 4, 0, 5, 1}) {
    ASSERT_TRUE(reader.find(gw::RoutePhase::kInference, step, 0)) << step;
    EXPECT_EQ(reader.frame().step, step);
    ASSERT_EQ(reader.next(), RecordingReader::Item::kDecision);
    const auto plan = random_plan(9, 5, 2, 0.1, static_cast<uint64_t>(step));
    EXPECT_TRUE(gw::decision_plan(reader.decision(), 5).token.equal(plan.token)) << step;
  }
  EXPECT_FALSE(reader.find(gw::RoutePhase::kInference, 9, 0));
  EXPECT_FALSE(reader.find(gw::RoutePhase::kTrain, 1, 0));
  EXPECT_EQ(reader.contents(), "inference of steps 0 to 5");
}

TEST(Recording, HostileFilesAreRefusedOrReadUpToTheDamage) {
  const auto counts = gw::test::replay(
      "recording", 10000, [](std::string_view bytes) { return gw::test::check_recording(bytes); });
  EXPECT_GT(counts.accepted, 100);
  EXPECT_GT(counts.refused, 100);
}

TEST(Recording, RefusalsSayWhatIsWrong) {
  const auto refusal = [](const std::string& file) {
    const auto bytes =
        gw::read_file(std::string(GW_SOURCE_ROOT) + "tests/fuzz/corpus/recording/" + file, 1 << 20);
    try {
      RecordingReader reader(gw::memory_source(bytes), file);
      while (reader.next() != RecordingReader::Item::kEnd) {
      }
    } catch (const gw::ValueError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  for (const auto& [file, part] : std::vector<std::pair<std::string, std::string>>{
           {"magic", "give the routes.bin of a run"},
           {"version", "expected version 1, got 2"},
           {"header_cut", "it was cut"},
           {"header_sum", "the checksum of its description"},
           {"header_deep", "expected a JSON object"},
           {"site_none", "expected a site below 0, got 0"},
           {"duplicate", "expected ascending experts of a token, got 1 after 1"},
           {"expert_beyond", "expected values below 5, got 5"},
           {"rows_wrong", "expected 4 rows, got 5"},
           {"sites_many", "experts in all"},
           {"labels_huge", "expected samples of at most 16777216, got 1073741824"},
           {"slots_huge", "got"},
           {"cut", "accepted"},
           {"zeros", "accepted"}}) {
    EXPECT_NE(refusal(file).find(part), std::string::npos) << file << ": " << refusal(file);
  }
}

}  // namespace gw::test::recording_cases
