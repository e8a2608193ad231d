// What is kept for weights follows them, however they are written, from however many threads it is asked for.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "gatewright/ops/kept.h"
#include "gatewright/ops/random.h"
#include "tests/support/weight_writers.h"

namespace gw::test::kept_cases {

using gw::ops::FrozenParameters;

struct Weights : torch::nn::Module {
  at::Tensor first = register_parameter("first", gw::ops::normal(gw::Rng(1), {40, 33}, 0, 1));
  at::Tensor second = register_parameter("second", gw::ops::normal(gw::Rng(2), {7}, 0, 1));
};

/// The sum of the weights, kept; counts how often it was made.
struct KeptSum {
  gw::ops::Kept<at::Tensor> kept;
  int made = 0;
  double of(const Weights& w) {
    return kept
        .get({w.first, {}, w.second},
             [&] {
               ++made;
               return w.first.detach().sum() + w.second.detach().sum();
             })
        .item<double>();
  }
};

double sum_of(const Weights& w) { return (w.first.detach().sum() + w.second.detach().sum()).item<double>(); }

TEST(Kept, FollowsEveryWriterAndIsMadeOncePerState) {
  for (const auto& writer : gw::test::weight_writers()) {
    Weights w;
    KeptSum kept;
    const double old = kept.of(w);
    EXPECT_EQ(kept.of(w), old);
    EXPECT_EQ(kept.made, 1) << writer.name;
    writer.write(w);
    EXPECT_NE(sum_of(w), old) << writer.name << " changed nothing: this test would prove nothing";
    EXPECT_EQ(kept.of(w), sum_of(w)) << writer.name;
    EXPECT_EQ(kept.made, 2) << writer.name;
  }
}

TEST(Kept, FollowsAnotherTypeAndShape) {
  Weights w;
  gw::ops::Kept<at::Tensor> kept;
  const auto get = [&] { return kept.get({w.first}, [&] { return w.first.detach().clone(); }); };
  get();
  w.to(at::kDouble);
  EXPECT_EQ(get().scalar_type(), at::kDouble);
  w.first.set_data(w.first.detach().view({33, 40}));
  EXPECT_EQ(get().size(0), 33);
  w.first.set_data(w.first.detach().t());
  EXPECT_EQ(get().stride(0), 1);
}

// One value in each place, and pairs of values that change against each other: a sum of values would not tell
// them.
TEST(Kept, NoPlaceIsOutOfSight) {
  for (const int64_t count : {1, 2, 31, 32, 33, 1000, 40000}) {
    auto x = gw::ops::normal(gw::Rng(3), {count}, 0, 1);
    const auto before = gw::ops::fingerprint({x});
    for (int64_t i = 0; i < count; i += std::max<int64_t>(1, count / 97)) {
      const float old = x[i].item<float>();
      x[i] = -old;
      EXPECT_NE(gw::ops::fingerprint({x}), before) << count << " values, place " << i;
      x[i] = old;
      if (i + 1 == count) break;
      const float next = x[i + 1].item<float>();
      x[i] = next, x[i + 1] = old;
      EXPECT_NE(gw::ops::fingerprint({x}), before) << count << " values, exchanged " << i;
      x[i] = old, x[i + 1] = next;
    }
    EXPECT_EQ(gw::ops::fingerprint({x}), before);
    EXPECT_NE(gw::ops::fingerprint({-x}), before);
    EXPECT_NE(gw::ops::fingerprint({x, x}), before);
    EXPECT_NE(gw::ops::fingerprint({x, {}}), before);
  }
  EXPECT_NE(gw::ops::fingerprint({at::zeros({2, 3})}), gw::ops::fingerprint({at::zeros({3, 2})}));
  EXPECT_NE(gw::ops::fingerprint({at::zeros({4})}), gw::ops::fingerprint({at::zeros({5})}));
  EXPECT_NE(gw::ops::fingerprint({at::zeros({0})}), gw::ops::fingerprint({}));
}

// A scope states that nobody writes. What changes a storage or a version counter is seen there too; the next
// scope sees all.
TEST(Kept, AScopeIsComparedOnceAndTheNextOneAnew) {
  for (const auto& writer : gw::test::weight_writers()) {
    Weights w;
    KeptSum kept;
    double old = 0;
    {
      const FrozenParameters scope;
      old = kept.of(w);
      const FrozenParameters inner;
      writer.write(w);
      EXPECT_EQ(kept.of(w), writer.seen_in_scope ? sum_of(w) : old) << writer.name;
    }
    EXPECT_EQ(kept.of(w), sum_of(w)) << writer.name << " after the scope";
    gw::test::scale_through_data(w, 3);
    const FrozenParameters next;
    EXPECT_EQ(kept.of(w), sum_of(w)) << writer.name << " in the next scope";
  }
}

TEST(Kept, AScopeOfAnotherThreadIsNotThisOnes) {
  Weights w;
  KeptSum kept;
  const FrozenParameters scope;
  kept.of(w);
  std::thread([&] {  // began after the values were seen: they are compared again
    gw::test::scale_through_data(w, 3);
    const FrozenParameters later;
    EXPECT_EQ(kept.of(w), sum_of(w));
  })
      .join();
}

TEST(Kept, HoldsOrdinaryTensorsWithoutGradients) {
  Weights w;
  gw::ops::Kept<at::Tensor> kept;
  const auto get = [&] { return kept.get({w.first}, [&] { return w.first * 2; }); };
  {
    const c10::InferenceMode guard;
    EXPECT_FALSE(get().is_inference());
  }
  EXPECT_FALSE(get().requires_grad());
  auto x = at::ones({40, 33}).requires_grad_();
  (x * get()).sum().backward();
  EXPECT_TRUE(x.grad().equal(w.first.detach() * 2));
  Weights* made = nullptr;
  const c10::InferenceMode guard;
  Weights inside;  // its weights have no version counters
  made = &inside;
  KeptSum sum;
  const FrozenParameters scope;
  EXPECT_EQ(sum.of(*made), sum_of(*made));
}

// The first pass from several threads, and passes while each thread opens scopes of its own. For the thread
// sanitizer.
TEST(Kept, SeveralThreadsAskAtOnce) {
  Weights w;
  KeptSum kept;
  for (int round = 0; round < 20; ++round) {
    gw::test::scale_through_data(w, 1.01);
    const double want = sum_of(w);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 5; ++i) {
          if (t % 2 == 0) wrong += kept.of(w) != want;
          const FrozenParameters scope;
          wrong += kept.of(w) != want;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(kept.made, round + 1);
  }
}

}  // namespace gw::test::kept_cases
