// Fashion-MNIST: 60 000 + 10 000 grey images of clothes, 28 x 28, ten classes, four IDX files.
#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/idx.h"
#include "gatewright/data/locate.h"

namespace {

constexpr int64_t kFashionSide = 28, kFashionClasses = 10;
constexpr uint64_t kFashionLimit_bytes = uint64_t{256} << 20;  // five times the larger file (47 MB)
const std::vector<std::string> kFiles = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

class FashionMnist : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path;
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path,
             "directory of the four IDX files; empty: $GATEWRIGHT_DATA/fashion-mnist, then "
             "/usr/share/datasets/fashion-mnist");
    }
  };
  static constexpr const char* kSummary = "70 000 grey images of clothes, 28 x 28, ten classes";
  static constexpr const char* kSource = "Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747";

  FashionMnist(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto place = gw::find_dataset(options_.path, "fashion-mnist", kFiles);
    if (place.directory.empty()) throw gw::IoError("datasets/fashion_mnist: " + missing());
    gw::TaskData data;
    data.train = read(place.directory, kFiles[0], kFiles[1]);
    data.test = read(place.directory, kFiles[2], kFiles[3]);
    data.classes = kFashionClasses;
    data.class_names = {"t-shirt", "trouser", "pullover", "dress", "coat",
                        "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
    data.origin = place.directory;
    return data;
  }

  std::string missing() override {
    const auto place = gw::find_dataset(options_.path, "fashion-mnist", kFiles);
    if (!place.directory.empty()) return "";
    return place.missing +
           "; install Debian's package dataset-fashion-mnist, or give the directory as \"path\" or its "
           "parent as GATEWRIGHT_DATA";
  }

 private:
  static gw::TensorSet read(const std::string& directory, const std::string& image_file,
                            const std::string& label_file) {
    const std::string image_path = gw::dataset_file(directory, image_file),
                      label_path = gw::dataset_file(directory, label_file);
    const at::Tensor images = gw::load_idx(image_path, 3, kFashionLimit_bytes),
                     labels = gw::load_idx(label_path, 1, kFashionLimit_bytes);
    GW_CHECK(images.size(1) == kFashionSide && images.size(2) == kFashionSide,
             "datasets/fashion_mnist: expected images of {} x {} in \"{}\", got {} x {}", kFashionSide,
             kFashionSide, image_path, images.size(1), images.size(2));
    GW_CHECK(images.size(0) == labels.size(0),
             "datasets/fashion_mnist: expected as many labels as images, got {} labels in \"{}\" and {} "
             "images in \"{}\"",
             labels.size(0), label_path, images.size(0), image_path);
    const auto* label = labels.data_ptr<uint8_t>();
    for (int64_t i = 0; i < labels.size(0); ++i) {
      GW_CHECK(label[i] < kFashionClasses,
               "datasets/fashion_mnist: expected labels below {} in \"{}\", got {} at image {}",
               kFashionClasses, label_path, label[i], i);
    }
    return gw::labelled_images(images.unsqueeze(1), labels.to(at::kLong));
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, FashionMnist);
