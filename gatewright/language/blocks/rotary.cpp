#include "gatewright/language/blocks/rotary.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

constexpr double kTau = 6.283185307179586;

double yarn_attention(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

}  // namespace

void RotaryOptions::fields(OptionVisitor& v) {
  v.real("base", base, "θ: the slowest pair takes about θ·2π tokens for a turn", 1, 1e12);
  v.flag("interleaved", interleaved, "pairs are neighbours instead of the two halves of a head");
  v.text("scaling", scaling, "how positions are stretched to texts longer than the training's",
         {"none", "linear", "llama3", "yarn", "longrope"});
  v.real("factor", factor, "how many times longer", 1, 1e6);
  v.integer("original", original, "longest text of the first training, in tokens", 0, int64_t{1} << 40);
  v.real("low", low, "llama3: waves longer than original / low are stretched whole", 0, 1e6);
  v.real("high", high, "llama3: waves shorter than original / high are not", 0, 1e6);
  v.real("beta_fast", beta_fast, "yarn: pairs of more turns within the original length stay", 0, 1e6);
  v.real("beta_slow", beta_slow, "yarn: pairs of fewer are stretched whole", 0, 1e6);
  v.flag("truncate", truncate, "yarn: whole pairs bound the blend");
  v.real("attention", attention, "yarn, longrope: factor of both rotated values; 0: the paper's", 0, 1e6);
  v.real("mscale", mscale, "yarn of DeepSeek: of the rotated values", 0, 1e6);
  v.real("mscale_all", mscale_all, "yarn of DeepSeek: of the scores", 0, 1e6);
  v.reals("short_factor", short_factor, "longrope: divisors up to the original length", 0, 1e9);
  v.reals("long_factor", long_factor, "longrope: divisors beyond it", 0, 1e9);
  v.real("short_attention", short_attention, "longrope of PhiMoE: attention up to the original length", 0,
         1e6);
  v.real("long_attention", long_attention, "longrope of PhiMoE: attention beyond it", 0, 1e6);
}

Rotary::Rotary(int64_t width, const RotaryOptions& options) : width_(width), options_(options) {
  GW_CHECK(width > 0 && width % 2 == 0, "rotary: expected an even width of a head, got {}", width);
  for (int64_t j = 0; j < width / 2; ++j)
    frequency_.push_back(std::pow(options.base, -2.0 * static_cast<double>(j) / static_cast<double>(width)));
  stretch();
}

void Rotary::stretch() {
  const auto& kind = options_.scaling;
  if (kind == "linear")
    for (auto& f : frequency_) f /= options_.factor;
  else if (kind == "llama3")
    stretch_llama3();
  else if (kind == "yarn")
    stretch_yarn();
  else if (kind == "longrope")
    stretch_longrope();
  else
    GW_CHECK(kind == "none", "rotary: expected scaling none, linear, llama3, yarn or longrope, got \"{}\"",
             kind);
}

void Rotary::stretch_llama3() {
  const auto& o = options_;
  GW_CHECK(o.original > 0 && o.high > o.low,
           "rotary: expected the original length and high above low for llama3, got {}, {} and {}",
           o.original, o.high, o.low);
  const auto original = static_cast<double>(o.original);
  for (auto& f : frequency_) {
    const double turns = original * f / kTau;
    const double kept = std::clamp((turns - o.low) / (o.high - o.low), 0.0, 1.0);
    f = (1 - kept) * f / o.factor + kept * f;
  }
}

void Rotary::stretch_yarn() {
  const auto& o = options_;
  GW_CHECK(o.original > 0, "rotary: expected the original length for yarn, got none");
  const auto width = static_cast<double>(width_);
  const auto pair_of = [&](double turns) {
    return width * std::log(static_cast<double>(o.original) / (turns * kTau)) / (2 * std::log(o.base));
  };
  double low = pair_of(o.beta_fast), high = pair_of(o.beta_slow);
  if (o.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, width - 1);
  if (low == high) high += 0.001;
  for (size_t j = 0; j < frequency_.size(); ++j) {
    const double stretched = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
    frequency_[j] = frequency_[j] / o.factor * stretched + frequency_[j] * (1 - stretched);
  }
  if (o.attention > 0)
    attention_ = o.attention;
  else if (o.mscale > 0 && o.mscale_all > 0)
    attention_ = yarn_attention(o.factor, o.mscale) / yarn_attention(o.factor, o.mscale_all);
  else
    attention_ = yarn_attention(o.factor, 1);
  attention_beyond_ = attention_;
}

void Rotary::stretch_longrope() {
  const auto& o = options_;
  const auto pairs = frequency_.size();
  GW_CHECK(
      o.original > 0 && o.short_factor.size() == pairs && o.long_factor.size() == pairs,
      "rotary: expected the original length and {} short and long factors for longrope, got {}, {} and {}",
      pairs, o.original, o.short_factor.size(), o.long_factor.size());
  beyond_ = frequency_;
  for (size_t j = 0; j < pairs; ++j) frequency_[j] /= o.short_factor[j], beyond_[j] /= o.long_factor[j];
  double same = o.attention;
  if (same <= 0 && o.factor > 1)
    same = std::sqrt(1 + std::log(o.factor) / std::log(static_cast<double>(o.original)));
  attention_ = o.short_attention > 0 ? o.short_attention : same > 0 ? same : 1;
  attention_beyond_ = o.long_attention > 0 ? o.long_attention : same > 0 ? same : 1;
}

Rotary::Angles Rotary::angles(const at::Tensor& position, int64_t length) const {
  const bool beyond = !beyond_.empty() && length > options_.original;
  const auto& f = beyond ? beyond_ : frequency_;
  const double scale = beyond ? attention_beyond_ : attention_;
  const auto places = position.to(at::kLong).contiguous();
  const auto pairs = static_cast<int64_t>(f.size());
  Angles out{at::empty({places.numel(), pairs}), at::empty({places.numel(), pairs})};
  auto *cos = out.cos.data_ptr<float>(), *sin = out.sin.data_ptr<float>();
  const auto* place = places.data_ptr<int64_t>();
  at::parallel_for(0, places.numel(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * pairs; i < end * pairs; ++i) {
      // In f64: at position 10⁵ an f32 product is wrong by 0.004 rad.
      const double angle = static_cast<double>(place[i / pairs]) * f[static_cast<size_t>(i % pairs)];
      cos[i] = static_cast<float>(std::cos(angle) * scale),
      sin[i] = static_cast<float>(std::sin(angle) * scale);
    }
  });
  return out;
}

at::Tensor Rotary::by_rows(const at::Tensor& given, const Angles& angles) const {
  const auto x = given.contiguous();
  const auto y = at::empty_like(x);
  const int64_t heads = x.size(1), half = width_ / 2, apart = options_.interleaved ? 1 : half;
  const int64_t step = options_.interleaved ? 2 : 1;
  const auto *from = x.data_ptr<float>(), *cos = angles.cos.data_ptr<float>(),
             *sin = angles.sin.data_ptr<float>();
  auto* to = y.data_ptr<float>();
  at::parallel_for(0, x.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * heads; row < end * heads; ++row) {
      const float *a = from + row * width_, *c = cos + row / heads * half, *s = sin + row / heads * half;
      float* out = to + row * width_;
      for (int64_t j = 0; j < half; ++j) {
        const float first = a[j * step], second = a[j * step + apart];
        out[j * step] = first * c[j] - second * s[j], out[j * step + apart] = second * c[j] + first * s[j];
      }
    }
  });
  return y;
}

at::Tensor Rotary::rotate(const at::Tensor& x, const Angles& angles) const {
  GW_CHECK(x.dim() == 3 && x.size(2) == width_, "rotary: expected heads [N, H, {}], got {} dimensions",
           width_, x.dim());
  if (!at::GradMode::is_enabled() && x.scalar_type() == at::kFloat) return by_rows(x, angles);
  const auto wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const auto cos = angles.cos.unsqueeze(1).to(wide.scalar_type()),
             sin = angles.sin.unsqueeze(1).to(wide.scalar_type());
  const int64_t half = width_ / 2;
  const auto part = [&](int64_t which) {
    return options_.interleaved ? wide.slice(2, which, c10::nullopt, 2) : wide.narrow(2, which * half, half);
  };
  const auto a = part(0), b = part(1);
  const auto first = a * cos - b * sin, second = b * cos + a * sin;
  const auto turned =
      options_.interleaved ? at::stack({first, second}, 3).flatten(2) : at::cat({first, second}, 2);
  return turned.to(x.scalar_type());
}

double Rotary::score_scale() const {
  if (options_.scaling != "yarn" || options_.mscale_all <= 0) return 1;
  const double m = yarn_attention(options_.factor, options_.mscale_all);
  return m * m;
}

}  // namespace gw::inline language
