#include "gatewright/language/encoder_decoder_family.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"

namespace gw::inline language {
namespace {

/// Options of a stack that a published config says, as they act.
Json acting(DecoderOptions o) {
  if (o.head_width == 0) o.head_width = o.width / o.heads;
  if (o.key_heads == 0) o.key_heads = o.heads;
  if (o.hidden == 0) o.hidden = 4 * o.width;
  auto all = write_options(o);
  // Of training alone, or said elsewhere.
  for (const char* other : {"seed", "context", "dropout", "embedding_deviation", "mixture", "every",
                            "dense_first", "dense_layers", "rotary", "relative_buckets", "relative_farthest"})
    all.erase(other);
  all["first place"] = o.first_place;
  return all;
}

}  // namespace

Json EncoderDecoderFamily::config_of(const EncoderDecoderOptions&) const {
  throw ValueError("convert: expected a network that nllb-moe's config.json can say, got another family");
}

void EncoderDecoderFamily::check_said(const char* side, const DecoderOptions& trained,
                                      const DecoderOptions& said) {
  const bool reads = std::string_view(side) == "encoder";
  const auto ours = acting(trained), theirs = acting(said);
  for (const auto& item : ours.items()) {
    if (reads && (item.key() == "tied" || item.key() == "head_bias")) continue;  // it has no head
    GW_CHECK(
        item.value() == theirs.at(item.key()),
        "convert: expected {} = {} in the {}, as the family's config.json says it, got {}; train with that",
        item.key(), shown(dump_json(theirs.at(item.key())), 60), side, shown(dump_json(item.value()), 60));
  }
  for (int64_t i = 0; i < trained.depth; ++i)
    GW_CHECK(trained.routed(i) == said.routed(i),
             "convert: expected mixtures in the {} in every n-th layer, got them elsewhere (layer {}); use "
             "\"every\"",
             side, i);
}

}  // namespace gw::inline language
