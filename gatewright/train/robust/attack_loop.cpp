#include "gatewright/train/robust/attack_loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline train {

at::Tensor project(const at::Tensor& images, const at::Tensor& x, double epsilon) {
  return at::minimum(at::maximum(images, x - epsilon), x + epsilon).clamp_(0.0, 1.0);
}

ImageGradient image_gradient(const at::Tensor& images, const ImageObjective& objective) {
  at::AutoGradMode with_graph(true);
  const at::Tensor leaf = images.detach().requires_grad_(true);
  const at::Tensor value = objective(leaf);
  constexpr const char* kConstant =
      "attack: expected an objective that depends on the images, got a constant; use the attack \"square\" "
      "for a victim without gradients";
  GW_CHECK(value.requires_grad(), kConstant);
  const at::Tensor gradient = torch::autograd::grad({value}, {leaf}, {}, {}, false, true)[0];
  GW_CHECK(gradient.defined(), kConstant);
  if (at::isnan(gradient).any().item<bool>()) {
    throw NumericError(
        "attack: expected a gradient of numbers, got NaN; check the victim's losses for 0/0 and log 0");
  }
  return {value.detach(), gradient.detach()};
}

at::Tensor perturb(const at::Tensor& x_start, const at::Tensor& x, int64_t steps, double step_size,
                   double epsilon, const ImageObjective& objective) {
  at::AutoGradMode no_graph(false);
  const at::Tensor centre = x.detach();
  at::Tensor current = project(x_start.detach(), centre, epsilon);
  for (int64_t step = 0; step < steps; ++step) {
    const at::Tensor gradient = image_gradient(current, objective).gradient;
    current = project(current + gradient.sign() * step_size, centre, epsilon);
  }
  return current;
}

std::vector<Rng> image_streams(const Rng& rng, const at::Tensor& x) {
  const at::Tensor values = x.detach().to(at::kCPU, at::kFloat).contiguous();
  const int64_t size = values.size(0) > 0 ? values.numel() / values.size(0) : 0;
  const float* data = values.data_ptr<float>();
  std::vector<Rng> streams;
  for (int64_t b = 0; b < values.size(0); ++b) {
    uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a over words: 3 µs for 3072 pixels
    for (int64_t i = 0; i < size; ++i) {
      uint32_t word;
      std::memcpy(&word, data + b * size + i, sizeof word);
      hash = (hash ^ word) * 0x100000001B3ull;
    }
    streams.push_back(rng.fork("image", hash));
  }
  return streams;
}

at::Tensor random_start(const Rng& rng, const at::Tensor& x, double epsilon) {
  at::AutoGradMode no_graph(false);
  std::vector<at::Tensor> noise;
  for (const Rng& stream : image_streams(rng, x))
    noise.push_back(ops::uniform(stream, x.sizes().slice(1), -epsilon, epsilon));
  if (noise.empty()) return x.detach().clone();
  return project(x.detach() + at::stack(noise).to(x.options()), x.detach(), epsilon);
}

namespace {

at::Tensor picked(const at::Tensor& values, const at::Tensor& index) {
  return values.gather(1, index.unsqueeze(1)).squeeze(1);
}

at::Tensor best_other(const at::Tensor& logits, const at::Tensor& labels) {
  return logits.scatter(1, labels.unsqueeze(1), -kInfinity).amax(1);
}

// The denominator vanishes when the leading logits tie: 1e-12 keeps 0/0 out, as in the published formula's
// code.
constexpr double kTiny = 1e-12;

}  // namespace

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  return -picked(at::log_softmax(logits, 1), labels);
}

at::Tensor margin_loss(const at::Tensor& logits, const at::Tensor& labels) {
  GW_CHECK(logits.size(1) >= 2, "attack: margin: expected at least 2 classes, got {}", logits.size(1));
  return best_other(logits, labels) - picked(logits, labels);
}

at::Tensor dlr_loss(const at::Tensor& logits, const at::Tensor& labels) {
  GW_CHECK(logits.size(1) >= 3,
           "attack: dlr loss: expected at least 3 classes, got {}; use the loss \"ce\" or \"margin\"",
           logits.size(1));
  const at::Tensor top = std::get<0>(logits.topk(3, 1));
  return margin_loss(logits, labels) / (top.select(1, 0) - top.select(1, 2) + kTiny);
}

at::Tensor targeted_dlr_loss(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& targets) {
  GW_CHECK(
      logits.size(1) >= 4,
      "attack: targeted dlr loss: expected at least 4 classes, got {}; use targets = 0 or the loss \"ce\"",
      logits.size(1));
  const at::Tensor top = std::get<0>(logits.topk(4, 1));
  const at::Tensor scale = top.select(1, 0) - 0.5 * (top.select(1, 2) + top.select(1, 3)) + kTiny;
  return (picked(logits, targets) - picked(logits, labels)) / scale;
}

at::Tensor kl_divergence(const at::Tensor& reference, const at::Tensor& logits) {
  const at::Tensor log_p = at::log_softmax(reference, 1);
  return (log_p.exp() * (log_p - at::log_softmax(logits, 1))).sum(1);
}

SampleLoss sample_loss(const std::string& name) {
  if (name == "ce") return cross_entropy;
  if (name == "dlr") return dlr_loss;
  if (name == "margin") return margin_loss;
  fail("attack: unknown loss \"{}\"{}", name, near_miss(name, sample_loss_names()));
}

std::vector<std::string> sample_loss_names() { return {"ce", "dlr", "margin"}; }

void keep_worst(Candidates& worst, const Candidates& other) {
  const at::Tensor reached = worst.margin > 0, other_reached = other.margin > 0;
  const at::Tensor takes =
      (other_reached & ~reached) | ((other_reached == reached) & (other.loss > worst.loss));
  worst.images = at::where(takes.view({-1, 1, 1, 1}), other.images, worst.images);
  worst.loss = at::where(takes, other.loss, worst.loss);
  worst.margin = at::where(takes, other.margin, worst.margin);
}

void keep_worst_rows(Candidates& worst, const at::Tensor& rows, const Candidates& other) {
  Candidates part{take_rows(worst.images, rows), worst.loss.index_select(0, rows),
                  worst.margin.index_select(0, rows)};
  keep_worst(part, other);
  worst.images = worst.images.index_copy(0, rows, part.images);
  worst.loss = worst.loss.index_copy(0, rows, part.loss);
  worst.margin = worst.margin.index_copy(0, rows, part.margin);
}

at::Tensor unreached_rows(const at::Tensor& margin) { return (margin <= 0).nonzero().view(-1); }

at::Tensor take_rows(const at::Tensor& images, const at::Tensor& rows) {
  return images.index_select(0, rows).contiguous(images.suggest_memory_format());
}

void SignSteps::fields(OptionVisitor& v) {
  v.integer("steps", steps, "gradient steps", 1, 100000);
  v.real("step_size", step_size, "length of a step in pixel units; 0: a quarter of epsilon", 0, 1);
  v.integer("restarts", restarts, "runs from different starts, the worst kept per image", 1, 1000);
  v.flag("random_start", random_start, "start at a uniform point of the ball instead of the image");
}

at::Tensor perturb_restarted(const SignSteps& options, const at::Tensor& x, double epsilon, const Rng& rng,
                             const SampleObjective& objective) {
  GW_CHECK(options.random_start || options.restarts == 1,
           "attack: expected restarts = 1 without random_start, got {}; equal starts repeat",
           options.restarts);
  const double step_size = options.step_size > 0 ? options.step_size : epsilon / 4;
  const ImageObjective total = [&](const at::Tensor& images) { return objective(images).loss.sum(); };
  Candidates worst;
  for (int64_t restart = 0; restart < options.restarts; ++restart) {
    const Rng stream = rng.fork("restart", static_cast<uint64_t>(restart));
    const at::Tensor start = options.random_start ? random_start(stream, x, epsilon) : x;
    const at::Tensor found = perturb(start, x, options.steps, step_size, epsilon, total);
    if (options.restarts == 1) return found;
    at::AutoGradMode no_graph(false);
    Candidates candidates = objective(found);
    candidates.images = found;
    if (restart == 0) worst = candidates;
    if (restart > 0) keep_worst(worst, candidates);
  }
  return worst.images;
}

}  // namespace gw::inline train
