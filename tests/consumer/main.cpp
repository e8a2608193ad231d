// Uses the installed library: tensors, the catalogues, and a part of its own registered from the outside.
#include <ATen/ATen.h>

#include <cstdio>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace gw {
namespace {

/// One grey pixel per class: what a user's own dataset file looks like.
class Pixels : public Dataset {
 public:
  struct Options : OptionSet {
    int64_t classes = 2;
    void fields(OptionVisitor& v) override { v.integer("classes", classes, "how many", 1, 255); }
  };
  static constexpr const char* kSummary = "One pixel per class.";
  static constexpr const char* kSource = "";
  Pixels(Options options, const Context&) : classes_(options.classes) {}
  TaskData load() override {
    TaskData data;
    data.train = data.test = labelled_images(at::arange(classes_, at::kByte).reshape({classes_, 1, 1, 1}),
                                             at::arange(classes_, at::kLong));
    data.classes = classes_, data.origin = "made up";
    return data;
  }
  std::string missing() override { return ""; }

 private:
  int64_t classes_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Dataset, Pixels);

int main() {
  const auto uniform = gw::ops::uniform(gw::Rng(1), {1000}, 0, 1);
  if (!(uniform.min().item<double>() >= 0 && uniform.max().item<double>() < 1)) return 1;
  const auto data = gw::make_part<gw::Dataset>("main", {{"classes", 3}}, {})->load();
  if (data.train.size() != 3) return 2;
  try {
    gw::make_part<gw::Dataset>("main", {{"clases", 3}}, {});
    return 3;
  } catch (const gw::ValueError& error) {
    if (std::string(error.what()).find("did you mean \"classes\"?") == std::string::npos) return 4;
  }
  std::puts("consumer: ok");
  return 0;
}
