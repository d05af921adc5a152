#include "alambic/models/rope_scaling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "alambic/models/model_config.h"

namespace alambic {
namespace {

using std::numbers::pi;

// Slow turns are stretched, fast ones stay, those between are mixed.
double llama3_frequency(const RopeScaling& s, double frequency) {
  const double turns = s.original_positions * frequency / (2 * pi);
  if (turns > s.high_frequency) return frequency;
  if (turns < s.low_frequency) return frequency / s.factor;
  const double kept = (turns - s.low_frequency) / (s.high_frequency - s.low_frequency);
  return (1 - kept) * frequency / s.factor + kept * frequency;
}

// The (fractional) pair whose angle makes so many turns over the original length.
double pair_of_turns(const ModelConfig& c, double turns) {
  return c.rotary_dims() * std::log(c.rope_scaling.original_positions / (turns * 2 * pi)) /
         (2 * std::log(c.rope_theta));
}

double yarn_amplitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

// A number of the settings that the method cannot do without.
double needed(const Json& json, const char* key, std::string_view type, std::string_view where) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) {
    fail(ErrorCode::kCorruptData, "[{}] rope scaling \"{}\" without \"{}\"", where, type, key);
  }
  return require<double>(json, key, where);
}

// Keys that change what is computed, or say something of the past, by method. What is in neither
// list could change the numbers in a way that nobody here knows of.
void check_keys(const Json& json, std::string_view type, std::string_view where) {
  std::set<std::string_view> known = {"type",
                                      "rope_type",
                                      "rope_theta",
                                      "partial_rotary_factor",
                                      "original_max_position_embeddings",
                                      "finetuned"};
  if (type != "default") known.insert("factor");
  if (type == "llama3") known.insert({"low_freq_factor", "high_freq_factor"});
  if (type == "yarn") {
    known.insert(
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"});
  }
  for (const auto& [key, value] : json.items()) {
    const bool idle = key == "factor" && value.is_number() && value.get<double>() == 1;
    if (known.contains(key) || value.is_null() || idle) continue;
    fail(ErrorCode::kUnsupported, "[{}] rope scaling \"{}\" with {} = {}; want {}", where, type,
         dump_json(Json(key.substr(0, 80))), dump_json(value).substr(0, 80),
         fmt::join(known, ", "));
  }
}

RopeScaling read_scaling(const Json& json, std::string_view type, std::string_view where,
                         int max_positions) {
  RopeScaling s;
  if (type == "linear") {
    s.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    s.kind = RopeScaling::Kind::kLlama3;
  } else if (type == "yarn") {
    s.kind = RopeScaling::Kind::kYarn;
  } else if (type != "default") {
    fail(ErrorCode::kUnsupported,
         "[{}] rope scaling \"{}\"; supported: default, linear, llama3, yarn", where,
         type.substr(0, 80));
  }
  check_keys(json, type, where);
  if (s.kind == RopeScaling::Kind::kNone) return s;
  s.original_positions =
      optional<int>(json, "original_max_position_embeddings", max_positions, where);
  if (s.kind == RopeScaling::Kind::kYarn) {
    s.factor = optional<double>(
        json, "factor", static_cast<double>(max_positions) / std::max(1, s.original_positions),
        where);
  } else {
    s.factor = needed(json, "factor", type, where);
  }
  if (s.kind == RopeScaling::Kind::kLlama3) {
    s.low_frequency = needed(json, "low_freq_factor", type, where);
    s.high_frequency = needed(json, "high_freq_factor", type, where);
  }
  s.beta_fast = optional<double>(json, "beta_fast", s.beta_fast, where);
  s.beta_slow = optional<double>(json, "beta_slow", s.beta_slow, where);
  s.whole_dimensions = optional<bool>(json, "truncate", true, where);
  if (s.kind == RopeScaling::Kind::kYarn) {
    const auto scale = optional<double>(json, "mscale", 0, where),
               scale_all = optional<double>(json, "mscale_all_dim", 0, where);
    const double derived = scale != 0 && scale_all != 0 ? yarn_amplitude(s.factor, scale) /
                                                              yarn_amplitude(s.factor, scale_all)
                                                        : yarn_amplitude(s.factor, 1);
    s.amplitude = optional<double>(json, "attention_factor", derived, where);
  }
  const bool sane = s.factor > 0 && s.factor < 1e6 && s.original_positions > 0 &&
                    s.high_frequency > s.low_frequency && s.low_frequency > 0 &&
                    std::isfinite(s.high_frequency) && s.beta_fast > 0 && s.beta_slow > 0 &&
                    std::isfinite(s.beta_fast) && std::isfinite(s.beta_slow) &&
                    std::isfinite(s.amplitude);
  if (!sane) {
    fail(ErrorCode::kCorruptData, "[{}] rope scaling \"{}\" has settings that make no sense: {}",
         where, type, dump_json(json));
  }
  return s;
}

// What one object of settings says.
struct RopeSettings {
  std::optional<double> theta, share;
  RopeScaling scaling;
};

bool same(const RopeSettings& a, const RopeSettings& b) {
  const auto numbers = [](const RopeScaling& s) {
    return std::make_tuple(s.kind, s.factor, s.original_positions, s.low_frequency,
                           s.high_frequency, s.beta_fast, s.beta_slow, s.amplitude,
                           s.whole_dimensions);
  };
  return a.theta == b.theta && a.share == b.share && numbers(a.scaling) == numbers(b.scaling);
}

RopeSettings read_flat(const Json& json, std::string_view where, int max_positions) {
  RopeSettings r;
  const auto number = [&](const char* key) -> std::optional<double> {
    if (!json.contains(key) || json.at(key).is_null()) return std::nullopt;
    return require<double>(json, key, where);
  };
  r.theta = number("rope_theta");
  r.share = number("partial_rotary_factor");
  const auto old_type = optional<std::string>(json, "type", "default", where);
  const auto type = optional<std::string>(json, "rope_type", old_type, where);
  r.scaling = read_scaling(json, type, where, max_positions);
  return r;
}

// One for all layers, or by the kind of layer: {"full_attention": {...}, "sliding_attention": ...}.
RopeSettings read_settings(const Json& json, const char* key, std::string_view where,
                           int max_positions) {
  if (!json.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}, want object", where,
         key, json.type_name());
  }
  const bool nested =
      std::any_of(json.begin(), json.end(), [](const Json& value) { return value.is_object(); });
  if (!nested) return read_flat(json, where, max_positions);
  std::optional<RopeSettings> common;
  std::string first;
  for (const auto& [kind, value] : json.items()) {
    if (kind != "full_attention" && kind != "sliding_attention") {
      fail(ErrorCode::kUnsupported,
           "[{}] {} names {}; supported: full_attention, sliding_attention, or settings for all "
           "layers",
           where, key, dump_json(Json(kind.substr(0, 80))));
    }
    if (!value.is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] key \"{}.{}\" has the wrong type; got {}, want object",
           where, key, kind, value.type_name());
    }
    const RopeSettings own = read_flat(value, where, max_positions);
    if (common && !same(own, *common)) {
      fail(ErrorCode::kUnsupported,
           "[{}] {} differ between {} and {}: got {} and {}; supported: the same for all layers",
           where, key, first, kind, dump_json(json.at(first)), dump_json(value));
    }
    common = own;
    first = kind;
  }
  return *common;
}

}  // namespace

std::vector<double> rope_frequencies(const ModelConfig& c) {
  const int dims = c.rotary_dims();
  const RopeScaling& s = c.rope_scaling;
  std::vector<double> frequencies;
  frequencies.reserve(static_cast<size_t>(dims / 2));
  for (int i = 0; i < dims / 2; ++i) frequencies.push_back(std::pow(c.rope_theta, -2.0 * i / dims));
  if (s.kind == RopeScaling::Kind::kLinear) {
    for (double& f : frequencies) f /= s.factor;
  } else if (s.kind == RopeScaling::Kind::kLlama3) {
    for (double& f : frequencies) f = llama3_frequency(s, f);
  } else if (s.kind == RopeScaling::Kind::kYarn) {
    double low = pair_of_turns(c, s.beta_fast), high = pair_of_turns(c, s.beta_slow);
    if (s.whole_dimensions) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dims - 1.0);
    if (low == high) high += 0.001;
    for (int i = 0; i < dims / 2; ++i) {
      double& f = frequencies[static_cast<size_t>(i)];
      const double stretched = std::clamp((i - low) / (high - low), 0.0, 1.0);
      f = stretched * f / s.factor + (1 - stretched) * f;
    }
  }
  return frequencies;
}

void read_rope(const Json& json, std::string_view where, ModelConfig& c) {
  c.rope_theta = optional<double>(json, "rope_theta", c.rope_theta, where);
  auto share = optional<double>(json, "partial_rotary_factor", 0, where);
  std::optional<RopeSettings> read;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {  // transformers 4 and 5
    const auto it = json.find(key);
    if (it == json.end() || it->is_null() || (it->is_object() && it->empty())) continue;
    RopeSettings own = read_settings(*it, key, where, c.max_positions);
    if (!own.theta) own.theta = c.rope_theta;
    if (read && !same(own, *read)) {
      fail(ErrorCode::kUnsupported,
           "[{}] rope_scaling and rope_parameters contradict each other; want one of them, or the "
           "same in both",
           where);
    }
    read = own;
  }
  if (read) {
    c.rope_theta = *read->theta;
    c.rope_scaling = read->scaling;
    share = read->share.value_or(share);
  }
  if (share == 0) return;  // nobody says
  if (!(share > 0 && share <= 1))
    fail(ErrorCode::kCorruptData, "[{}] partial_rotary_factor = {}; want (0, 1]", where, share);
  c.rotated = static_cast<int>(c.head_dim * share);
}

Json rope_scaling_json(const ModelConfig& c) {
  const RopeScaling& s = c.rope_scaling;
  if (s.kind == RopeScaling::Kind::kNone) return nullptr;
  const char* const names[] = {"default", "linear", "llama3", "yarn"};
  Json json = {{"rope_type", names[static_cast<int>(s.kind)]}, {"factor", s.factor}};
  if (s.kind != RopeScaling::Kind::kLinear)
    json["original_max_position_embeddings"] = s.original_positions;
  if (s.kind == RopeScaling::Kind::kLlama3) {
    json["low_freq_factor"] = s.low_frequency;
    json["high_freq_factor"] = s.high_frequency;
  } else if (s.kind == RopeScaling::Kind::kYarn) {
    json["beta_fast"] = s.beta_fast;
    json["beta_slow"] = s.beta_slow;
    json["attention_factor"] = s.amplitude;
    json["truncate"] = s.whole_dimensions;
  }
  return json;
}

}  // namespace alambic
