// Pictures of one's own: a folder per class.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/image_files.h"

namespace {

bool is_folder(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is no folder
  return std::filesystem::is_directory(path, ignored);
}

/// <path>/<train>/<class>/… and <path>/<test>/<class>/…, or <path>/<class>/… of which a share is held out.
/// Errors: as read_images; ValueError for fewer than 2 classes, a test class that is not among the
/// training's,
///         and a class of one picture where a share is to be held out of it.
class ImageFolder : public gw::Dataset {
 public:
  struct Options : gw::ImageFileOptions {
    std::string path, train = "train", test = "test";
    double test_share = 0.2;
    int64_t seed = 0;
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path, "the folder");
      v.text("train", train, "folder in it whose folders are the classes");
      v.text("test", test, "folder in it with test pictures of the same classes");
      v.real("test_share", test_share,
             "share of every class that is held out for the test where neither folder is there", 0.01, 0.9);
      v.integer("seed", seed, "of the order in which pictures are held out", 0, INT64_MAX);
      gw::ImageFileOptions::fields(v);
    }
  };
  static constexpr const char* kSummary = "PNG and JPEG files of one's own, a folder per class";
  static constexpr const char* kSource = "";

  ImageFolder(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto absent = missing();
    if (!absent.empty()) throw gw::IoError("datasets/image_folder: " + absent);
    const auto train_folder = options_.path + "/" + options_.train,
               test_folder = options_.path + "/" + options_.test;
    const bool has_train = is_folder(train_folder), has_test = is_folder(test_folder);
    GW_CHECK(has_train == has_test,
             "datasets/image_folder: expected \"{}\" and \"{}\" in \"{}\", or neither, got one of them; name "
             "the folders in \"train\" and \"test\"",
             options_.train, options_.test, gw::shown(options_.path));
    gw::TaskData data;
    data.origin = options_.path;
    const auto root = has_train ? train_folder : options_.path;
    data.class_names = gw::list_folders(root);
    data.classes = static_cast<int64_t>(data.class_names.size());
    GW_CHECK(data.classes >= 2,
             "datasets/image_folder: expected at least 2 folders in \"{}\", one for each class, got {}",
             gw::shown(root), data.classes);
    auto train = listed(root, data.class_names);
    const auto test = has_test ? tested(test_folder, data.class_names) : held_out(train, data.class_names);
    gw::read_images("datasets/image_folder", train, test, options_, data);
    return data;
  }

  std::string missing() override {
    if (options_.path.empty()) return "expected a folder of pictures, got no \"path\"; give it";
    return is_folder(options_.path)
               ? ""
               : "expected a folder at \"" + gw::shown(options_.path) + "\", got none; give its \"path\"";
  }

 private:
  std::vector<gw::ImageFile> listed(const std::string& folder,
                                    const std::vector<std::string>& classes) const {
    return gw::list_classes("datasets/image_folder", folder, classes, "", options_.first_per_class);
  }

  /// The test's folder, whose classes may be fewer. A class keeps the label that it has in training.
  std::vector<gw::ImageFile> tested(const std::string& folder,
                                    const std::vector<std::string>& classes) const {
    const auto names = gw::list_folders(folder);
    GW_CHECK(!names.empty(), "datasets/image_folder: expected folders of classes in \"{}\", got none",
             gw::shown(folder));
    auto files = listed(folder, names);
    for (auto& file : files) {
      const auto& name = names[static_cast<size_t>(file.label)];
      const auto at = std::find(classes.begin(), classes.end(), name);
      GW_CHECK(at != classes.end(),
               "datasets/image_folder: expected test classes that are trained, got \"{}\"{}", gw::shown(name),
               gw::near_miss(name, classes));
      file.label = at - classes.begin();
    }
    return files;
  }

  /// Takes a share of every class out of `files`: the last ones of a seeded permutation, in the files' order.
  std::vector<gw::ImageFile> held_out(std::vector<gw::ImageFile>& files,
                                      const std::vector<std::string>& classes) const {
    std::vector<gw::ImageFile> train, test;
    for (auto first = files.begin(); first != files.end();) {
      const auto label = first->label;
      const auto last =
          std::find_if(first, files.end(), [&](const auto& file) { return file.label != label; });
      const int64_t n = last - first;
      GW_CHECK(
          n >= 2,
          "datasets/image_folder: expected at least 2 pictures of every class, one of them for the test, "
          "got 1 of \"{}\"; add some, or give a folder \"test\"",
          gw::shown(classes[static_cast<size_t>(label)]));
      const auto held =
          std::clamp<int64_t>(std::llround(options_.test_share * static_cast<double>(n)), 1, n - 1);
      const auto order = gw::Rng(static_cast<uint64_t>(options_.seed))
                             .fork("datasets/image_folder", static_cast<uint64_t>(label))
                             .permutation(n);
      std::vector<bool> out(static_cast<size_t>(n), false);
      for (int64_t i = n - held; i < n; ++i) out[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
      for (int64_t i = 0; i < n; ++i) (out[static_cast<size_t>(i)] ? test : train).push_back(first[i]);
      first = last;
    }
    files = std::move(train);
    return test;
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, ImageFolder);
