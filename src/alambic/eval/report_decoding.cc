#include "alambic/eval/report_decoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "alambic/eval/chart.h"

namespace alambic {
namespace {

constexpr std::pair<ReplayPiece::Kind, const char*> kKinds[] = {
    {ReplayPiece::Kind::kSettled, "settled"},
    {ReplayPiece::Kind::kOpen, "open"},
    {ReplayPiece::Kind::kNew, "new"},
    {ReplayPiece::Kind::kChanged, "changed"},
    {ReplayPiece::Kind::kMask, "mask"}};
constexpr size_t kMaxFrames = 400;

const char* name_of(ReplayPiece::Kind kind) {
  for (const auto& [known, name] : kKinds) {
    if (known == kind) return name;
  }
  return "";
}

double number_of(const Json& json, const char* key, std::string_view where) {
  if (!json.contains(key) || json[key].is_null()) return NAN;
  return require<double>(json, key, where);
}

[[noreturn]] void broken(std::string_view where, const char* what) {
  fail(ErrorCode::kCorruptData, "[{}] {} is not what a report has there", where, what);
}

const Json& list_of(const Json& json, const char* key, std::string_view where) {
  static const Json kEmpty = Json::array();
  if (!json.is_object() || !json.contains(key)) return kEmpty;
  if (!json[key].is_array()) broken(where, key);
  return json[key];
}

size_t longest_replay(const RunReport& report) {
  size_t longest = 0;
  for (const ReplayReport& replay : report.replays) {
    longest = std::max(longest, std::min(replay.frames.size(), kMaxFrames));
  }
  return longest;
}

std::string frame_html(const ReplayFrame& frame) {
  std::string out;
  for (const ReplayPiece& piece : frame) {
    out +=
        fmt::format("<span class=\"r-{}\">{}</span>", name_of(piece.kind), escape_html(piece.text));
  }
  return out;
}

}  // namespace

Json to_json(const QualityReport& quality) {
  Json points = Json::array();
  for (const QualityReport::Point& p : quality.points) {
    points.push_back(
        {{"setting", p.setting},
         {"tokens_per_s", std::isfinite(p.tokens_per_s) ? Json(p.tokens_per_s) : Json()},
         {"score", std::isfinite(p.score) ? Json(p.score) : Json()},
         {"best", p.best}});
  }
  return {{"points", std::move(points)},
          {"area", std::isfinite(quality.area) ? Json(quality.area) : Json()}};
}

Json to_json(const ReplayReport& replay) {
  Json frames = Json::array();
  for (const ReplayFrame& frame : replay.frames) {
    Json pieces = Json::array();
    for (const ReplayPiece& piece : frame) {
      pieces.push_back(Json::array({name_of(piece.kind), piece.text}));
    }
    frames.push_back(std::move(pieces));
  }
  return {{"mode", replay.mode}, {"prompt", replay.prompt}, {"frames", std::move(frames)}};
}

QualityReport quality_from_json(const Json& json, std::string_view where) {
  QualityReport quality;
  if (json.is_null()) return quality;
  if (!json.is_object()) broken(where, "quality");
  for (const Json& item : list_of(json, "points", where)) {
    if (!item.is_object()) broken(where, "quality.points");
    quality.points.push_back(
        {optional<std::string>(item, "setting", "", where), number_of(item, "tokens_per_s", where),
         number_of(item, "score", where), optional<bool>(item, "best", false, where)});
  }
  quality.area = json.contains("area") ? number_of(json, "area", where) : 0;
  return quality;
}

ReplayReport replay_from_json(const Json& json, std::string_view where) {
  if (!json.is_object()) broken(where, "replays");
  ReplayReport replay{optional<std::string>(json, "mode", "", where),
                      optional<std::string>(json, "prompt", "", where),
                      {}};
  for (const Json& pieces : list_of(json, "frames", where)) {
    if (!pieces.is_array()) broken(where, "replays.frames");
    ReplayFrame& frame = replay.frames.emplace_back();
    for (const Json& piece : pieces) {
      const bool pair =
          piece.is_array() && piece.size() == 2 && piece[0].is_string() && piece[1].is_string();
      if (!pair) broken(where, "replays.frames");
      const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& k) {
        return piece[0].get_ref<const std::string&>() == k.second;
      });
      if (kind == std::end(kKinds)) broken(where, "replays.frames");
      frame.push_back({kind->first, piece[1].get<std::string>()});
    }
  }
  return replay;
}

std::string quality_curve_html(const RunReport& report) {
  if (report.quality.points.empty()) return {};
  const double factor = report.metric_is_fraction ? 100 : 1;
  std::vector<ChartSeries> series;
  ChartSeries dial{"diffusion, best settings", "role-student", {}};
  ChartSeries others{"other settings", "role-other", {}};
  for (const QualityReport::Point& point : report.quality.points) {
    const std::pair<double, double> at{point.tokens_per_s, factor * point.score};
    if (point.setting == "ar") {
      series.push_back({"ar", "role-teacher", {at}});
    } else if (point.setting == "speculative") {
      series.push_back({"speculative", "series-3", {at}});
    } else {
      (point.best ? dial : others).points.push_back(at);
    }
  }
  std::sort(dial.points.begin(), dial.points.end());
  if (!dial.points.empty()) series.push_back(std::move(dial));
  for (const auto& point : others.points) series.push_back({"", "role-other", {point}});
  const std::string chart =
      line_chart(series, "Quality against speed", "tokens per second", report.metric);
  if (chart.empty()) return {};
  return fmt::format(
      "<figure>\n{}<figcaption>What the settings of one student keep, on development data, one "
      "prompt at a time; <code>--quality</code> moves along the line. Area under the curve: {:.2f} "
      "(extra speed over ar, weighted by the share of the score that is kept).</figcaption>"
      "</figure>\n",
      chart, report.quality.area);
}

// No script: each step is a radio button, which the arrow keys move, and shows its frame.
std::string replays_html(const RunReport& report) {
  std::string out;
  for (size_t r = 0; r < report.replays.size(); ++r) {
    const ReplayReport& replay = report.replays[r];
    const size_t steps = std::min(replay.frames.size(), kMaxFrames);
    if (steps == 0) continue;
    std::string buttons, frames;
    for (size_t i = 0; i < steps; ++i) {
      buttons += fmt::format(
          "<input type=\"radio\" name=\"replay{0}\" class=\"s{1}\" aria-label=\"step {1}\"{2}>", r,
          i + 1, i == 0 ? " checked" : "");
      frames +=
          fmt::format("<div class=\"frame f{}\">{}</div>", i + 1, frame_html(replay.frames[i]));
    }
    out += fmt::format(
        "<div class=\"sample replay\"><div class=\"prompt\"><span class=\"who\">{} · {} steps · "
        "click one, then use the arrow keys</span><div class=\"said\">{}</div></div>\n"
        "<div class=\"cell\">{}\n<div class=\"said\">{}</div></div></div>\n",
        escape_html(replay.mode), steps, escape_html(replay.prompt), buttons, frames);
  }
  return out;
}

std::string decoding_style(const RunReport& report) {
  std::string rules =
      ".replay input{margin:0 1px 8px;accent-color:var(--student)}.frame{display:none}"
      ".r-new{color:var(--good);font-weight:600}.r-changed{color:var(--c4);font-weight:600}"
      ".r-open{color:var(--teacher)}.r-mask{color:var(--other)}\n";
  for (size_t i = 1; i <= longest_replay(report); ++i) {
    rules += fmt::format(".s{0}:checked~.said .f{0}{{display:block}}", i);
  }
  return report.replays.empty() ? "" : rules;
}

}  // namespace alambic
