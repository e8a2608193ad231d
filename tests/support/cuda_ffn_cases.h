#pragma once
// What the CUDA level of moe_ffn must do: see cuda_cases.h.
#include <algorithm>
#include <numeric>

#include "tests/support/cuda_cases.h"
#include "tests/support/ffn_case.h"
#include "tests/support/ffn_on_device.h"

namespace gw::test {

/// The same tolerances as the CPU's levels: 3e-6 of the largest value in f32, 2 % in bf16.
template <class T, class Device>
void ffn_agrees_with_double_precision(Device& device) {
  SerialPool pool;
  auto shapes = kShapes;
  shapes.push_back({3, 40, 130, 70, 150, 2, true, true});  // several tiles of rows, hidden and outputs
  for (const auto& shape : shapes) {
    SCOPED_TRACE(testing::Message() << shape.experts << " experts, " << shape.in << " → " << shape.hidden
                                    << ", " << shape.tokens << " tokens");
    const Case<T> c(shape);
    const auto want = run(moe_ffn_ref_f64, Case<double>(shape), pool);
    expect_close(run_ffn(device, c), want, sizeof(T) == 4 ? 3e-6 : 0.02);
  }
}

template <class T, class Device>
void ffn_knows_every_activation(Device& device) {
  SerialPool pool;
  for (int a = 0; a <= static_cast<int>(Activation::gelu_tanh); ++a) {
    for (const int form : {0, 1, 2}) {  // plain, gated, gated with bounds (bf16: rounding may cross one)
      const Shape shape{
          2, 24, 40, 24, 30, 1, form > 0, true, static_cast<Activation>(a), {form == 2, 0.5, 1}};
      SCOPED_TRACE(a);
      expect_close(run_ffn(device, Case<T>(shape)), run(moe_ffn_ref_f64, Case<double>(shape), pool),
                   sizeof(T) == 4 ? 3e-6
                   : form == 2    ? 0.1
                                  : 0.02);
    }
  }
}

/// Without exp and erf, f32 has the bits of the reference in everything but the routing weights' gradients,
/// whose sums have another shape.
template <class Device>
void ffn_has_the_bits_of_the_reference(Device& device) {
  SerialPool pool;
  for (auto shape : kShapes) {
    shape.activation = Activation::identity;
    const Case<float> c(shape);
    const auto got = run_ffn(device, c), want = run(FfnLevel<float>{&gemm_ref, &ffn_rows_ref}, c, pool);
    for (size_t i = 0; i < want.size(); ++i) {
      if (want[i].first == "dweight") continue;
      EXPECT_EQ(got[i].second, want[i].second) << want[i].first << ", " << shape.in << " → " << shape.hidden;
    }
  }
}

/// The tokens that `keep` names, in that order, as a case of their own; which row of the whole each of its
/// rows is.
template <class T>
std::pair<Case<T>, std::vector<size_t>> of_tokens(const Case<T>& c, const std::vector<int64_t>& keep) {
  Case<T> part = c;
  part.s.tokens = static_cast<int64_t>(keep.size());
  part.x.clear(), part.dy.clear(), part.token.clear(), part.weight.clear(), part.offsets = {0};
  for (const auto t : keep) {
    part.x.insert(part.x.end(), c.x.begin() + t * c.s.in, c.x.begin() + (t + 1) * c.s.in);
    part.dy.insert(part.dy.end(), c.dy.begin() + t * c.s.out, c.dy.begin() + (t + 1) * c.s.out);
  }
  std::vector<size_t> from;
  for (size_t e = 0; e + 1 < c.offsets.size(); ++e) {
    for (size_t at = 0; at < keep.size(); ++at) {
      for (auto r = static_cast<size_t>(c.offsets[e]); r < static_cast<size_t>(c.offsets[e + 1]); ++r) {
        if (c.token[r] == keep[at])
          part.token.push_back(static_cast<int64_t>(at)), part.weight.push_back(c.weight[r]),
              from.push_back(r);
      }
    }
    part.offsets.push_back(static_cast<int64_t>(part.token.size()));
  }
  return {part, from};
}

/// A token's y and dx, and a row's dweight, do not depend on which other tokens are in the call, in which
/// order.
template <class T, class Device>
void ffn_splits_and_permutes(Device& device) {
  const Case<T> c({3, 40, 130, 70, 150, 2, true, true});
  const auto whole = run_ffn(device, c);
  std::vector<int64_t> all(150);
  std::iota(all.begin(), all.end(), 0);
  std::vector<int64_t> second(all.begin() + 61, all.end());
  for (const auto& keep : {second, std::vector<int64_t>{17}, Rng(5).permutation(150)}) {
    const auto [part, from] = of_tokens(c, keep);
    const auto got = run_ffn(device, part);
    for (size_t i = 0; i < 2; ++i) {
      const auto width = static_cast<size_t>(i == 0 ? c.s.out : c.s.in);
      for (size_t t = 0; t < keep.size(); ++t) {
        const auto begin =
            whole[i].second.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(keep[t]) * width);
        ASSERT_TRUE(std::equal(begin, begin + static_cast<std::ptrdiff_t>(width),
                               got[i].second.begin() + static_cast<std::ptrdiff_t>(t * width)))
            << whole[i].first << " of token " << keep[t] << " among " << keep.size();
      }
    }
    for (size_t r = 0; r < from.size(); ++r) ASSERT_EQ(got[2].second[r], whole[2].second[from[r]]);
  }
}

/// Rows of an expert in any order, a token twice in one expert, a bound above N, recomputing: nothing of this
/// is in the way.
template <class T, class Device>
void ffn_takes_any_rows(Device& device) {
  SerialPool pool;
  Case<T> c({3, 20, 70, 33, 150, 2, true, true});
  Case<double> exact(c.s);
  const auto reorder = [](auto& problem) {
    std::reverse(problem.token.begin() + problem.offsets[1], problem.token.begin() + problem.offsets[2]);
    problem.token[1] = problem.token[0];
  };
  reorder(c), reorder(exact);
  const auto got = run_ffn(device, c);
  expect_close(got, run(moe_ffn_ref_f64, exact, pool), sizeof(T) == 4 ? 3e-6 : 0.02);
  EXPECT_EQ(run_ffn(device, c, {true, 0}), got);
  EXPECT_EQ(run_ffn(device, c, {false, 1000}), got);
}

/// A NaN in a token's x stays in that token, and so does one in a routing weight; experts without rows have
/// zero gradients.
template <class T, class Device>
void ffn_keeps_nan_to_its_token(Device& device) {
  Case<T> c({3, 20, 70, 33, 90, 2, true, true});
  const auto whole = run_ffn(device, c);
  const int64_t with_x = c.token[3], with_weight = c.token[40];
  ASSERT_NE(with_x, with_weight);
  set(std::nan(""), c.x[static_cast<size_t>(with_x * c.s.in)]);
  c.weight[40] = std::nanf("");
  const auto got = run_ffn(device, c);
  for (int64_t i = 0; i < c.s.tokens * c.s.out; ++i) {
    const double y = got[0].second[static_cast<size_t>(i)];
    const int64_t t = i / c.s.out;
    ASSERT_TRUE(t == with_x || t == with_weight ? std::isnan(y)
                                                : y == whole[0].second[static_cast<size_t>(i)])
        << "token " << t;
  }
  for (const size_t gradient : {3u, 4u, 5u}) {  // the last expert has no rows
    const auto& g = got[gradient].second;
    for (size_t i = g.size() / 3 * 2; i < g.size(); ++i) ASSERT_EQ(g[i], 0.0) << got[gradient].first;
  }
}

}  // namespace gw::test
