#include "gatewright/train/order.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

constexpr const char* kRows = "rows";

}  // namespace

void EpochOrder::arrange(Loader& loader, const EpochStart& start) {
  if (order_ == nullptr || epoch_ == start.epoch) return;
  auto rows = order_->rows(start);
  if (order_->asks_model()) rows_ = rows;
  loader.arrange(start.epoch, std::move(rows));
  epoch_ = start.epoch;
}

std::map<std::string, at::Tensor> EpochOrder::state() const {
  if (rows_.empty()) return {};
  return {{kRows, at::tensor(rows_, at::kLong)}};
}

void EpochOrder::load_state(Loader& loader, int64_t epoch, const std::map<std::string, at::Tensor>& state) {
  if (order_ == nullptr || !order_->asks_model()) return;
  const auto it = state.find(kRows);
  GW_CHECK(it != state.end() && it->second.scalar_type() == at::kLong && it->second.dim() == 1,
           "train: expected the order of the epoch in its checkpoint, got none; train again");
  const auto rows = it->second.contiguous();
  rows_.assign(rows.data_ptr<int64_t>(), rows.data_ptr<int64_t>() + rows.numel());
  loader.arrange(epoch, rows_);
  epoch_ = epoch;
}

}  // namespace gw::inline train
