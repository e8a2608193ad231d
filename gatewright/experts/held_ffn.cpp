#include "gatewright/experts/held_ffn.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::inline experts {
namespace {

int64_t bits_of(const std::string& form) { return form == "bf16" ? 16 : form == "int8" ? 8 : 4; }

/// Scales of 4 bits are shared by few inputs: the error of a code is half a step, and a step grows with the
/// largest weight of its group.
int64_t group_of(const std::string& form, int64_t group) {
  return group == 0 && form == "int4" ? 128 : group;
}

}  // namespace

HeldFfn::HeldFfn(const std::string& form, int64_t group, const FfnSizes& sizes, torch::nn::Module& owner)
    : sizes_(sizes), bits_(bits_of(form)), group_(group_of(form, group)) {
  const auto& s = sizes_;
  if (bits_ == 16) {
    const auto weight = [&](int64_t out, int64_t in) {
      return at::zeros({s.experts, out, in}, at::kBFloat16);
    };
    rounded_.up = weight(s.hidden, s.in), rounded_.down = weight(s.out, s.hidden);
    if (s.glu) rounded_.gate = weight(s.hidden, s.in);
  } else {
    codes_ = ops::empty_quantised_ffn(s.experts, s.in, s.hidden, s.out, s.glu, bits_, group_);
  }
  if (s.bias) {
    const auto bias = [&](int64_t width) {
      return at::zeros({s.experts, width}, bits_ == 16 ? at::kBFloat16 : at::kFloat);
    };
    auto& up = bits_ == 16 ? rounded_.up_bias : codes_.up_bias;
    auto& down = bits_ == 16 ? rounded_.down_bias : codes_.down_bias;
    auto& gate = bits_ == 16 ? rounded_.gate_bias : codes_.gate_bias;
    up = bias(s.hidden), down = bias(s.out);
    if (s.glu) gate = bias(s.hidden);
  }
  for (auto& [name, tensor] : tensors()) owner.register_buffer(name, *tensor);
}

HeldFfn::HeldFfn(ops::CodedFfn codes, const ops::FfnWeights& w)
    : bits_(0), group_(0), kept_(std::move(codes)) {
  GW_CHECK(
      !kept_.up.empty() && !kept_.down.empty() && w.up.defined(),
      "banks/mlp: expected codes of each expert for a bank of f32, got none, or a bank that holds codes");
  const auto width = [](const std::vector<ops::CodedMatrix>& side) { return side.front().out; };
  sizes_ = {static_cast<int64_t>(kept_.up.size()),
            kept_.up.front().in(),
            width(kept_.up),
            width(kept_.down),
            !kept_.gate.empty(),
            w.up_bias.defined()};
  check_fits(w);
  const auto rounded = [](const at::Tensor& t) {
    return t.defined() ? t.detach().to(at::kFloat).contiguous() : t;
  };
  kept_.gate_bias = rounded(w.gate_bias), kept_.up_bias = rounded(w.up_bias);
  kept_.down_bias = rounded(w.down_bias);
  if (kept_.up.front().form != ops::FewBits::blocks) return;
  blocks_ = ops::pack_block_ffn(kept_);
  kept_ = {};
}

std::vector<std::pair<const char*, at::Tensor*>> HeldFfn::tensors() {
  std::vector<std::pair<const char*, at::Tensor*>> out;
  const auto add = [&](const char* name, at::Tensor& tensor) {
    if (tensor.defined()) out.emplace_back(name, &tensor);
  };
  if (bits_ == 16) {
    add("w1", rounded_.up), add("w2", rounded_.down), add("wg", rounded_.gate);
    add("b1", rounded_.up_bias), add("b2", rounded_.down_bias), add("bg", rounded_.gate_bias);
    return out;
  }
  add("w1_codes", codes_.up), add("w2_codes", codes_.down), add("wg_codes", codes_.gate);
  add("w1_scales", codes_.up_scales), add("w2_scales", codes_.down_scales);
  add("wg_scales", codes_.gate_scales);
  add("b1", codes_.up_bias), add("b2", codes_.down_bias), add("bg", codes_.gate_bias);
  return out;
}

void HeldFfn::check_fits(const ops::FfnWeights& w) const {
  const auto& s = sizes_;
  const bool fits = w.up.defined() && w.down.defined() && w.up.sizes().equals({s.experts, s.hidden, s.in}) &&
                    w.down.sizes().equals({s.experts, s.out, s.hidden}) && w.gate.defined() == s.glu &&
                    w.up_bias.defined() == s.bias;
  GW_CHECK(fits,
           "banks/mlp: expected trained weights of {} experts, {} to {} to {}{}{}, got others; take the bank "
           "options of the training",
           s.experts, s.in, s.hidden, s.out, s.glu ? ", gated" : "", s.bias ? ", with biases" : "");
  GW_CHECK(!w.activation.defined(),
           "banks/mlp: expected an activation with constant parameters, got ones that each expert learned; "
           "train with learn_activation = false");
}

void HeldFfn::take(const ops::FfnWeights& trained) {
  GW_CHECK(bits_ > 0, "banks/mlp: expected weights to be held in bf16, int8 or int4, got codes of a file");
  check_fits(trained);
  const at::NoGradGuard no_grad;
  HeldFfn filled(*this);
  if (bits_ == 16) {
    for (const auto& t : {trained.up, trained.down, trained.gate}) {
      GW_CHECK(!t.defined() || at::isfinite(t).all().item<bool>(),
               "banks/mlp: expected finite weights, got NaN or infinity");
    }
    filled.rounded_ = trained;
  } else {
    filled.codes_ = ops::quantise_ffn(trained, bits_, group_);
  }
  const auto mine = tensors(), theirs = filled.tensors();
  for (size_t i = 0; i < mine.size(); ++i) mine[i].second->copy_(*theirs[i].second);
}

at::Tensor HeldFfn::mix(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                        const at::Tensor& weight, const ops::FfnOptions& options) const {
  const auto type = x.scalar_type();
  if (bits_ == 16)
    return ops::moe_ffn(x.to(at::kBFloat16), token, offsets, weight, rounded_, options).to(type);
  const auto taken = type == at::kDouble ? x.to(at::kFloat) : x;
  if (blocks_.up.defined())
    return ops::moe_ffn_blocks(taken, token, offsets, weight, blocks_, options).to(type);
  if (bits_ == 0) return ops::moe_ffn_coded(taken, token, offsets, weight, kept_, options).to(type);
  return ops::moe_ffn_quantised(taken, token, offsets, weight, codes_, options).to(type);
}

}  // namespace gw::inline experts
