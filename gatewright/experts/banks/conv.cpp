#include "gatewright/ops/conv.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/init.h"

namespace gw::inline experts {
namespace {

/// Channel-group experts: one convolution with E·w output channels of which an image meets the w of its
/// expert.
/// Shapes: weight [E·w, C, k, k]; rows [N, C, H, W] sorted by expert → [N, w, H', W'], channels-last.
/// Cost:   2·N·w·C·k²·H'·W' flop, whatever E.
/// Source: Zhang et al. 2023, arXiv 2308.10110; differs: only the chosen channels are computed, not all and
///         masked.
class ConvBank : public Bank {
 public:
  static constexpr const char* kSummary =
      "channel-group convolutions: expert e owns output channels e*w to (e+1)*w";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t kernel = 3, stride = 1;
    void fields(OptionVisitor& v) override {
      v.integer("kernel", kernel, "side of the square kernel, odd; padded by half of it", 1, 15);
      v.integer("stride", stride, "step in both directions", 1, 8);
    }
  };

  ConvBank(const Options& options, const Context& context)
      : shape_{options.stride, options.kernel / 2}, context_(context) {
    GW_CHECK(options.kernel % 2 == 1, "banks/conv: expected an odd kernel, got {}", options.kernel);
    const Rng rng = Rng(context.seed).fork("banks/conv");
    weight_ = register_parameter(
        "weight", ops::kaiming_conv(rng, context.experts * context.out, context.in, options.kernel));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/conv", rows, offsets, context_);
    GW_CHECK(rows.dim() == 4, "banks/conv: expected maps [N, {}, H, W], got {} dimensions", context_.in,
             rows.dim());
    const auto x = rows.contiguous(at::MemoryFormat::ChannelsLast);
    std::vector<at::Tensor> parts;
    std::vector<int64_t> expert;
    for (size_t e = 0; e + 1 < offsets.size(); ++e) {
      if (offsets[e] == offsets[e + 1]) continue;
      parts.push_back(x.narrow(0, offsets[e], offsets[e + 1] - offsets[e]));
      expert.push_back(static_cast<int64_t>(e));
    }
    if (parts.empty()) return nothing(x);
    const auto out = ops::routed_conv(parts, expert, weight_, context_.experts, shape_);
    return out.size() == 1 ? out[0] : at::cat(out, 0);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    return ops::conv2d(rows, weight_.narrow(0, e * context_.out, context_.out), {}, shape_);
  }

 private:
  // No rows: libtorch's convolution refuses an empty batch in some layouts.
  at::Tensor nothing(const at::Tensor& x) const {
    const auto side = [&](int64_t d) {
      return (x.size(d) + 2 * shape_.padding - weight_.size(d)) / shape_.stride + 1;
    };
    return x.new_zeros({0, context_.out, side(2), side(3)});
  }

  ops::ConvShape shape_;
  Context context_;
  at::Tensor weight_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::ConvBank);
