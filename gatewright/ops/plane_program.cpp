#include "gatewright/ops/plane_program.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>

#include "gatewright/base/check.h"
#include "gatewright/ops/plane_steps.h"

namespace gw::ops {
namespace {

constexpr int64_t kSharedMacs = 4'000'000;  // below, one image is done before a second thread has woken up

/// Gives maps their place: a place whose map nobody reads any more goes to the next map of the same shape,
/// whose border is then zero already.
class Places {
 public:
  int64_t take(const PlaneMap& map) {
    auto& free = free_[shape(map)];
    if (free.empty()) return reserve(map.floats());
    const int64_t at = free.back();
    free.pop_back();
    return at;
  }
  void give(const PlaneMap& map) { free_[shape(map)].push_back(map.at); }
  int64_t reserve(int64_t floats) {
    const int64_t at = size_;
    size_ += (floats + 15) / 16 * 16;
    return at;
  }
  int64_t size() const { return size_; }

 private:
  static std::tuple<int64_t, int64_t, int64_t, bool> shape(const PlaneMap& m) {
    return {m.channels, m.height, m.width, m.flat};
  }
  std::map<std::tuple<int64_t, int64_t, int64_t, bool>, std::vector<int64_t>> free_;
  int64_t size_ = 0;
};

/// Which map each tensor of the log became, and when it is read for the last time. A tensor is known by its
/// memory, which the log keeps alive: a flattened view is the same map.
class Maps {
 public:
  Maps(const std::vector<Step>& steps, const at::Tensor& output) {
    for (size_t i = 0; i < steps.size(); ++i) {
      last_[steps[i].x.data_ptr()] = i;
      if (steps[i].other.defined()) last_[steps[i].other.data_ptr()] = i;
      if (steps[i].mixing.defined()) last_[steps[i].mixing.data_ptr()] = i;
    }
    last_[output.data_ptr()] = steps.size();
  }
  void set(const at::Tensor& t, const PlaneMap& map) { map_[t.data_ptr()] = map; }
  PlaneMap get(const at::Tensor& t) const {
    const auto found = map_.find(t.data_ptr());
    GW_CHECK(found != map_.end(),
             "compiled pathway: expected every layer to log its steps, got a tensor {} that none made; run "
             "the network "
             "itself",
             c10::str(t.sizes()));
    return found->second;
  }
  void give_back(const at::Tensor& t, size_t step, Places& places) const {
    if (t.defined() && last_.at(t.data_ptr()) == step) places.give(get(t));
  }

 private:
  std::unordered_map<const void*, PlaneMap> map_;
  std::unordered_map<const void*, size_t> last_;
};

void check_sums(const Step& s, const PlaneMap& out, const PlaneMap& other) {
  const bool same_map = other.height == out.height && other.width == out.width && !other.flat;
  const bool fits =
      s.kind == Step::Kind::kConcatenation ? same_map : same_map && other.channels == out.channels;
  GW_CHECK(fits,
           "compiled pathway: expected maps of one size to be added or joined, got {} and {}; run the "
           "network itself",
           c10::str(s.out.sizes()), c10::str(s.other.sizes()));
}

void copy_in(const at::Tensor& images, int64_t image, const PlaneMap& map, float* to) {
  const float* from = images.data_ptr<float>() + image * images.stride(0);
  const int64_t next = images.stride(3);
  for (int64_t c = 0; c < map.channels; ++c) {
    for (int64_t y = 0; y < map.height; ++y) {
      const float* row = from + c * images.stride(1) + y * images.stride(2);
      float* out = to + c * map.plane() + (y + 1) * map.row() + 1;
      if (next == 1) {
        std::memcpy(out, row, sizeof(float) * static_cast<size_t>(map.width));
      } else {
        for (int64_t x = 0; x < map.width; ++x) out[x] = row[x * next];
      }
    }
  }
}

}  // namespace

/// Memory of one call: an idle one, or new and zero.
class PlaneProgram::Lease {
 public:
  explicit Lease(const PlaneProgram& program) : program_(program), memory_(idle_of(program)) {
    if (memory_.empty()) memory_.resize(static_cast<size_t>(program.group_ * program.image_floats_));
  }
  ~Lease() {
    const std::lock_guard guard(program_.lock_);
    program_.idle_.push_back(std::move(memory_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  float* data() { return memory_.data(); }

 private:
  static std::vector<float> idle_of(const PlaneProgram& program) {
    const std::lock_guard guard(program.lock_);
    if (program.idle_.empty()) return {};
    auto memory = std::move(program.idle_.back());
    program.idle_.pop_back();
    return memory;
  }

  const PlaneProgram& program_;
  std::vector<float> memory_;
};

PlaneProgram::~PlaneProgram() = default;

PlaneProgram::PlaneProgram(const StepLog& log, const at::Tensor& input, const at::Tensor& output)
    : channels_(input.size(1)), height_(input.size(2)), width_(input.size(3)) {
  GW_CHECK(input.scalar_type() == at::kFloat, "compiled pathway: expected a network in f32, got {}",
           c10::toString(input.scalar_type()));
  const auto& steps = log.steps();
  Places places;
  Maps maps(steps, output);
  PlaneMap images{channels_, height_, width_};
  input_at_ = images.at = places.reserve(images.floats());
  maps.set(input, images);
  int64_t weights = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    PlaneOperands o;
    o.x = maps.get(s.x);
    o.out = plane_result(s, o.x);
    o.out.at = places.take(o.out);
    if (s.other.defined()) check_sums(s, o.out, o.other = maps.get(s.other));
    if (s.mixing.defined()) o.mixing = maps.get(s.mixing);
    if (const int64_t own = plane_scratch(s, o.x); own > 0) o.scratch = places.reserve(own);
    maps.set(s.out, o.out);
    maps.give_back(s.x, i, places);
    if (s.other.defined() && s.other.data_ptr() != s.x.data_ptr()) maps.give_back(s.other, i, places);
    maps.give_back(s.mixing, i, places);
    macs_ += plane_macs(s, o.out);
    if (s.weight.defined()) weights += s.weight.numel();
    // Kernels of many experts are read once for four images: 8 % less time at 16 channels, 2 % at 12.
    if (s.mixing.defined()) group_ = 4;
    steps_.push_back(make_plane_step(s, o));
  }
  const PlaneMap answer = maps.get(output);
  GW_CHECK(
      answer.flat && answer.channels == output.size(1),
      "compiled pathway: expected a network that answers rows of {} values, got maps; run the network itself",
      output.size(1));
  output_at_ = answer.at, outputs_ = answer.channels, image_floats_ = places.size();
  if (weights * 4 > int64_t{1} << 20)
    group_ = 8;  // weights that no second cache holds are read once for 8 images
}

void PlaneProgram::run_group(const at::Tensor& images, const int64_t* row, int64_t count, float* out,
                             float* memory, kernels::ThreadPool* pool) const {
  const PlaneMap map{channels_, height_, width_};
  const PlaneFrame frame{memory, count, image_floats_, pool};
  for (int64_t i = 0; i < count; ++i) copy_in(images, row[i], map, frame.at(i, input_at_));
  for (const auto& step : steps_) step->run(frame);
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(out + row[i] * outputs_, frame.at(i, output_at_),
                sizeof(float) * static_cast<size_t>(outputs_));
}

void PlaneProgram::run(const at::Tensor& images, const int64_t* row, int64_t count, float* out,
                       kernels::ThreadPool& pool) const {
  if (count == 0) return;
  const int64_t workers = pool.workers(),
                group = std::clamp<int64_t>((count + workers - 1) / workers, 1, group_);
  const int64_t groups = (count + group - 1) / group;
  const bool shared = workers > 1 && count * macs_ > kSharedMacs;
  const auto work = [&](int64_t g, int) {
    Lease lease(*this);
    run_group(images, row + g * group, std::min(group, count - g * group), out, lease.data(),
              shared && groups == 1 ? &pool : nullptr);
  };
  if (shared && groups > 1) return pool.run(groups, work);
  for (int64_t g = 0; g < groups; ++g) work(g, 0);
}

}  // namespace gw::ops
