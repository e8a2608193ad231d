#include "gatewright/data/stream.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"

namespace gw::inline data {
namespace {

/// Windows of the rows `rows`, cut as they come.
void cut(const at::Tensor& rows, int64_t size, StreamWindow window, std::vector<StreamWindow>& out) {
  for (int64_t first = 0; first < rows.numel(); first += size) {
    window.index = rows.narrow(0, first, std::min(size, rows.numel() - first)).clone();
    out.push_back(window);
  }
}

int64_t domain_at(const TensorSet& set, int64_t row) {
  return set.has("domain") ? set.at("domain")[row].item<int64_t>() : -1;
}

}  // namespace

void check_time_order(const TensorSet& set) {
  const auto times = set.find("time");
  GW_CHECK(times.defined(),
           "stream: expected rows with the field \"time\", got none; take drift_stream, "
           "table_stream or image_tasks");
  GW_CHECK(times.dim() == 1 && times.scalar_type() == at::kDouble,
           "stream: expected times [n] of type float64, got something else");
  const auto list = times.contiguous();
  const auto* time = list.data_ptr<double>();
  for (int64_t i = 0; i < list.numel(); ++i) {
    GW_CHECK(std::isfinite(time[i]), "stream: expected finite times, got {} at row {}", time[i], i);
    GW_CHECK(i == 0 || time[i] >= time[i - 1],
             "stream: time order broken: expected times that do not go back, got {:.15g} at row {} after "
             "{:.15g} at row {}; sort the rows by time (table_stream: sort = true)",
             time[i], i, time[i - 1], i - 1);
  }
}

std::vector<int64_t> domain_changes(const TensorSet& set) {
  std::vector<int64_t> changes;
  if (!set.has("domain")) return changes;
  const auto list = set.at("domain").contiguous();
  const auto* domain = list.data_ptr<int64_t>();
  for (int64_t i = 1; i < list.numel(); ++i) {
    if (domain[i] != domain[i - 1]) changes.push_back(i);
  }
  return changes;
}

std::vector<StreamWindow> stream_windows(const TensorSet& set, int64_t size, bool tasks, int64_t passes,
                                         const Rng& rng) {
  check_time_order(set);
  GW_CHECK(tasks || passes == 1,
           "stream: expected passes = 1 of a stream without tasks, got {}; rows that come back are no "
           "stream, set tasks = true",
           passes);
  GW_CHECK(!tasks || set.has("domain"),
           "stream: expected rows with the field \"domain\" for tasks = true, got none");
  std::vector<StreamWindow> out;
  if (!tasks) {
    cut(at::arange(set.size(), at::kLong), size, {}, out);
    for (auto& window : out) window.domain = domain_at(set, window.index[0].item<int64_t>());
    return out;
  }
  auto bounds = domain_changes(set);
  bounds.insert(bounds.begin(), 0), bounds.push_back(set.size());
  for (size_t task = 0; task + 1 < bounds.size(); ++task) {
    const int64_t count = bounds[task + 1] - bounds[task];
    for (int64_t pass = 0; pass < passes; ++pass) {
      const auto draws = rng.fork("task", task).fork("pass", static_cast<uint64_t>(pass));
      const auto rows =
          pass == 0 ? at::arange(count, at::kLong) : at::tensor(draws.permutation(count), at::kLong);
      cut(rows + bounds[task], size, {{}, domain_at(set, bounds[task]), pass}, out);
    }
    out.back().last = true;
  }
  return out;
}

Batch window_batch(const TensorSet& set, const StreamWindow& window) {
  const Loader loader(set.rows(window.index), window.index.numel(), {}, false, Rng(0));
  auto batch = loader.get(0, 0);
  batch.index = window.index;
  return batch;
}

}  // namespace gw::inline data
