// Tiny ImageNet: 100 000 + 10 000 colour images of 200 classes, 64 x 64, as JPEG files.
#include <map>
#include <sstream>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/gzip.h"
#include "gatewright/data/image_files.h"
#include "gatewright/data/locate.h"

namespace {

constexpr uint64_t kListLimit_bytes = uint64_t{16} << 20;  // the published lists have 0.3 and 2.6 MB
constexpr const char* kTinyPart = "datasets/tiny_imagenet";

std::vector<std::vector<std::string>> tab_separated(const std::string& root, const std::string& file) {
  std::istringstream text(gw::read_gzip(gw::dataset_file(root, file), kListLimit_bytes));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, '\t');) rows.back().push_back(cell);
  }
  return rows;
}

/// train/<class>/images/*.JPEG with the classes of wnids.txt; the validation images, listed in
/// val/val_annotations.txt, are the test: the published test images have no labels.
class TinyImageNet : public gw::Dataset {
 public:
  struct Options : gw::ImageFileOptions {
    std::string path;
    Options() { colours = "rgb"; }  // a few of the files are grey
    void fields(gw::OptionVisitor& v) override {
      v.text("path", path,
             "the unpacked folder; empty: $GATEWRIGHT_DATA/tiny-imagenet-200, then "
             "/usr/share/datasets/tiny-imagenet-200");
      gw::ImageFileOptions::fields(v);
    }
  };
  static constexpr const char* kSummary = "110 000 colour images, 64 x 64, 200 classes";
  static constexpr const char* kSource = "Le and Yang 2015, Tiny ImageNet visual recognition challenge";

  TinyImageNet(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto place = find();
    if (place.directory.empty()) throw gw::IoError(std::string(kTinyPart) + ": " + missing());
    const auto& root = place.directory;
    std::vector<std::string> classes;
    for (const auto& row : tab_separated(root, "wnids.txt")) classes.push_back(row.front());
    GW_CHECK(classes.size() >= 2, "{}: expected at least 2 classes in \"{}/wnids.txt\", got {}", kTinyPart,
             gw::shown(root), classes.size());
    gw::TaskData data;
    data.origin = root;
    data.classes = static_cast<int64_t>(classes.size());
    data.class_names = named(root, classes);
    const auto train =
        gw::list_classes(kTinyPart, root + "/train", classes, "images", options_.first_per_class);
    gw::read_images(kTinyPart, train, annotated(root, classes), options_, data);
    return data;
  }

  std::string missing() override {
    const auto place = find();
    if (!place.directory.empty()) return "";
    return place.missing +
           "; get tiny-imagenet-200.zip from http://cs231n.stanford.edu/tiny-imagenet-200.zip; unpack it and "
           "give the folder as \"path\" or its parent as GATEWRIGHT_DATA";
  }

 private:
  gw::DatasetPlace find() const {
    return gw::find_dataset(options_.path, "tiny-imagenet-200", {"wnids.txt", "val/val_annotations.txt"});
  }

  /// What words.txt calls the classes; their identifiers where it is missing or silent.
  static std::vector<std::string> named(const std::string& root, const std::vector<std::string>& classes) {
    std::map<std::string, std::string> words;
    if (gw::find_dataset(root, "", {"words.txt"}).missing.empty()) {
      for (const auto& row : tab_separated(root, "words.txt"))
        if (row.size() >= 2) words[row[0]] = row[1].substr(0, row[1].find(','));
    }
    auto names = classes;
    for (auto& name : names)
      if (words.count(name) > 0) name = words[name];
    return names;
  }

  /// The validation images in the order of their list, the first ones of each class.
  std::vector<gw::ImageFile> annotated(const std::string& root,
                                       const std::vector<std::string>& classes) const {
    const auto path = root + "/val/val_annotations.txt";
    std::map<std::string, int64_t> label;
    for (size_t i = 0; i < classes.size(); ++i) label[classes[i]] = static_cast<int64_t>(i);
    std::vector<int64_t> taken(classes.size(), 0);
    std::vector<gw::ImageFile> files;
    for (const auto& row : tab_separated(root, "val/val_annotations.txt")) {
      GW_CHECK(row.size() >= 2, "{}: expected a file and a class in each line of \"{}\", got \"{}\"",
               kTinyPart, gw::shown(path), gw::shown(row.front(), 60));
      const auto known = label.find(row[1]);
      GW_CHECK(known != label.end(), "{}: expected a class of wnids.txt in \"{}\", got \"{}\"{}", kTinyPart,
               gw::shown(path), gw::shown(row[1], 60), gw::near_miss(row[1], classes));
      GW_CHECK(row[0].find('/') == std::string::npos, "{}: expected a file's name in \"{}\", got \"{}\"",
               kTinyPart, gw::shown(path), gw::shown(row[0], 60));
      auto& count = taken[static_cast<size_t>(known->second)];
      if (options_.first_per_class > 0 && count >= options_.first_per_class) continue;
      ++count;
      files.push_back({root + "/val/images/" + row[0], known->second});
    }
    return files;
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, TinyImageNet);
