// experts_ffn, for holders of ids and fused stacks: the bits of moe_ffn whatever the layout.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/experts_ffn.h"
#include "gatewright/ops/random.h"

namespace gw::test::experts_ffn_cases {

using gw::ops::ExpertStacks;
using gw::ops::FfnOptions;

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape) {
  return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, 1);
}

const std::vector<std::string> kLayouts{"cat", "interleaved", "up", "cat_t", "interleaved_t", "up_t"};

/// The same experts in each layout: `wide` [E, 2H, D] (or [E, H, D]) has gate rows before up rows.
ExpertStacks stacks(const std::string& layout, at::Tensor wide, at::Tensor down) {
  if (layout.starts_with("interleaved"))
    wide = at::stack({wide.chunk(2, 1)[0], wide.chunk(2, 1)[1]}, 2).flatten(1, 2);
  if (layout.ends_with("_t")) wide = wide.transpose(1, 2), down = down.transpose(1, 2);
  return {wide.contiguous(), down.contiguous(), {}, {}, layout};
}

struct Layer {
  int64_t tokens;
  at::Tensor x = normal(1, {tokens, 19}), weight = normal(2, {tokens, 2}), down = normal(4, {5, 23, 37}),
             dy = normal(5, {tokens, 23}), index = at::empty({tokens, 2}, at::kLong);
  explicit Layer(int64_t t) : tokens(t) {
    for (int64_t i = 0; i < 2 * t; ++i)
      index.data_ptr<int64_t>()[i] = (i * 7 + i / 3) % 4;  // expert 4: nobody
  }
};

TEST(ExpertsFfn, EveryLayoutHasTheBitsOfMoeFfn) {
  for (const int64_t tokens : {3, 80}) {
    const Layer l(tokens);
    for (const auto& layout : kLayouts) {
      const bool gate = !layout.starts_with("up");
      const auto wide = normal(3, {5, gate ? 74 : 37, 19});
      const auto s = stacks(layout, wide, l.down);
      const auto rows = gw::ops::route_rows(l.index, 5);
      auto plain = gate ? wide.chunk(2, 1) : std::vector<at::Tensor>{at::Tensor(), wide};
      gw::ops::FfnWeights w{plain[0], plain[1], l.down.clone(), {}, {}, {}};
      for (auto* t : {&w.gate, &w.up, &w.down}) *t = t->defined() ? t->contiguous().requires_grad_(true) : *t;
      const auto x = l.x.clone().requires_grad_(true), by = l.weight.clone().requires_grad_(true);
      const auto want = gw::ops::moe_ffn(x, rows.slot.div(2, "floor"), rows.offsets,
                                         by.view(-1).index_select(0, rows.slot), w);
      const auto got = gw::ops::experts_ffn(l.x, l.index, l.weight, s, {}, true);
      EXPECT_TRUE(at::equal(got.y, want.detach())) << layout << " " << tokens;
      const auto g = gw::ops::experts_ffn_backward(l.dy, l.x, l.index, l.weight, s, {}, got.kept,
                                                   {true, true, true, true, false, false});
      want.backward(l.dy);
      EXPECT_TRUE(at::equal(g.x, x.grad()) && at::equal(g.weight, by.grad())) << layout << " " << tokens;
      const auto views = gw::ops::expert_views({g.first, g.down, {}, {}, layout});
      EXPECT_TRUE(at::allclose(views.up, w.up.grad(), 1e-5, 1e-5)) << layout << " " << tokens;
      EXPECT_TRUE(!gate || at::allclose(views.gate, w.gate.grad(), 1e-5, 1e-5)) << layout << " " << tokens;
      EXPECT_TRUE(at::allclose(views.down, w.down.grad(), 1e-5, 1e-5)) << layout << " " << tokens;
      EXPECT_TRUE(at::equal(g.down[4], at::zeros_like(g.down[4]))) << layout;
    }
  }
}

TEST(ExpertsFfn, SentinelsHaveNoRowsAndTwiceCountsTwice) {
  const auto index = at::tensor(std::vector<int64_t>{0, 5, 1, 1, 7, 9}, at::kLong).view({3, 2});
  const auto rows = gw::ops::route_rows(index, 5);
  EXPECT_EQ(rows.offsets, (std::vector<int64_t>{0, 1, 3, 3, 3, 3}));
  Layer l(3);
  const auto y = gw::ops::experts_ffn(l.x, index, at::ones({3, 2}),
                                      stacks("cat", normal(3, {5, 74, 19}), l.down), {}, false)
                     .y;
  EXPECT_EQ(y[2].abs().max().item<float>(), 0);
  const auto once =
      gw::ops::experts_ffn(l.x, at::tensor(std::vector<int64_t>{5, 1, 5}, at::kLong).view({3, 1}),
                           at::ones({3, 1}), stacks("cat", normal(3, {5, 74, 19}), l.down), {}, false)
          .y;
  EXPECT_TRUE(at::allclose(y[1], 2 * once[1]));
  EXPECT_THROW(gw::ops::route_rows(index - 1, 5), gw::ValueError);
}

TEST(ExpertsFfn, KeepingNothingComputesTheSameBitsAgain) {
  const Layer l(40);
  const auto s = stacks("interleaved_t", normal(3, {5, 74, 19}), l.down);
  const auto kept = gw::ops::experts_ffn(l.x, l.index, l.weight, s, {}, true).kept;
  const auto back = [&](const at::Tensor& k) {
    return gw::ops::experts_ffn_backward(l.dy, l.x, l.index, l.weight, s, {}, k,
                                         {true, true, true, true, false, false});
  };
  const auto a = back(kept), b = back(at::empty({0}));
  EXPECT_TRUE(at::equal(a.x, b.x) && at::equal(a.first, b.first) && at::equal(a.down, b.down) &&
              at::equal(a.weight, b.weight));
}

}  // namespace gw::test::experts_ffn_cases
