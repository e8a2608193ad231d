#include "gatewright/train/robust/confusion.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/network_victim.h"

namespace gw::inline train {

at::Tensor attacked_confusion(Network& network, const TensorSet& set, const PartChoice& attack,
                              double epsilon, const Rng& rng, const Tick& tick) {
  constexpr int64_t kBatch = 250;  // as evaluations have it
  const auto part = make_chosen<Attack>(attack, {epsilon});
  network.eval();
  const Loader loader(set, kBatch, {}, false, rng);
  const int64_t classes = network.shape().classes;
  auto counts = at::zeros({classes * classes}, at::kDouble);
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    const ops::FrozenParameters constant;
    NetworkVictim victim(network);
    const auto found =
        part->run(victim, batch.at("image"), batch.at("label"), rng.fork("attack", static_cast<uint64_t>(b)));
    const at::NoGradGuard no_grad;
    const auto told = network.forward(found.images).logits.argmax(1);
    counts += at::bincount(batch.at("label") * classes + told, {}, classes * classes).to(at::kDouble);
    if (tick) tick(std::min((b + 1) * kBatch, set.size()), set.size());
  }
  return counts.view({classes, classes});
}

}  // namespace gw::inline train
