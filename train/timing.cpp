#include "train/timing.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "ops/frozen.h"
#include "ops/random.h"

namespace gw {

std::vector<double> milliseconds_per_image(const std::vector<Network*>& networks, int64_t batch, int64_t rounds,
                                           const std::function<double()>& now_s) {
  GW_CHECK(batch > 0 && rounds > 0, "timing: expected a batch and rounds of at least 1, got {} and {}", batch, rounds);
  const at::NoGradGuard no_grad;
  const ops::FrozenParameters constant;  // as a server states it: folded weights are compared with their sources once
  std::vector<std::vector<double>> seconds(networks.size());
  std::vector<at::Tensor> images;
  for (auto* network : networks) {
    const auto& s = network->shape();
    images.push_back(ops::uniform(Rng(1), {batch, s.channels, s.height, s.width}, 0, 1).contiguous(at::MemoryFormat::ChannelsLast));
    network->eval();
    for (int warm = 0; warm < 3; ++warm) network->forward(images.back());
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < networks.size(); ++i) {
      const double start = now_s();
      networks[i]->forward(images[i]);
      seconds[i].push_back(now_s() - start);
    }
  }
  std::vector<double> out;
  for (auto& list : seconds) {
    std::nth_element(list.begin(), list.begin() + static_cast<int64_t>(list.size() / 2), list.end());
    out.push_back(list[list.size() / 2] * 1e3 / static_cast<double>(batch));
  }
  return out;
}

}  // namespace gw
