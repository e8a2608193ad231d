#pragma once
// Small victims whose optimal perturbations are known, or that misbehave in a stated way.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <functional>
#include <stdexcept>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/victim.h"

namespace gw::test {

constexpr int64_t kChannels = 3, kHeight = 5, kWidth = 4, kPixels = kChannels * kHeight * kWidth;

inline at::Tensor flat(const at::Tensor& images) { return images.reshape({images.size(0), -1}); }

/// Uniform images in [lo, hi].
inline at::Tensor some_images(int64_t batch, uint64_t seed, double lo = 0, double hi = 1) {
  return ops::uniform(Rng(seed).fork("images"), {batch, kChannels, kHeight, kWidth}, lo, hi);
}

/// logits = x W + b; W [pixels, classes].
struct LinearVictim : Victim {
  at::Tensor weight, bias;
  LinearVictim(at::Tensor w, at::Tensor b) : weight(std::move(w)), bias(std::move(b)) {
    weight.requires_grad_(true), bias.requires_grad_(true);
  }
  LinearVictim(int64_t classes, uint64_t seed, double scale = 0.5)
      : LinearVictim(ops::normal(Rng(seed), {kPixels, classes}, 0, scale), at::zeros({classes})) {}
  Response respond(const at::Tensor& x) override { return {at::matmul(flat(x), weight) + bias, {}}; }
  at::Tensor respond_forced(const at::Tensor& x, int64_t) override { return respond(x).logits; }
  int64_t classes() const override { return weight.size(1); }
};

/// Hard routing to the expert of the largest linear score; linear experts. The choice carries no gradient.
struct RoutedVictim : Victim {
  at::Tensor router, router_bias;           // [pixels, E], [E]
  std::vector<at::Tensor> weights, biases;  // E of [pixels, classes], [classes]
  RoutedVictim(at::Tensor r, at::Tensor rb, std::vector<at::Tensor> w, std::vector<at::Tensor> b)
      : router(std::move(r)), router_bias(std::move(rb)), weights(std::move(w)), biases(std::move(b)) {
    for (const auto& parameter : parameters()) parameter.requires_grad_(true);
  }
  static RoutedVictim random(int64_t experts, int64_t classes, uint64_t seed) {
    const Rng rng(seed);
    std::vector<at::Tensor> w, b;
    for (int64_t e = 0; e < experts; ++e) {
      w.push_back(ops::normal(rng.fork("expert", static_cast<uint64_t>(e)), {kPixels, classes}, 0, 0.5));
      b.push_back(at::zeros({classes}));
    }
    return {ops::normal(rng.fork("router"), {kPixels, experts}, 0, 0.5), at::zeros({experts}), w, b};
  }
  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all = {router, router_bias};
    all.insert(all.end(), weights.begin(), weights.end());
    all.insert(all.end(), biases.begin(), biases.end());
    return all;
  }
  at::Tensor respond_forced(const at::Tensor& x, int64_t e) override {
    return at::matmul(flat(x), weights[static_cast<size_t>(e)]) + biases[static_cast<size_t>(e)];
  }
  Response respond(const at::Tensor& x) override {
    const at::Tensor scores = at::matmul(flat(x), router) + router_bias, choice = scores.argmax(1);
    at::Tensor logits = respond_forced(x, 0);
    for (int64_t e = 1; e < experts(); ++e)
      logits = at::where((choice == e).unsqueeze(1), respond_forced(x, e), logits);
    return {logits, scores};
  }
  int64_t experts() const override { return static_cast<int64_t>(weights.size()); }
  int64_t classes() const override { return weights[0].size(1); }
};

/// Two layers with a rectifier, fixed random weights.
struct MlpVictim : Victim {
  at::Tensor first, second;
  MlpVictim(int64_t hidden, int64_t classes, uint64_t seed)
      : first(ops::normal(Rng(seed).fork("first"), {kPixels, hidden}, 0, 0.5)),
        second(ops::normal(Rng(seed).fork("second"), {hidden, classes}, 0, 0.5)) {}
  Response respond(const at::Tensor& x) override {
    return {at::matmul(at::relu(at::matmul(flat(x) - 0.5, first)), second), {}};
  }
  at::Tensor respond_forced(const at::Tensor& x, int64_t) override { return respond(x).logits; }
  int64_t classes() const override { return second.size(1); }
};

/// Answers of `inner`, with a hook on every pass.
struct HookedVictim : Victim {
  Victim& inner;
  std::function<void(const at::Tensor& x, Response&)> hook;
  HookedVictim(Victim& v, std::function<void(const at::Tensor&, Response&)> h)
      : inner(v), hook(std::move(h)) {}
  Response respond(const at::Tensor& x) override {
    Response response = inner.respond(x);
    hook(x, response);
    return response;
  }
  at::Tensor respond_forced(const at::Tensor& x, int64_t e) override {
    Response response{inner.respond_forced(x, e), {}};
    hook(x, response);
    return response.logits;
  }
  int64_t experts() const override { return inner.experts(); }
  int64_t classes() const override { return inner.classes(); }
};

inline at::Tensor answers(Victim& victim, const at::Tensor& images) {
  at::NoGradGuard no_graph;
  return victim.respond(images).logits.argmax(1);
}

}  // namespace gw::test
