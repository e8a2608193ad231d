// Gratings with a class-dependent direction and wavelength and a random phase: for tests that need a task and
// no files.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"

namespace {

constexpr double kPi = 3.14159265358979323846;

/// What a class looks like.
struct Pattern {
  double fx, fy;         ///< radians per pixel
  double channel_phase;  ///< radians between neighbouring channels
};

class Synthetic : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t classes = 10, channels = 1, height = 16, width = 16, train = 512, test = 256, seed = 0;
    double noise = 0.1;
    void fields(gw::OptionVisitor& v) override {
      v.integer("classes", classes, "classes", 2, 100);
      v.integer("channels", channels, "channels", 1, 16);
      v.integer("height", height, "pixels", 4, 256);
      v.integer("width", width, "pixels", 4, 256);
      v.integer("train", train, "training images, classes in turn", 1, 1000000);
      v.integer("test", test, "test images, classes in turn", 1, 1000000);
      v.real("noise", noise, "deviation of the noise on every pixel, in units of the brightness range", 0, 1);
      v.integer("seed", seed, "seed", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary =
      "gratings of random phase, one direction and wavelength per class, with noise";
  static constexpr const char* kSource = "";

  Synthetic(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const gw::Rng rng(static_cast<uint64_t>(options_.seed));
    gw::TaskData data;
    data.train = draw(rng.fork("train"), options_.train);
    data.test = draw(rng.fork("test"), options_.test);
    data.classes = options_.classes;
    for (int64_t i = 0; i < options_.classes; ++i) data.class_names.push_back("grating " + std::to_string(i));
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  /// Directions split half a turn; above five classes two wavelengths share them, so that neighbours stay
  /// apart.
  Pattern pattern_of(int64_t label) const {
    const int64_t wavelengths = options_.classes > 5 ? 2 : 1;
    const int64_t directions = (options_.classes + wavelengths - 1) / wavelengths;
    const double angle = kPi * static_cast<double>(label % directions) / static_cast<double>(directions);
    const double frequency = 2 * kPi / (label < directions ? 4.0 : 8.0);
    return {frequency * std::cos(angle), frequency * std::sin(angle),
            2 * kPi * static_cast<double>(label) / static_cast<double>(options_.classes)};
  }

  gw::TensorSet draw(const gw::Rng& rng, int64_t count) const {
    const auto images = at::empty({count, options_.channels, options_.height, options_.width}, at::kByte),
               label = at::empty({count}, at::kLong);
    auto* pixels = images.data_ptr<uint8_t>();
    auto* labels = label.data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      labels[i] = i % options_.classes;
      draw_image(rng.fork("image", static_cast<uint64_t>(i)), labels[i],
                 pixels + i * options_.channels * options_.height * options_.width);
    }
    return gw::labelled_images(images, label);
  }

  /// The phase is uniform, so the negative of an image is as likely as the image: a linear score that favours
  /// one disfavours the other, and a linear classifier stays below one half. Direction and wavelength show in
  /// the energy of small filters, which one convolution with a rectifier sees.
  void draw_image(const gw::Rng& rng, int64_t label, uint8_t* out) const {
    const Pattern pattern = pattern_of(label);
    const double phase = 2 * kPi * rng.uniform(0), contrast = 0.25 + 0.2 * rng.uniform(1);
    uint64_t draws = 2;
    for (int64_t c = 0; c < options_.channels; ++c) {
      const double start = phase + pattern.channel_phase * static_cast<double>(c);
      for (int64_t y = 0; y < options_.height; ++y) {
        for (int64_t x = 0; x < options_.width; ++x) {
          const double wave =
              std::sin(pattern.fx * static_cast<double>(x) + pattern.fy * static_cast<double>(y) + start);
          const double value = 0.5 + contrast * wave + options_.noise * bell(rng, draws);
          *out++ = static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
          draws += 4;
        }
      }
    }
  }

  /// Nearly normal with deviation 1: four uniforms have variance 4/12.
  static double bell(const gw::Rng& rng, uint64_t i) {
    return (rng.uniform(i) + rng.uniform(i + 1) + rng.uniform(i + 2) + rng.uniform(i + 3) - 2) *
           1.7320508075688772;
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Synthetic);
