// Calls with one to three mistakes drawn at random: each is refused by name or has a defined answer. The
// sanitizers watch what it reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "gatewright/base/error.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"

namespace gw::test::moe_ffn_fuzz_cases {

using gw::Rng;

/// A call and all that goes into it; sound until something is done to it.
struct FuzzedCall {
  at::Tensor x = normal(1, {6, 20}), weight = normal(2, {11}),
             token = at::tensor({0, 1, 2, 3, 4, 0, 5, 2, 3, 4, 1}, at::kLong);
  std::vector<int64_t> offsets{0, 5, 5, 11};
  gw::ops::FfnWeights w{normal(3, {3, 10, 20}), normal(4, {3, 10, 20}), normal(5, {3, 7, 10}),
                        normal(6, {3, 10}),     normal(7, {3, 10}),     normal(8, {3, 7})};
  gw::ops::FfnOptions options;
  gw::ops::PackedFfn packed = gw::ops::pack_ffn(w);
  gw::ops::QuantisedFfn quantised = gw::ops::quantise_ffn(w, 8, 64);

  static at::Tensor normal(uint64_t seed, std::vector<int64_t> shape) {
    return gw::ops::normal(Rng(seed), std::move(shape), 0, 1);
  }
};

/// Something is done to one tensor.
using Change = std::function<void(at::Tensor&)>;
const std::vector<Change> kChanges{
    [](at::Tensor& t) { t = at::Tensor(); },
    [](at::Tensor& t) { t = t.to(at::kDouble); },
    [](at::Tensor& t) { t = t.to(at::kInt); },
    [](at::Tensor& t) { t = t.to(at::kHalf); },
    [](at::Tensor& t) { t = t.unsqueeze(0); },
    [](at::Tensor& t) { t = t.flatten(); },
    [](at::Tensor& t) { t = t.narrow(0, 0, t.size(0) - 1); },
    [](at::Tensor& t) { t = t.narrow(0, 0, 0); },
    [](at::Tensor& t) { t = t.narrow(t.dim() - 1, 0, t.size(t.dim() - 1) / 2); },
    [](at::Tensor& t) { t = t.transpose(0, t.dim() - 1); },
    [](at::Tensor& t) {
      t = at::cat({t, t});
    },
    [](at::Tensor& t) {
      t = t.repeat_interleave(2, t.dim() - 1).slice(t.dim() - 1, 0, c10::nullopt, 2);
    },  // the same, strided
    [](at::Tensor& t) { t = t.is_floating_point() ? t * NAN : t; },
    [](at::Tensor& t) { t = t.is_floating_point() ? t * 1e38 : t + (int64_t{1} << 40); },
    [](at::Tensor& t) { t = -t - 1; },
};

void change_numbers(FuzzedCall& c, const Rng& rng) {
  static const std::vector<int64_t> odd{-1,        0,        1, 2, 4, 7, 63, 64, 128, int64_t{1} << 40,
                                        INT64_MAX, INT64_MIN};
  const auto value = odd[static_cast<size_t>(rng.uniform(1) * static_cast<double>(odd.size()))];
  auto& q = c.quantised;
  const std::vector<std::function<void()>> changes{
      [&] { c.offsets.insert(c.offsets.begin(), value); },
      [&] { c.offsets.resize(static_cast<size_t>(rng.uniform(2) * 7)); },
      [&] {
        c.token = at::tensor(
            {0, 1, 2, 3, 4, 0, 5, 2, 3, 4, static_cast<int>(std::clamp<int64_t>(value, -9, 9))}, at::kLong);
      },
      [&] { c.options.activation = value < 0 ? "" : "silo"; },
      [&] { c.packed.level = "other"; },
      [&] { q.experts = value; },
      [&] { q.in = value; },
      [&] { q.hidden = value; },
      [&] { q.out = value; },
      [&] { q.bits = value; },
      [&] { q.in_group = value; },
      [&] { q.hidden_group = value; },
  };
  changes[static_cast<size_t>(rng.uniform(3) * static_cast<double>(changes.size()))]();
}

void spoil(FuzzedCall& c, const Rng& rng) {
  auto& w = c.w;
  auto& p = c.packed;
  auto& q = c.quantised;
  const std::vector<at::Tensor*> tensors{
      &c.x,       &c.weight,      &c.token,     &w.gate,        &w.up,        &w.down,    &w.gate_bias,
      &w.up_bias, &w.down_bias,   &p.gate,      &p.up,          &p.down,      &q.gate,    &q.up,
      &q.down,    &q.gate_scales, &q.up_scales, &q.down_scales, &q.gate_bias, &q.up_bias, &q.down_bias};
  if (rng.uniform(0) < 0.3) return change_numbers(c, rng);
  auto& tensor = *tensors[static_cast<size_t>(rng.uniform(4) * static_cast<double>(tensors.size()))];
  if (tensor.defined() && tensor.dim() > 0 && tensor.numel() > 0)
    kChanges[static_cast<size_t>(rng.uniform(5) * static_cast<double>(kChanges.size()))](tensor);
}

/// 1: answered, 0: refused. Anything but gw::Error fails the test.
int outcome(const FuzzedCall& c, const std::function<at::Tensor()>& call) {
  try {
    const auto y = call();
    EXPECT_EQ(y.dim(), 2);
    EXPECT_EQ(y.size(0), c.x.size(0));
    EXPECT_EQ(y.scalar_type(), c.x.scalar_type());
    return 1;
  } catch (const gw::Error& error) {
    EXPECT_NE(std::string(error.what()).find("moe_ffn"), std::string::npos) << error.what();
    return 0;
  }
}

TEST(MoeFfnFuzz, EveryMistakeIsRefusedOrAnswered) {
  const at::NoGradGuard no_grad;
  int answered = 0, refused = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    const Rng rng = Rng(11).fork("fuzz", i);
    FuzzedCall c;
    for (uint64_t n = 0; n <= i % 3; ++n) spoil(c, rng.fork("mistake", n));
    for (const auto& call : std::vector<std::function<at::Tensor()>>{
             [&] { return gw::ops::moe_ffn(c.x, c.token, c.offsets, c.weight, c.w, c.options); },
             [&] { return gw::ops::moe_ffn(c.x, c.token, c.offsets, c.weight, c.w, c.options, c.packed); },
             [&] {
               return gw::ops::moe_ffn_quantised(c.x, c.token, c.offsets, c.weight, c.quantised,
                                                 {c.options.activation});
             }}) {
      (outcome(c, call) == 1 ? answered : refused) += 1;
      if (HasFailure()) FAIL() << "call " << i;
    }
  }
  EXPECT_GT(answered, 1000);  // mistakes in what a call does not read, and forms that are sound
  EXPECT_GT(refused, 1000);
}

}  // namespace gw::test::moe_ffn_fuzz_cases
