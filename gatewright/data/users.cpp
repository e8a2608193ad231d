#include "gatewright/data/users.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline data {
namespace {

constexpr double kDegree = 3.14159265358979323846 / 180;

/// Between half of `most` and all of it, either way.
double drawn_angle(const Rng& rng, double most) {
  return most * (0.5 + 0.5 * rng.uniform(0)) * (rng.uniform(1) < 0.5 ? -1 : 1);
}

at::Tensor thinned(const at::Tensor& images) {
  return at::max_pool2d(images.to(at::kFloat).neg(), 3, 1, 1).neg().to(at::kByte);
}

/// Places in the pool: `count` in a random order, of which the share `skew` has a favourite's label as far as
/// there are so many.
std::vector<int64_t> drawn_places(const at::Tensor& label, const std::vector<int64_t>& favourites,
                                  double skew, int64_t count, const Rng& rng) {
  std::vector<int64_t> liked, others;
  const auto values = label.contiguous();
  const auto* classes = values.data_ptr<int64_t>();
  for (const int64_t i : rng.fork("images").permutation(label.numel())) {
    const bool favourite = std::find(favourites.begin(), favourites.end(), classes[i]) != favourites.end();
    (favourite ? liked : others).push_back(i);
  }
  const auto most = static_cast<int64_t>(liked.size()), rest = static_cast<int64_t>(others.size());
  const auto wanted = static_cast<int64_t>(std::llround(skew * static_cast<double>(count)));
  const int64_t of_liked =
      favourites.empty() ? 0 : std::clamp(wanted, count - std::min(count, rest), std::min(most, count));
  std::vector<int64_t> places(liked.begin(), liked.begin() + of_liked);
  places.insert(places.end(), others.begin(), others.begin() + (count - of_liked));
  std::vector<int64_t> mixed;
  for (const int64_t i : rng.fork("order").permutation(count))
    mixed.push_back(places[static_cast<size_t>(i)]);
  return mixed;
}

}  // namespace

void UserOptions::fields(OptionVisitor& v) {
  v.integer("users", users, "how many", 1, 100000);
  v.integer("train", train, "images of each that it learns from", 10, 1000000);
  v.integer("test", test, "images of each that it is measured on", 10, 1000000);
  v.real("rotation", rotation, "largest angle of a user's images, degrees", 0, 180);
  v.real("shear", shear, "largest shear of a user's images, degrees", 0, 80);
  v.real("thinning", thinning, "share of the users whose strokes are thinned", 0, 1);
  v.integer("favourites", favourites, "classes that a user mostly meets; 0: all alike", 0, 1000000);
  v.real("skew", skew, "share of a user's images that are of its favourites", 0, 1);
}

at::Tensor distorted(const at::Tensor& images, double rotation_degrees, double shear_degrees) {
  const double angle = rotation_degrees * kDegree, shear = std::tan(shear_degrees * kDegree);
  const double c = std::cos(angle), s = std::sin(angle);
  // Coordinates run from −1 to 1 along each side, so sides that differ enter as a ratio.
  const double tall = static_cast<double>(images.size(2)) / static_cast<double>(images.size(3));
  const auto matrix = at::tensor({c, (c * shear - s) * tall, 0.0, s / tall, s * shear + c, 0.0}, at::kDouble)
                          .to(at::kFloat)
                          .view({1, 2, 3})
                          .expand({images.size(0), 2, 3});
  const auto grid = at::affine_grid_generator(matrix, images.sizes(), /*align_corners=*/false);
  return at::grid_sampler(images.to(at::kFloat), grid, /*bilinear*/ 0, /*zeros*/ 0, false)
      .round()
      .clamp(0, 255)
      .to(at::kByte);
}

User make_user(const TensorSet& pool, int64_t classes, const UserOptions& o, const Rng& rng, int64_t number) {
  auto order = rng.fork("user", static_cast<uint64_t>(number)).fork("favourites").permutation(classes);
  order.resize(static_cast<size_t>(std::min(o.favourites, classes)));
  return make_user(pool, classes, o, rng, number, order);
}

User make_user(const TensorSet& pool, int64_t classes, const UserOptions& o, const Rng& rng, int64_t number,
               const std::vector<int64_t>& favourites) {
  GW_CHECK(pool.has("image") && pool.has("label"),
           "users: expected a pool of images with labels, got {} fields without", pool.fields.size());
  GW_CHECK(pool.size() >= o.train + o.test,
           "users: expected at least {} images to draw a user's from, got {}; lower train or test",
           o.train + o.test, pool.size());
  GW_CHECK(o.favourites <= classes, "users: expected at most {} favourites, as there are classes, got {}",
           classes, o.favourites);
  for (const int64_t c : favourites)
    GW_CHECK(c >= 0 && c < classes, "users: expected favourites below {} classes, got {}", classes, c);
  const auto own = rng.fork("user", static_cast<uint64_t>(number));
  User user;
  user.rotation = drawn_angle(own.fork("rotation"), o.rotation);
  user.shear = drawn_angle(own.fork("shear"), o.shear);
  user.thin = own.fork("thinning").uniform(0) < o.thinning;
  user.favourites = favourites;
  std::sort(user.favourites.begin(), user.favourites.end());
  const auto places = drawn_places(pool.at("label"), user.favourites, o.skew, o.train + o.test, own);
  auto all = pool.rows(at::tensor(places, at::kLong));
  auto& image = all.fields["image"];
  if (user.rotation != 0 || user.shear != 0) image = distorted(image, user.rotation, user.shear);
  if (user.thin) image = thinned(image);
  user.train = all.first(o.train);
  user.test = all.rows(at::arange(o.train, o.train + o.test, at::kLong));
  return user;
}

}  // namespace gw::inline data
