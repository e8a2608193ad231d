#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gw::inline train {

/// What an attack may ask of a network: differentiable answers to images x [B, C, H, W] in [0, 1].
/// A dense network has `experts() == 1` and undefined scores.
class Victim {
 public:
  struct Response {
    at::Tensor logits;  ///< [B, classes]
    at::Tensor scores;  ///< [B, E] router scores of the same pass, undefined without an image-level router
  };
  virtual ~Victim() = default;
  virtual Response respond(const at::Tensor& images) = 0;
  /// The same answer; the gradient of its logits also passes through the choice of experts to the scores,
  /// where the victim has such a choice. What the published evaluation climbs, and nothing else should.
  virtual Response respond_through_choice(const at::Tensor& images) { return respond(images); }
  /// The scores alone; cheaper where a victim need not answer for them.
  virtual at::Tensor route(const at::Tensor& images) { return respond(images).scores; }
  /// Logits with every image forced through one expert's pathway; no router involved.
  virtual at::Tensor respond_forced(const at::Tensor& images, int64_t expert) = 0;
  virtual int64_t experts() const { return 1; }
  virtual int64_t classes() const = 0;
};

}  // namespace gw::inline train
