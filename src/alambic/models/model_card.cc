#include "alambic/models/model_card.h"

#include <cmath>

namespace alambic {
namespace {

void require_object(const Json& value, const char* key, std::string_view where) {
  if (!value.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}, want object", where,
         key, value.type_name());
  }
}

std::vector<QualityPoint> read_dial(const Json& json, std::string_view where) {
  std::vector<QualityPoint> dial;
  if (!json.is_array()) fail(ErrorCode::kCorruptData, "[{}] alambic.dial is not a list", where);
  dial.reserve(json.size());
  for (const Json& entry : json) {
    require_object(entry, "dial", where);
    const QualityPoint point{
        optional<bool>(entry, "lossless", false, where), require<double>(entry, "threshold", where),
        require<double>(entry, "remask", where), require<double>(entry, "kept", where),
        require<double>(entry, "speed", where)};
    const bool sane = point.threshold >= 0 && point.remask >= 0 && point.remask <= 1 &&
                      std::isfinite(point.kept) && std::isfinite(point.speed);
    if (!sane) {
      fail(ErrorCode::kCorruptData, "[{}] alambic.dial holds a setting that no decoder has", where);
    }
    dial.push_back(point);
  }
  return dial;
}

}  // namespace

Json card_json(const ModelConfig& config, const ModelCard& card) {
  Json json = {{"prompt_template", card.prompt_template},
               {"task", card.task},
               {"labels", card.labels},
               {"block", card.block},
               {"provenance", card.provenance}};
  for (const QualityPoint& point : card.dial) {
    json["dial"].push_back({{"lossless", point.lossless},
                            {"threshold", point.threshold},
                            {"remask", point.remask},
                            {"kept", point.kept},
                            {"speed", point.speed}});
  }
  if (!card.chat_template.empty()) json["chat_template"] = card.chat_template;
  if (!card.tool_use_template.empty()) json["tool_use_template"] = card.tool_use_template;
  if (card.canvas > 0) json["canvas"] = card.canvas;
  if (!card.blank.empty()) json["blank"] = card.blank;
  if (config.mask >= 0) json["mask_token_id"] = config.mask;
  return json;
}

ModelCard read_card(const Json& json, std::string_view where, ModelConfig& sizes) {
  require_object(json, "alambic", where);
  ModelCard card;
  card.prompt_template =
      optional<std::string>(json, "prompt_template", card.prompt_template, where);
  card.chat_template = optional<std::string>(json, "chat_template", "", where);
  card.tool_use_template = optional<std::string>(json, "tool_use_template", "", where);
  card.task = optional<std::string>(json, "task", "", where);
  card.labels = optional<std::vector<std::string>>(json, "labels", {}, where);
  card.block = optional<int>(json, "block", 0, where);
  if (card.block < 0 || card.block > 4096) {
    fail(ErrorCode::kCorruptData, "[{}] alambic.block = {}; want 0 to 4096", where, card.block);
  }
  if (json.contains("dial")) card.dial = read_dial(json["dial"], where);
  card.canvas = optional<int>(json, "canvas", 0, where);
  if (card.canvas < 0) {
    fail(ErrorCode::kCorruptData, "[{}] alambic.canvas = {}; want 0 or more", where, card.canvas);
  }
  card.blank = optional<std::string>(json, "blank", "", where);
  card.provenance = json.value("provenance", Json::object());
  require_object(card.provenance, "provenance", where);
  sizes.mask = optional<int>(json, "mask_token_id", -1, where);
  return card;
}

std::string apply_template(const ModelCard& card, std::string_view prompt) {
  constexpr std::string_view kSlot = "{prompt}";
  std::string text = card.prompt_template;
  const size_t at = text.find(kSlot);
  return at == std::string::npos ? text + std::string(prompt)
                                 : text.replace(at, kSlot.size(), prompt);
}

}  // namespace alambic
