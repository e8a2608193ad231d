// A mixture as a module: saving, loading, changing type, copying.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/serialize/archive.h>

#include <array>

#include "gatewright/base/check.h"
#include "gatewright/mixture/mixture.h"

namespace gw::inline mixture {
namespace {

constexpr const char* kPasses = "draws.passes";

}  // namespace

void Mixture::save(torch::serialize::OutputArchive& archive) const {
  torch::nn::Module::save(archive);
  const std::array<int64_t, 2> passes{static_cast<int64_t>(draws_.passes(true)),
                                      static_cast<int64_t>(draws_.passes(false))};
  archive.write(kPasses, at::tensor(at::ArrayRef<int64_t>(passes), at::kLong), /*is_buffer=*/true);
}

void Mixture::load(torch::serialize::InputArchive& archive) {
  torch::nn::Module::load(archive);
  at::Tensor passes;
  if (!archive.try_read(kPasses, passes, /*is_buffer=*/true))
    return;  // a file from before the stream was kept
  const bool counts = passes.scalar_type() == at::kLong && passes.numel() == 2;
  GW_CHECK(counts, "mixture: expected two counts of passes in the archive, got {} values", passes.numel());
  draws_.resume(static_cast<uint64_t>(passes[0].item<int64_t>()),
                static_cast<uint64_t>(passes[1].item<int64_t>()));
}

namespace {

/// What controllers adjust keeps its precision: a bias of 0.5 in bf16 does not see steps of 0.001.
template <class Change>
void keeping(const std::vector<at::Tensor>& state, at::ScalarType type, Change change) {
  std::vector<at::Tensor> before;
  for (const auto& tensor : state) before.push_back(tensor.detach());
  change();
  if (routing_type(type) == type) return;
  for (size_t i = 0; i < state.size(); ++i) state[i].set_data(before[i].to(state[i].device()));
}

}  // namespace

void Mixture::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  keeping(router_.controlled_state(), dtype, [&] { Module::to(device, dtype, non_blocking); });
}

void Mixture::to(torch::Dtype dtype, bool non_blocking) {
  keeping(router_.controlled_state(), dtype, [&] { Module::to(dtype, non_blocking); });
}

void Mixture::copy_from(const Mixture& other, const c10::optional<torch::Device>& device) {
  const torch::NoGradGuard no_grad;
  const auto copied = [&](const at::Tensor& t) {
    return device ? t.detach().to(*device, t.scalar_type(), false, /*copy=*/true) : t.detach().clone();
  };
  const auto copy_all = [&](auto mine, const auto& theirs) {
    GW_CHECK(mine.size() == theirs.size(),
             "mixture: expected the {} tensors of a layer with these options to copy, got {}", mine.size(),
             theirs.size());
    for (const auto& item : theirs) {
      auto* to = mine.find(item.key());
      GW_CHECK(to != nullptr, "mixture: expected no tensors but those of the options to copy, got \"{}\"",
               item.key());
      to->set_data(copied(item.value()));
      to->set_requires_grad(item.value().requires_grad());
    }
  };
  copy_all(named_parameters(), other.named_parameters()), copy_all(named_buffers(), other.named_buffers());
  draws_.follow(other.draws_), router_.follow(other.router_);
  train(other.is_training());
  router_.gate().train(other.router_.gate().is_training()), bank_->train(other.bank_->is_training());
  if (shared_ != nullptr) shared_->train(other.shared_->is_training());
}

std::shared_ptr<torch::nn::Module> Mixture::clone(const c10::optional<torch::Device>& device) const {
  auto out = std::make_shared<Mixture>(options_);
  out->copy_from(*this, device);
  return out;
}

void Mixture::clone_(torch::nn::Module& other, const c10::optional<torch::Device>& device) {
  const auto* mixture = dynamic_cast<Mixture*>(&other);
  GW_CHECK(mixture != nullptr, "mixture: expected a mixture to copy, got {}", other.name());
  copy_from(*mixture, device);
}

}  // namespace gw::inline mixture
