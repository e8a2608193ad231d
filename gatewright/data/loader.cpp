#include "gatewright/data/loader.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <mutex>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline data {
namespace {

/// Where an image is read from: a shift by whole pixels, what falls outside is zero; then a mirror.
struct Shift {
  int64_t dy = 0, dx = 0;
  bool flip = false;
};

/// Three draws per image of the set, so that they depend on nothing but its position.
Shift shift_of(const Rng& rng, const AugmentOptions& augment, int64_t position) {
  const uint64_t draw = 3 * static_cast<uint64_t>(position);
  Shift shift;
  if (augment.pad > 0) {
    const uint64_t places = 2 * static_cast<uint64_t>(augment.pad) + 1;
    shift.dy = static_cast<int64_t>(rng.below(draw, places)) - augment.pad;
    shift.dx = static_cast<int64_t>(rng.below(draw + 1, places)) - augment.pad;
  }
  shift.flip = augment.flip && (rng.bits(draw + 2) >> 63) != 0;
  return shift;
}

/// v / 255 for every byte: exact as the division is, and faster than it.
const std::array<float, 256>& fractions() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 255.0f;
    return values;
  }();
  return table;
}

/// One image: planes [C, H, W] of bytes → pixels [H, W, C] of floats.
void convert(const uint8_t* in, float* out, int64_t channels, int64_t height, int64_t width,
             const Shift& shift) {
  const auto& fraction = fractions();
  // Columns that have a source.
  const int64_t from = std::clamp<int64_t>(-shift.dx, 0, width),
                to = std::clamp<int64_t>(width - shift.dx, 0, width);
  for (int64_t y = 0; y < height; ++y) {
    float* row = out + y * width * channels;
    const int64_t source_y = y + shift.dy;
    const bool outside = source_y < 0 || source_y >= height;
    if (outside || from > 0 || to < width)
      std::memset(row, 0, static_cast<size_t>(width * channels) * sizeof(float));
    if (outside) continue;
    for (int64_t c = 0; c < channels; ++c) {
      const uint8_t* source = in + (c * height + source_y) * width;
      if (shift.flip) {
        for (int64_t x = from; x < to; ++x)
          row[(width - 1 - x) * channels + c] = fraction[source[x + shift.dx]];
      } else {
        for (int64_t x = from; x < to; ++x) row[x * channels + c] = fraction[source[x + shift.dx]];
      }
    }
  }
}

}  // namespace

/// The order of the last epoch asked for: 60 000 images take 0.5 ms to permute, as long as a batch takes to
/// convert. And what is read ahead.
struct Loader::Order {
  std::mutex mutex;
  int64_t epoch = -1;
  std::vector<int64_t> order;
  std::pair<int64_t, int64_t> ahead_of{-1, -1};  ///< epoch and batch
  std::future<at::Tensor> ahead;
};

namespace {

/// Bytes [n, C, H, W] of the images with these numbers [n].
at::Tensor read_planes(const ImageSource& source, const at::Tensor& numbers, bool by_all_threads) {
  const auto& shape = source.shape();
  const int64_t count = numbers.size(0);
  auto planes = at::empty({count, shape.channels, shape.height, shape.width}, at::kByte);
  const auto* number = numbers.data_ptr<int64_t>();
  auto* out = planes.data_ptr<uint8_t>();
  const auto read = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) source.read(number[i], out + i * shape.bytes());
  };
  by_all_threads ? at::parallel_for(0, count, 1, read) : read(0, count);
  return planes;
}

}  // namespace

Loader::Loader(TensorSet set, int64_t batch, AugmentOptions augment, bool shuffle, Rng rng)
    : set_(std::move(set)),
      batch_(batch),
      augment_(augment),
      shuffle_(shuffle),
      rng_(rng),
      order_(std::make_shared<Order>()) {
  GW_CHECK(batch_ >= 1, "loader: expected a batch of at least 1 example, got {}", batch_);
  GW_CHECK(augment_.pad >= 0, "loader: expected a padding of at least 0 pixels, got {}", augment_.pad);
  set_.check("loader");
  GW_CHECK(set_.size() > 0, "loader: expected at least one example, got an empty set");
  const auto image = set_.find("image");
  const bool numbers = set_.images && image.defined() && image.dim() == 1 && image.scalar_type() == at::kLong;
  GW_CHECK(numbers || !image.defined() ||
               (image.dim() == 4 && image.numel() > 0 && image.scalar_type() == at::kByte),
           "loader: expected images [n, C, H, W] of type uint8, got something else");
  GW_CHECK(image.defined() || (augment_.pad == 0 && !augment_.flip),
           "loader: expected images for augmentation, got a set without; leave \"augment\" out");
  for (auto& item : set_.fields) item.second = item.second.contiguous();
}

int64_t Loader::batches() const {
  const int64_t whole = set_.size() / batch_, rest = set_.size() % batch_;
  const bool dropped = shuffle_ && rest == 1 && whole > 0;
  return whole + (rest > 0 && !dropped ? 1 : 0);
}

at::Tensor Loader::positions(int64_t epoch, int64_t first, int64_t count) const {
  if (!shuffle_) return at::arange(first, first + count, at::kLong);
  at::Tensor index = at::empty({count}, at::kLong);
  const std::lock_guard<std::mutex> lock(order_->mutex);
  if (order_->epoch != epoch) {
    order_->order = rng_.fork("order", static_cast<uint64_t>(epoch)).permutation(set_.size());
    order_->epoch = epoch;
  }
  std::copy_n(order_->order.begin() + first, count, index.data_ptr<int64_t>());
  return index;
}

at::Tensor Loader::planes(const at::Tensor& index, int64_t epoch, int64_t batch) const {
  std::future<at::Tensor> ahead;
  {
    const std::lock_guard<std::mutex> lock(order_->mutex);
    if (order_->ahead_of == std::pair(epoch, batch)) ahead = std::move(order_->ahead);
  }
  auto planes =
      ahead.valid() ? ahead.get() : read_planes(*set_.images, set_.at("image").index_select(0, index), true);
  read_ahead(epoch, batch + 1);
  return planes;
}

void Loader::read_ahead(int64_t epoch, int64_t batch) const {
  if (batch >= batches()) return;
  const int64_t first = batch * batch_;
  auto numbers =
      set_.at("image").index_select(0, positions(epoch, first, std::min(batch_, set_.size() - first)));
  auto next = std::async(std::launch::async, [source = set_.images, numbers = std::move(numbers)] {
    return read_planes(*source, numbers, false);
  });
  const std::lock_guard<std::mutex> lock(order_->mutex);
  // What nobody asked for is waited for here, by the assignment.
  order_->ahead_of = {epoch, batch}, order_->ahead = std::move(next);
}

at::Tensor Loader::images(const at::Tensor& positions, int64_t epoch, int64_t batch) const {
  const bool read = set_.images != nullptr;
  const auto set = read ? planes(positions, epoch, batch) : set_.at("image");
  const int64_t count = positions.size(0), channels = set.size(1), height = set.size(2), width = set.size(3);
  auto images = at::empty({count, channels, height, width},
                          at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
  const Rng rng = rng_.fork("augment", static_cast<uint64_t>(epoch));
  const auto* index = positions.data_ptr<int64_t>();
  const auto* in = set.data_ptr<uint8_t>();
  auto* out = images.data_ptr<float>();
  const int64_t size = channels * height * width;
  // A million pixels take 0.4 ms in one thread; waking a second one costs as much, and 10 ms where another
  // program has its core.
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 20) / size);
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      convert(in + (read ? b : index[b]) * size, out + b * size, channels, height, width,
              shift_of(rng, augment_, index[b]));
    }
  });
  return images;
}

void Loader::arrange(int64_t epoch, std::vector<int64_t> rows) {
  const int64_t n = set_.size();
  GW_CHECK(shuffle_ && static_cast<int64_t>(rows.size()) == n &&
               std::all_of(rows.begin(), rows.end(), [&](int64_t row) { return row >= 0 && row < n; }),
           "loader: expected {} rows of the set for an epoch, got {} or others", n, rows.size());
  const std::lock_guard<std::mutex> lock(order_->mutex);
  order_->order = std::move(rows), order_->epoch = epoch;
  order_->ahead_of = {-1, -1};
}

Batch Loader::get(int64_t epoch, int64_t batch) const {
  GW_CHECK(epoch >= 0, "loader: expected an epoch of at least 0, got {}", epoch);
  GW_CHECK(batch >= 0 && batch < batches(), "loader: expected a batch below {}, got {}", batches(), batch);
  const int64_t first = batch * batch_, count = std::min(batch_, set_.size() - first);
  Batch result;
  result.index = positions(epoch, first, count);
  result.common = set_.common;
  for (const auto& [name, field] : set_.fields) {
    result.fields[name] =
        name == "image" ? images(result.index, epoch, batch) : field.index_select(0, result.index);
  }
  return result;
}

}  // namespace gw::inline data
