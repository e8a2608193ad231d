// The section of sample images: for each image the arms side by side, open where they differ, the rest
// folded.
#include <fmt/format.h>

#include <algorithm>

#include "gatewright/base/base64.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/png.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

constexpr size_t kSamplesShown = 12;
constexpr size_t kOpenPairs = 8, kOpenCards = 4;  // two rows at 1280 pixels, of one arm and of several

/// One image and what each arm made of it.
struct Card {
  std::vector<const RunData*> runs;
  std::vector<const Sample*> samples;  ///< parallel to `runs`

  /// One arm: the attack changed prediction or route. Several: their predictions are not the same.
  bool differs() const {
    const Sample& first = *samples[0];
    if (samples.size() == 1) {
      const bool changed = first.predicted_attacked >= 0 && first.predicted_attacked != first.predicted_clean;
      return changed || (!first.route_attacked.empty() && first.route_attacked != first.route_clean);
    }
    return std::any_of(samples.begin(), samples.end(), [&](const Sample* s) {
      return s->predicted_clean != first.predicted_clean || s->predicted_attacked != first.predicted_attacked;
    });
  }
};

/// PNG has one channel or three.
bool drawable(const Sample& sample) { return sample.channels == 1 || sample.channels == 3; }

/// The images of all runs; arms of one recipe are measured on the same test images.
std::vector<Card> cards_of(const std::vector<const RunData*>& runs) {
  std::vector<Card> cards;
  for (const RunData* run : runs) {
    for (size_t i = 0; i < run->samples.size() && i < kSamplesShown; ++i) {
      const Sample& sample = run->samples[i];
      const auto same = std::find_if(cards.begin(), cards.end(), [&](const Card& card) {
        return card.samples[0]->clean == sample.clean && card.samples[0]->label == sample.label &&
               card.runs.back() != run;
      });
      Card& card = same == cards.end() ? cards.emplace_back() : *same;
      card.runs.push_back(run), card.samples.push_back(&sample);
    }
  }
  return cards;
}

std::string route_text(const std::vector<int64_t>& route) {
  std::string text;
  for (int64_t expert : route) text += fmt::format("{}E{}", text.empty() ? "" : " + ", expert);
  return text;
}

std::string picture(const Sample& sample, const std::vector<uint8_t>& pixels,
                    const std::string& description) {
  return fmt::format("<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">",
                     base64_encode(encode_png(pixels, sample.channels, sample.height, sample.width)),
                     sample.width, sample.height, escape_html(description));
}

/// "✓ coat", with `before` in front; empty without a prediction.
std::string prediction(const RunData& run, const Sample& sample, int64_t predicted,
                       const std::string& before) {
  if (predicted < 0) return "";
  const bool right = predicted == sample.label;
  return fmt::format("<span class=\"{}\">{}{} {}</span>", right ? "right" : "wrong", before,
                     right ? "✓" : "✗", escape_html(shorten(class_name(run, predicted), 24)));
}

/// One picture with what the only arm made of it.
std::string side(const RunData& run, const Sample& sample, bool attacked) {
  const int64_t predicted = attacked ? sample.predicted_attacked : sample.predicted_clean;
  const std::string experts = route_text(attacked ? sample.route_attacked : sample.route_clean);
  const char* kind = attacked ? "attacked" : "clean";
  const bool moved = attacked && !experts.empty() && experts != route_text(sample.route_clean);
  std::string text =
      fmt::format("<span class=\"side\">{}</span>", kind) + prediction(run, sample, predicted, "");
  if (!experts.empty())
    text += fmt::format("<span class=\"route{}\">{}{}</span>", moved ? " moved" : "", escape_html(experts),
                        moved ? " (moved)" : "");
  const std::string description = fmt::format("{} image of {}, predicted {}", kind,
                                              class_name(run, sample.label), class_name(run, predicted));
  return "<div>" + picture(sample, attacked ? sample.attacked : sample.clean, description) + text + "</div>";
}

/// One arm among several: its attacked picture, its predictions, its route before and under the attack.
std::string arm_side(const RunData& run, const Sample& sample) {
  std::string html = "<div>";
  if (!sample.attacked.empty())
    html += picture(sample, sample.attacked,
                    fmt::format("image of {} as {} was attacked, predicted {}", class_name(run, sample.label),
                                run.name(), class_name(run, sample.predicted_attacked)));
  html += "<span class=\"side\">" + escape_html(shorten(run.name(), 40)) + "</span>";
  if (sample.predicted_clean == sample.predicted_attacked)
    html += prediction(run, sample, sample.predicted_clean, "both ");
  else
    html += prediction(run, sample, sample.predicted_clean, "clean ") +
            prediction(run, sample, sample.predicted_attacked, "attacked ");
  const std::string before = route_text(sample.route_clean), after = route_text(sample.route_attacked);
  const bool moved = !after.empty() && after != before;
  if (!before.empty())
    html += fmt::format("<span class=\"route{}\">{}{}</span>", moved ? " moved" : "", escape_html(before),
                        moved ? " → " + escape_html(after) + " (moved)" : "");
  return html + "</div>";
}

std::string draw(const Card& card) {
  const Sample& first = *card.samples[0];
  const RunData& run = *card.runs[0];
  const std::string name = class_name(run, first.label);
  std::string html =
      "<figure class=\"sample\"><figcaption>" + escape_html(shorten(name, 40)) + "</figcaption>";
  if (card.runs.size() == 1) {
    html += "<div class=\"pair\">" + side(run, first, false) +
            (first.attacked.empty() ? "" : side(run, first, true));
  } else {
    html += "<div class=\"pair arms\"><div>" + picture(first, first.clean, "clean image of " + name) +
            "<span class=\"side\">clean</span></div>";
    for (size_t i = 0; i < card.runs.size(); ++i) html += arm_side(*card.runs[i], *card.samples[i]);
  }
  return html + "</div></figure>";
}

std::string lead(const std::vector<Card>& cards, size_t differ, size_t arms) {
  if (arms == 1)
    return fmt::format(
        "The attack changes prediction or route of {} of {} images. Above each pair the true class, below "
        "each picture the "
        "prediction and the experts that served it.",
        differ, cards.size());
  return fmt::format(
      "The arms differ on {} of {} images: the picture as each arm was attacked, with its prediction for the "
      "clean and the "
      "attacked one and the experts that served it.",
      differ, cards.size());
}

}  // namespace

std::string class_name(const RunData& run, int64_t index) {
  if (index < 0) return "–";
  const bool named = run.evaluation && static_cast<size_t>(index) < run.evaluation->classes.size();
  return named ? run.evaluation->classes[static_cast<size_t>(index)] : fmt::format("class {}", index);
}

std::string sample_section(const ReportData& data) {
  const auto runs =
      data.first_of_arms([](const RunData& r) { return !r.samples.empty() && drawable(r.samples[0]); });
  if (runs.empty()) {
    const auto others = data.first_of_arms([](const RunData& r) { return !r.samples.empty(); });
    if (others.empty()) return "";
    return section("samples", "Samples", "",
                   fmt::format("<p class=\"lead\">Images of {} channels are not drawn: a picture has one "
                               "channel (grey) or three.</p>",
                               others[0]->samples[0].channels));
  }
  auto cards = cards_of(runs);
  const auto agreeing =
      std::stable_partition(cards.begin(), cards.end(), [](const Card& card) { return card.differs(); });
  const auto differ = static_cast<size_t>(agreeing - cards.begin());
  const size_t open = std::min(differ, runs.size() == 1 ? kOpenPairs : kOpenCards);
  std::string shown, folded;
  for (size_t i = 0; i < cards.size(); ++i) (i < open ? shown : folded) += draw(cards[i]);
  const char* css = runs.size() == 1 ? "samples" : "samples wide";
  std::string body;
  if (!shown.empty()) body += fmt::format("<div class=\"{}\">{}</div>\n", css, shown);
  if (!folded.empty())
    body +=
        fmt::format("<details class=\"more\"><summary>{} {}</summary><div class=\"{}\">{}</div></details>\n",
                    cards.size() - open, open == 0 ? "images" : "more images", css, folded);
  return section("samples", "Samples", lead(cards, differ, runs.size()), body);
}

}  // namespace gw::inline report
