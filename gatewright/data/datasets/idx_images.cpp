// Images of one's own in the format of MNIST, of any size: four IDX files.
#include <ATen/ops/bincount.h>
#include <c10/util/StringUtil.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/idx.h"
#include "gatewright/data/locate.h"

namespace {

const std::vector<std::string> kIdxFiles = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/// Images [n, H, W] (grey) or [n, C, H, W], C = 1 or 3; labels [n]. MNIST's names of the files are the
/// default; the number of classes is the largest label and one.
/// Errors: ValueError for another number of dimensions or channels, for training and test images of different
///         shapes, for as many labels as there are not images, and for a class without a training image.
class IdxImages : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string path;
    std::vector<std::string> files = kIdxFiles, class_names;
    double limit_gb = 8;
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path, "directory of the four IDX files, plain or gzip");
      v.texts("files", files, "training images and labels, test images and labels");
      v.texts("class_names", class_names, "what the labels are called; empty: numbers");
      v.real("limit_gb", limit_gb, "most memory for a file's content, in GiB", 0, 1e6);
    }
  };
  static constexpr const char* kSummary = "images of any size in four IDX files, the format of MNIST";
  static constexpr const char* kSource = "LeCun, Cortes, Burges, The MNIST database of handwritten digits";

  IdxImages(Options options, const Context&) : options_(std::move(options)) {
    GW_CHECK(options_.files.size() == 4,
             "datasets/idx_images: expected 4 \"files\", training images and labels, test images and labels, "
             "got {}",
             options_.files.size());
  }

  gw::TaskData load() override {
    const auto absent = missing();
    if (!absent.empty()) throw gw::IoError("datasets/idx_images: " + absent);
    gw::TaskData data;
    data.train = read(options_.files[0], options_.files[1]);
    data.test = read(options_.files[2], options_.files[3]);
    const auto own = data.train.at("image").sizes().slice(1), other = data.test.at("image").sizes().slice(1);
    GW_CHECK(own == other,
             "datasets/idx_images: expected test images of {} x {} x {}, as in training, got {} x {} x {}",
             own[0], own[1], own[2], other[0], other[1], other[2]);
    data.classes = 1 + std::max(data.train.at("label").max().item<int64_t>(),
                                data.test.at("label").max().item<int64_t>());
    data.class_names = names(data);
    data.origin = options_.path;
    return data;
  }

  std::string missing() override {
    if (options_.path.empty()) return "expected a directory of IDX files, got no \"path\"; give it";
    const auto place = gw::find_dataset(options_.path, "", options_.files);
    return place.missing.empty() ? "" : place.missing + "; name the files in \"files\"";
  }

 private:
  gw::TensorSet read(const std::string& image_file, const std::string& label_file) const {
    const auto limit = static_cast<uint64_t>(options_.limit_gb * (1 << 30));
    const auto image_path = gw::dataset_file(options_.path, image_file),
               label_path = gw::dataset_file(options_.path, label_file);
    auto images = gw::load_idx(image_path, 0, limit);
    const auto labels = gw::load_idx(label_path, 1, limit);
    if (images.dim() == 3) images = images.unsqueeze(1);
    GW_CHECK(
        images.dim() == 4 && (images.size(1) == 1 || images.size(1) == 3),
        "datasets/idx_images: expected images [n, H, W], or [n, C, H, W] with 1 or 3 channels, in \"{}\", "
        "got {}",
        image_path, c10::str(images.sizes()));
    GW_CHECK(
        images.size(0) == labels.size(0),
        "datasets/idx_images: expected as many labels as images, got {} labels in \"{}\" and {} images in "
        "\"{}\"",
        labels.size(0), label_path, images.size(0), image_path);
    return gw::labelled_images(images, labels.to(at::kLong));
  }

  std::vector<std::string> names(const gw::TaskData& data) const {
    const auto counts = at::bincount(data.train.at("label"), {}, data.classes);
    std::vector<std::string> found = options_.class_names;
    for (int64_t c = 0; c < data.classes; ++c) {
      GW_CHECK(counts[c].item<int64_t>() > 0,
               "datasets/idx_images: expected a training image of every class below {}, got none of {}",
               data.classes, c);
      if (options_.class_names.empty()) found.push_back(std::to_string(c));
    }
    GW_CHECK(static_cast<int64_t>(found.size()) == data.classes,
             "datasets/idx_images: expected {} \"class_names\", got {}", data.classes, found.size());
    return found;
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, IdxImages);
