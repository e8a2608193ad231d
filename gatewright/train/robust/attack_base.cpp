#include "gatewright/train/robust/attack_base.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  return fmt::format("[{}] of {}", fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ", "),
                     c10::toString(tensor.scalar_type()));
}

void check_answer(const std::string& part, const char* what, const at::Tensor& answer, int64_t rows,
                  int64_t columns) {
  GW_CHECK(answer.defined() && answer.dim() == 2 && answer.size(0) == rows && answer.size(1) == columns,
           "{}: expected {} [{}, {}] of the victim, got {}", part, what, rows, columns, describe(answer));
  if (!at::isfinite(answer).all().item<bool>()) {
    throw NumericError(fmt::format(
        "{}: expected finite {} of the victim, got NaN or infinity; check its weights", part, what));
  }
}

}  // namespace

Victim::Response Probe::respond(const at::Tensor& images, bool through_choice) {
  ++queries_;
  Victim::Response response =
      through_choice ? victim_.respond_through_choice(images) : victim_.respond(images);
  check_answer(part_, "logits", response.logits, images.size(0), victim_.classes());
  if (response.scores.defined())
    check_answer(part_, "scores", response.scores, images.size(0), victim_.experts());
  return response;
}

at::Tensor Probe::route(const at::Tensor& images) {
  ++queries_;
  auto scores = victim_.route(images);
  check_answer(part_, "scores", scores, images.size(0), victim_.experts());
  return scores;
}

at::Tensor Probe::respond_forced(const at::Tensor& images, int64_t expert) {
  ++queries_;
  auto logits = victim_.respond_forced(images, expert);
  check_answer(part_, "logits", logits, images.size(0), victim_.classes());
  return logits;
}

const Victim::Response& Probe::clean() {
  if (clean_) return *clean_;
  at::AutoGradMode no_graph(false);
  clean_ = respond(images_);
  return *clean_;
}

SampleObjective Probe::objective(SampleLoss loss, const at::Tensor& labels) {
  return [this, loss, labels](const at::Tensor& images) {
    const at::Tensor logits = respond(images).logits;
    return Candidates{{}, loss(logits, labels), margin_loss(logits.detach(), labels)};
  };
}

Candidates Probe::clean_candidates(SampleLoss loss, const at::Tensor& labels) {
  const at::Tensor logits = clean().logits;
  return {images_, loss(logits, labels), margin_loss(logits, labels)};
}

AttackBase::AttackBase(std::string part, const Context& context)
    : part_(std::move(part)), epsilon_(context.epsilon) {
  GW_CHECK(epsilon_ >= 0 && epsilon_ <= 1, "{}: expected epsilon in [0, 1], got {}; pixels are in [0, 1]",
           part_, epsilon_);
}

void AttackBase::check_inputs(const Victim& victim, const at::Tensor& images,
                              const at::Tensor& labels) const {
  GW_CHECK(images.defined() && images.dim() == 4 && images.is_floating_point(),
           "{}: expected images [B, C, H, W] of floats, got {}", part_, describe(images));
  GW_CHECK(labels.defined() && labels.dim() == 1 && labels.size(0) == images.size(0) &&
               labels.scalar_type() == at::kLong,
           "{}: expected labels [{}] of int64, got {}", part_, images.size(0), describe(labels));
  GW_CHECK(victim.classes() >= 2, "{}: expected a victim of at least 2 classes, got {}", part_,
           victim.classes());
  if (images.numel() == 0) return;
  const double lowest = images.min().item<double>(), highest = images.max().item<double>();
  GW_CHECK(lowest >= 0 && highest <= 1,
           "{}: expected pixels in [0, 1], got [{}, {}]; attack before normalising", part_, lowest, highest);
  const int64_t first = labels.min().item<int64_t>(), last = labels.max().item<int64_t>();
  GW_CHECK(first >= 0 && last < victim.classes(), "{}: expected labels in [0, {}), got {} to {}", part_,
           victim.classes(), first, last);
}

AttackResult AttackBase::run(Victim& victim, const at::Tensor& images, const at::Tensor& labels,
                             const Rng& rng) {
  check_inputs(victim, images, labels);
  at::AutoGradMode no_graph(false);
  AttackResult result;
  const at::Tensor x = images.detach();
  if (x.size(0) == 0) {
    result.images = x.clone();
    result.fooled = at::empty({0}, labels.options().dtype(at::kBool));
    result.margin = at::empty({0}, x.options());
    return result;
  }
  Probe probe(part_, victim, x);
  const at::Tensor found = search(probe, x, labels, rng, result);
  result.images = project(found, x, epsilon_).contiguous(x.suggest_memory_format());
  const Victim::Response response = probe.respond(result.images);
  result.fooled = response.logits.argmax(1) != labels;
  result.margin = margin_loss(response.logits, labels);
  if (response.scores.defined()) result.flipped = response.scores.argmax(1) != probe.clean().scores.argmax(1);
  result.queries = probe.queries();
  return result;
}

}  // namespace gw::inline train
