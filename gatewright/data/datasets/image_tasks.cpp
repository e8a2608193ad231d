// A sequence of tasks made of the images of another data set.
#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"

namespace {

/// Tasks one after the other, the field "domain"; "time" is the task. `permuted`: the pixels of each task in
/// an order of its own, those of the first as they are. `shuffled_labels`: the classes renamed, those of the
/// first as they are. `split`: each task has its share of the classes. Test rows of every task are made
/// alike. Errors: those of the images' data set; ValueError for more tasks than a split has classes.
class ImageTasks : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    gw::PartChoice images = "fashion_mnist";
    std::string kind = "permuted";
    int64_t tasks = 10, train = 5000, test = 1000, seed = 0;
    void fields(gw::OptionVisitor& v) override {
      v.part("images", images, "part of the datasets catalogue: images with labels");
      v.text("kind", kind, "what differs from task to task", {"permuted", "shuffled_labels", "split"});
      v.integer("tasks", tasks, "one after the other", 1, 1000);
      v.integer("train", train, "images of each task, evenly over its classes", 1, 10000000);
      v.integer("test", test, "test images of each task, likewise", 1, 10000000);
      v.integer("seed", seed, "of orders, names and the choice of images", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary = "a sequence of tasks out of the images of another data set";
  static constexpr const char* kSource = "";

  ImageTasks(Options options, const Context&) : o_(std::move(options)) {}

  gw::TaskData load() override {
    auto data = gw::make_chosen<gw::Dataset>(o_.images, {})->load();
    GW_CHECK(data.train.has("image") && data.train.has("label"),
             "datasets/image_tasks: expected images with labels from \"{}\", got others", o_.images.name);
    GW_CHECK(o_.kind != "split" || o_.tasks <= data.classes,
             "datasets/image_tasks: expected at most {} tasks of a split, one class each, got {}",
             data.classes, o_.tasks);
    std::vector<gw::TensorSet> train, test;
    for (int64_t t = 0; t < o_.tasks; ++t) {
      train.push_back(of_task(data.train, data.classes, t, o_.train, "train"));
      test.push_back(of_task(data.test, data.classes, t, o_.test, "test"));
      data.domain_names.push_back("task " + std::to_string(t));
    }
    data.train = joined_sets(train), data.test = joined_sets(test);
    data.origin += fmt::format(", {} {} tasks", o_.tasks, o_.kind);
    return data;
  }

  std::string missing() override { return gw::make_chosen<gw::Dataset>(o_.images, {})->missing(); }

 private:
  gw::Rng rng(int64_t task) const {
    return gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/image_tasks", static_cast<uint64_t>(task));
  }

  static gw::TensorSet joined_sets(const std::vector<gw::TensorSet>& sets) {
    gw::TensorSet all;
    for (const auto& [name, first] : sets[0].fields) {
      std::vector<at::Tensor> parts;
      for (const auto& set : sets) parts.push_back(set.at(name));
      all.fields[name] = at::cat(parts);
    }
    return all;
  }

  /// `count` rows of the task in a drawn order; the same image may serve several tasks.
  gw::TensorSet of_task(const gw::TensorSet& from, int64_t classes, int64_t task, int64_t count,
                        const char* which) const {
    const auto& label = from.at("label");
    auto rows = at::arange(from.size(), at::kLong);
    if (o_.kind == "split") {
      const int64_t first = task * classes / o_.tasks, end = (task + 1) * classes / o_.tasks;
      rows = rows.masked_select(label.ge(first) & label.lt(end));
    }
    GW_CHECK(rows.numel() >= count, "datasets/image_tasks: expected {} images of a task to {} with, got {}",
             count, which, rows.numel());
    const auto order = rng(task).fork(which).permutation(rows.numel());
    rows = rows.index_select(0, at::tensor(order, at::kLong).narrow(0, 0, count));
    gw::TensorSet out{{{"image", from.at("image").index_select(0, rows)},
                       {"label", label.index_select(0, rows)},
                       {"domain", at::full({count}, task, at::kLong)},
                       {"time", at::full({count}, static_cast<double>(task), at::kDouble)}}};
    if (task > 0 && o_.kind == "permuted") {
      auto& image = out.fields["image"];
      const auto flat = image.flatten(1);
      const auto places = at::tensor(rng(task).fork("pixels").permutation(flat.size(1)), at::kLong);
      image = flat.index_select(1, places).view_as(image).contiguous();
    }
    if (task > 0 && o_.kind == "shuffled_labels") {
      const auto names = at::tensor(rng(task).fork("labels").permutation(classes), at::kLong);
      out.fields["label"] = names.index_select(0, out.at("label"));
    }
    return out;
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, ImageTasks);
