#pragma once
// A case of moe_ffn on a device.
#include "gatewright/kernels/moe_ffn/cuda.h"
#include "tests/support/cuda_cases.h"
#include "tests/support/ffn_case.h"

namespace gw::test {

/// How a case is run.
struct FfnWay {
  bool recompute = false;
  int64_t more_rows = 0;  ///< how much larger than N the bound on the rows is
};

/// A case on a device, forward and backward: answers in the order of run().
template <class T, class Device>
class FfnOnDevice {
 public:
  FfnOnDevice(Device& device, const Case<T>& c)
      : device_(device),
        c_(c),
        x_(device, c.x),
        gate_(device, c.gate),
        up_(device, c.up),
        down_(device, c.down),
        dy_(device, c.dy),
        weight_(device, c.weight),
        gate_bias_(device, c.gate_bias),
        up_bias_(device, c.up_bias),
        down_bias_(device, c.down_bias),
        offsets_(device, c.offsets),
        token_(device, c.token) {}

  FfnProblem<T> problem() const {
    auto p = c_.problem();
    p.offsets = offsets_.data(), p.token = token_.data(), p.weight = weight_.data(), p.x = x_.data();
    const auto side = [](FfnWeight<T>& w, const Array<T, Device>& data, const Array<float, Device>& bias) {
      w = {data.data(), bias.data(), nullptr};
    };
    side(p.up, up_, up_bias_), side(p.down, down_, down_bias_);
    if (c_.s.glu) side(p.gate, gate_, gate_bias_);
    return p;
  }

  Answer run(const FfnWay& way = {}) {
    const auto& s = c_.s;
    const auto n = [](int64_t count) { return static_cast<size_t>(count); };
    const int64_t rows = c_.rows() + way.more_rows;
    const auto p = problem();
    using Sums = Array<float, Device>;
    using Values = Array<T, Device>;
    const Sums y(device_, n(s.tokens * s.out)), dx(device_, n(s.tokens * s.in)), dw(device_, n(c_.rows())),
        dbg(device_, c_.gate_bias.size()), dbu(device_, c_.up_bias.size()), dbd(device_, c_.down_bias.size());
    const Values saved_gate(device_, n(s.glu ? c_.rows() * s.hidden : 0)),
        saved_up(device_, n(c_.rows() * s.hidden)),
        dgate(device_, n(s.glu ? s.experts * s.hidden * s.in : 0)), dup(device_, c_.up.size()),
        ddown(device_, c_.down.size());
    const SavedActivations<T> kept{saved_gate.data(), saved_up.data()};
    kernels::cuda::ffn_forward<T>(device_, p, rows, y.data(), way.recompute ? SavedActivations<T>{} : kept);
    if (way.recompute) kernels::cuda::ffn_recompute<T>(device_, p, rows, kept);
    const FfnGradients<T> to{dx.data(),  dw.data(),    dgate.data(),
                             dup.data(), ddown.data(), s.glu ? dbg.data() : nullptr,
                             dbu.data(), dbd.data()};
    kernels::cuda::ffn_backward<T>(device_, p, rows, {kept.gate, kept.up}, dy_.data(), to);
    return {{"y", wide(y.host())},
            {"dx", wide(dx.host())},
            {"dweight", wide(dw.host())},
            {"dgate", wide(dgate.host())},
            {"dup", wide(dup.host())},
            {"ddown", wide(ddown.host())},
            {"dgate_bias", s.glu ? wide(dbg.host()) : std::vector<double>()},
            {"dup_bias", wide(dbu.host())},
            {"ddown_bias", wide(dbd.host())}};
  }

 private:
  Device& device_;
  const Case<T>& c_;
  Array<T, Device> x_, gate_, up_, down_, dy_;
  Array<float, Device> weight_, gate_bias_, up_bias_, down_bias_;
  Array<int64_t, Device> offsets_, token_;
};

template <class T, class Device>
Answer run_ffn(Device& device, const Case<T>& c, const FfnWay& way = {}) {
  return FfnOnDevice<T, Device>(device, c).run(way);
}

}  // namespace gw::test
