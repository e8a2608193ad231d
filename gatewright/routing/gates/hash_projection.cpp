#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A fixed random direction per expert: a router that cannot collapse by training, because nothing in it
/// trains.
/// Math:   s = P x, P ~ N(0, 1/D) fixed by the seed; the nearest random direction is a locality-sensitive
///         hash of the token.
/// Shapes: x [T, D] → [T, E].
/// Source: Roller et al. 2021, arXiv 2106.04426 hash ids; for tokens without ids, cross-polytope hashing by
///         Andoni et al. 2015, arXiv 1509.02897.
class HashProjection : public Gate {
 public:
  static constexpr const char* kSummary = "fixed random directions, nothing learned";
  static constexpr const char* kSource = "Andoni et al. 2015, arXiv 1509.02897";
  struct Options : OptionSet {};

  HashProjection(const Options&, const Context& context) : width_(context.width) {
    const Rng rng = Rng(context.seed).fork("gates/hash_projection");
    const double deviation = 1.0 / std::sqrt(static_cast<double>(width_));
    weight_ = register_buffer("weight", ops::normal(rng, {context.experts, width_}, 0, deviation));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/hash_projection", x, width_);
    return ops::linear(x, weight_, {});
  }

 private:
  int64_t width_;
  at::Tensor weight_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::HashProjection);
