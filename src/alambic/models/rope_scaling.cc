#include "alambic/models/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

RopeScaling read_scaling(const Json& json, std::string_view type, std::string_view where,
                         int max_positions) {
  RopeScaling s;
  if (type == "linear") {
    s.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    s.kind = RopeScaling::Kind::kLlama3;
  } else if (type == "yarn") {
    s.kind = RopeScaling::Kind::kYarn;
  } else {
    fail(ErrorCode::kUnsupported,
         "[{}] rope scaling \"{}\"; supported: default, linear, llama3, yarn", where, type);
  }
  s.original_positions =
      optional<int>(json, "original_max_position_embeddings", max_positions, where);
  s.factor = optional<double>(
      json, "factor", static_cast<double>(max_positions) / std::max(1, s.original_positions),
      where);
  s.low_frequency = optional<double>(json, "low_freq_factor", s.low_frequency, where);
  s.high_frequency = optional<double>(json, "high_freq_factor", s.high_frequency, where);
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
                    s.high_frequency > s.low_frequency && s.low_frequency > 0 && s.beta_fast > 0 &&
                    s.beta_slow > 0 && std::isfinite(s.amplitude);
  if (!sane) {
    fail(ErrorCode::kCorruptData, "[{}] rope scaling \"{}\" has settings that make no sense: {}",
         where, type, dump_json(json));
  }
  return s;
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
  const Json* scaling = nullptr;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {  // transformers 4 and 5
    const auto it = json.find(key);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}, want object",
           where, key, it->type_name());
    }
    scaling = &*it;
  }
  if (scaling != nullptr) {
    c.rope_theta = optional<double>(*scaling, "rope_theta", c.rope_theta, where);
    share = optional<double>(*scaling, "partial_rotary_factor", share, where);
    const auto old_type = optional<std::string>(*scaling, "type", "default", where);
    const auto type = optional<std::string>(*scaling, "rope_type", old_type, where);
    if (type != "default") c.rope_scaling = read_scaling(*scaling, type, where, c.max_positions);
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
