#include "alambic/eval/report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "alambic/base/progress.h"
#include "alambic/eval/report_decoding.h"
#include "alambic/eval/report_gap.h"

namespace alambic {
namespace {

constexpr size_t kTerminalWidth = 80;

// Numbers that are not finite have no JSON; they travel as null.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const Interval& interval) {
  return Json::array({number(interval.low), number(interval.high)});
}

void put_score(Json& json, const std::optional<Score>& score) {
  json["score"] = score ? number(score->value) : Json(nullptr);
  json["interval"] = score ? to_json(score->interval) : Json(nullptr);
  json["n"] = score ? Json(score->n) : Json(nullptr);
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json to_json(const std::optional<ModelReport>& model) {
  if (!model) return nullptr;
  Json json = {{"name", model->name},
               {"parameters", or_null(model->parameters)},
               {"bytes", or_null(model->bytes)}};
  put_score(json, model->score);
  return json;
}

Json to_json(const std::optional<Score>& score) {
  if (!score) return nullptr;
  Json json;
  put_score(json, score);
  return json;
}

// The value at `key`, or null where there is none.
const Json& at_or_null(const Json& json, const char* key) {
  static const Json kNull;
  const auto found = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && found != json.end() ? *found : kNull;
}

[[noreturn]] void wrong_type(std::string_view where, const char* key, const Json& got,
                             const char* want) {
  fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}, want {}", where, key,
       got.type_name(), want);
}

double number_from(const Json& json, const char* key, std::string_view where) {
  if (json.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!json.is_number()) wrong_type(where, key, json, "a number");
  return json.get<double>();
}

double number_at(const Json& json, const char* key, std::string_view where) {
  return number_from(at_or_null(json, key), key, where);
}

// The list at `key`; absent or null counts as empty.
const Json& list_at(const Json& json, const char* key, std::string_view where) {
  static const Json kEmpty = Json::array();
  const Json& value = at_or_null(json, key);
  if (value.is_null()) return kEmpty;
  if (!value.is_array()) wrong_type(where, key, value, "a list");
  return value;
}

std::string text_at(const Json& json, const char* key, std::string_view where) {
  return optional<std::string>(json, key, "", where);
}

std::optional<Interval> interval_at(const Json& json, const char* key, std::string_view where) {
  const Json& value = at_or_null(json, key);
  if (value.is_null()) return std::nullopt;
  if (!value.is_array() || value.size() != 2) wrong_type(where, key, value, "a list of 2 numbers");
  return Interval{number_from(value[0], key, where), number_from(value[1], key, where)};
}

std::optional<Score> score_from(const Json& json, std::string_view where) {
  if (!json.is_object() || at_or_null(json, "interval").is_null()) return std::nullopt;
  return Score{number_at(json, "score", where), *interval_at(json, "interval", where),
               optional<int64_t>(json, "n", 0, where)};
}

std::optional<int64_t> integer_at(const Json& json, const char* key, std::string_view where) {
  if (at_or_null(json, key).is_null()) return std::nullopt;
  return require<int64_t>(json, key, where);
}

ModelReport model_from(const Json& value, const char* key, std::string_view where) {
  if (!value.is_object()) wrong_type(where, key, value, "an object");
  return {text_at(value, "name", where), integer_at(value, "parameters", where),
          integer_at(value, "bytes", where), score_from(value, where)};
}

std::optional<ModelReport> model_at(const Json& json, const char* key, std::string_view where) {
  const Json& value = at_or_null(json, key);
  if (value.is_null()) return std::nullopt;
  return model_from(value, key, where);
}

std::vector<std::string> texts_at(const Json& json, const char* key, std::string_view where) {
  std::vector<std::string> texts;
  for (const Json& item : list_at(json, key, where)) {
    if (!item.is_string()) wrong_type(where, key, item, "a list of strings");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Json curve_to_json(const LossCurve& curve) {
  Json points = Json::array();
  for (const auto& [x, y] : curve.points) points.push_back({number(x), number(y)});
  return {{"name", curve.name}, {"x", curve.x_label}, {"points", std::move(points)}};
}

LossCurve curve_from_json(const Json& json, std::string_view where) {
  LossCurve curve{text_at(json, "name", where), text_at(json, "x", where), {}};
  for (const Json& point : list_at(json, "points", where)) {
    if (!point.is_array() || point.size() != 2) wrong_type(where, "points", point, "[x, y]");
    curve.points.emplace_back(number_from(point[0], "points", where),
                              number_from(point[1], "points", where));
  }
  return curve;
}

// Columns that a terminal gives `text`: one for each UTF-8 character.
size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string cut_to(std::string_view text, size_t width) {
  std::string out;
  size_t used = 0;
  for (const char c : text) {
    const bool starts = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (starts && ++used > width) break;
    // Control characters could move the cursor or recolour the terminal.
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return out;
}

std::string left(std::string_view text, size_t width) {
  const std::string cut = cut_to(text, width);
  return cut + std::string(width - columns(cut), ' ');
}

std::string right(std::string_view text, size_t width) {
  const std::string cut = cut_to(text, width);
  return std::string(width - columns(cut), ' ') + cut;
}

std::string interval_text(const RunReport& report, const Score& score) {
  return format_score(report, score.interval.low) + " to " +
         format_score(report, score.interval.high);
}

std::string quality_row(const RunReport& report, std::string_view role, const std::string& size,
                        const std::string& bytes, const std::optional<Score>& score) {
  return left(role, 26) + right(size, 10) + right(bytes, 10) +
         right(score ? format_score(report, score->value) : "-", 14) + "  " +
         cut_to(score ? interval_text(report, *score) : "-", 18);
}

std::string share_row(std::string_view what, const GapClosed& share) {
  std::string row = left(what, 46);
  row += right(share.value ? fmt::format("{:.0f} %", 100 * *share.value) : "-", 14);
  if (share.interval) {
    row += fmt::format("  {:.0f} % to {:.0f} %", 100 * share.interval->low,
                       100 * share.interval->high);
  }
  return row + '\n';
}

// A baseline has no size, and its name takes that place.
std::string baseline_row(const RunReport& report, const BaselineReport& baseline) {
  return left((baseline.recommended ? "* " : "") + baseline.name, 46) +
         right(format_score(report, baseline.score.value), 14) + "  " +
         cut_to(interval_text(report, baseline.score), 18);
}

std::string wrapped(std::string_view text, size_t indent) {
  std::string out, line(indent, ' ');
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find(' ', i), text.size());
    const std::string_view word = text.substr(i, end - i);
    if (columns(line) > indent && columns(line) + 1 + columns(word) > kTerminalWidth) {
      out += line + '\n';
      line.assign(indent, ' ');
    }
    if (columns(line) > indent) line += ' ';
    line += cut_to(word, kTerminalWidth - indent);
    i = end + 1;
  }
  return out + line + '\n';
}

}  // namespace

std::string format_score(const RunReport& report, double value) {
  if (!std::isfinite(value)) return "-";
  if (report.metric_is_fraction) return fmt::format("{:.1f} %", 100 * value);
  return std::abs(value) < 1e5 ? fmt::format("{:.2f}", value) : fmt::format("{:.3g}", value);
}

std::string format_count(int64_t count) {
  const auto n = static_cast<double>(count);
  if (count < 1000) return fmt::format("{}", count);
  if (n < 999.5e3) return fmt::format("{:.0f} K", n / 1e3);
  if (n < 999.5e6) return fmt::format("{:.{}f} M", n / 1e6, n < 99.5e6 ? 1 : 0);
  return fmt::format("{:.1f} B", n / 1e9);
}

std::string format_bytes(int64_t bytes) {
  const auto n = static_cast<double>(bytes);
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (n < 999.5e3) return fmt::format("{:.0f} kB", n / 1e3);
  if (n < 999.5e6) return fmt::format("{:.{}f} MB", n / 1e6, n < 99.5e6 ? 1 : 0);
  return fmt::format("{:.1f} GB", n / 1e9);
}

Json to_json(const RunReport& report) {
  Json json = {
      {"name", report.name},
      {"task", report.task},
      {"metric", report.metric},
      {"metric_is_fraction", report.metric_is_fraction},
      {"metric_lower_is_better", report.metric_lower_is_better},
      {"teacher", to_json(report.teacher)},
      {"student", to_json(std::optional(report.student))},
      {"control", to_json(report.control)},
      {"gap_closed", report.gap.value ? number(*report.gap.value) : Json(nullptr)},
      {"gap_closed_interval", report.gap.interval ? to_json(*report.gap.interval) : Json(nullptr)},
      {"gap_closed_reason", report.gap.reason},
      {"gap_parts", gap_parts_to_json(report)},
      {"lead", lead_sentence(report)},
      {"agreement_with_teacher",
       {{"student", to_json(report.student_agreement)},
        {"control", to_json(report.control_agreement)}}},
      {"seconds", number(report.seconds)},
      {"command", report.command},
      {"machine", report.machine},
      {"created", report.created},
      {"try_command", report.try_command},
      {"data", to_json(report.data)},
      {"notes", report.notes},
      {"licences", report.licences}};
  json["arms"] = Json::array();
  for (const ModelReport& arm : report.arms) json["arms"].push_back(to_json(std::optional(arm)));
  json["baselines"] = Json::array();
  for (const BaselineReport& baseline : report.baselines) {
    Json item = {{"name", baseline.name}, {"recommended", baseline.recommended}};
    put_score(item, baseline.score);
    json["baselines"].push_back(std::move(item));
  }
  json["student_over_control"] = nullptr;
  if (const auto& over = report.student_over_control) {
    json["student_over_control"] = {{"difference", number(over->difference)},
                                    {"interval", to_json(over->interval)},
                                    {"probability", number(over->probability)}};
  }
  // Keyed by mode for scripts; "decode_order" keeps the order for people.
  json["decode"] = Json::object();
  json["decode_order"] = Json::array();
  for (const DecodeReport& decode : report.decode) {
    Json& item = json["decode"][decode.mode];
    item = {{"tokens_per_s", number(decode.tokens_per_s)},
            {"tokens_per_forward", number(decode.tokens_per_forward)},
            {"acceptance", Json::array()}};
    for (const double share : decode.acceptance) item["acceptance"].push_back(number(share));
    put_score(item, decode.score);
    json["decode_order"].push_back(decode.mode);
  }
  json["quality"] = to_json(report.quality);
  json["replays"] = Json::array();
  for (const ReplayReport& replay : report.replays) json["replays"].push_back(to_json(replay));
  json["phases"] = Json::array();
  for (const auto& [name, seconds] : report.phases) {
    json["phases"].push_back({{"name", name}, {"seconds", number(seconds)}});
  }
  json["versions"] = Json::array();
  for (const auto& [name, version] : report.versions) {
    json["versions"].push_back({{"name", name}, {"version", version}});
  }
  json["curves"] = Json::array();
  for (const LossCurve& curve : report.curves) json["curves"].push_back(curve_to_json(curve));
  json["samples"] = Json::array();
  for (const SampleReport& sample : report.samples) {
    json["samples"].push_back({{"prompt", sample.prompt},
                               {"reference", sample.reference},
                               {"teacher", sample.teacher},
                               {"student", sample.student},
                               {"control", sample.control}});
  }
  return json;
}

RunReport report_from_json(const Json& json, std::string_view where) {
  if (!json.is_object()) {
    fail(ErrorCode::kCorruptData, "[{}] a report is one JSON object; got {}", where,
         json.type_name());
  }
  RunReport report;
  report.name = text_at(json, "name", where);
  report.task = require<std::string>(json, "task", where);
  report.metric = text_at(json, "metric", where);
  report.metric_is_fraction = optional<bool>(json, "metric_is_fraction", false, where);
  report.metric_lower_is_better = optional<bool>(json, "metric_lower_is_better", false, where);
  report.teacher = model_at(json, "teacher", where);
  report.control = model_at(json, "control", where);
  const std::optional<ModelReport> student = model_at(json, "student", where);
  if (!student) fail(ErrorCode::kCorruptData, "[{}] key \"student\" is missing", where);
  report.student = *student;
  if (!at_or_null(json, "gap_closed").is_null()) {
    report.gap.value = number_at(json, "gap_closed", where);
  }
  report.gap.interval = interval_at(json, "gap_closed_interval", where);
  report.gap.reason = text_at(json, "gap_closed_reason", where);
  report.gap_parts = gap_parts_from_json(list_at(json, "gap_parts", where), where);
  for (const Json& item : list_at(json, "arms", where))
    report.arms.push_back(model_from(item, "arms", where));
  const Json& agreement = at_or_null(json, "agreement_with_teacher");
  report.student_agreement = score_from(at_or_null(agreement, "student"), where);
  report.control_agreement = score_from(at_or_null(agreement, "control"), where);
  report.seconds = number_at(json, "seconds", where);
  report.command = text_at(json, "command", where);
  report.machine = text_at(json, "machine", where);
  report.created = text_at(json, "created", where);
  report.try_command = text_at(json, "try_command", where);
  report.data = data_report_from_json(at_or_null(json, "data"), where);
  report.notes = texts_at(json, "notes", where);
  report.licences = texts_at(json, "licences", where);
  for (const Json& item : list_at(json, "baselines", where)) {
    report.baselines.push_back({text_at(item, "name", where),
                                score_from(item, where).value_or(Score{}),
                                optional(item, "recommended", false, where)});
  }
  const Json& over = at_or_null(json, "student_over_control");
  if (!over.is_null()) {
    report.student_over_control =
        PairedComparison{number_at(over, "difference", where),
                         interval_at(over, "interval", where).value_or(Interval{}),
                         number_at(over, "probability", where)};
  }
  const Json& decode = at_or_null(json, "decode");
  for (const std::string& mode : texts_at(json, "decode_order", where)) {
    const Json& item = at_or_null(decode, mode.c_str());
    DecodeReport& decoded = report.decode.emplace_back();
    decoded = {mode, number_at(item, "tokens_per_s", where),
               number_at(item, "tokens_per_forward", where), score_from(item, where)};
    for (const Json& share : list_at(item, "acceptance", where)) {
      decoded.acceptance.push_back(number_from(share, "acceptance", where));
    }
  }
  report.quality = quality_from_json(at_or_null(json, "quality"), where);
  for (const Json& replay : list_at(json, "replays", where)) {
    report.replays.push_back(replay_from_json(replay, where));
  }
  for (const Json& item : list_at(json, "phases", where)) {
    report.phases.emplace_back(text_at(item, "name", where), number_at(item, "seconds", where));
  }
  for (const Json& item : list_at(json, "versions", where)) {
    report.versions.emplace_back(text_at(item, "name", where), text_at(item, "version", where));
  }
  for (const Json& item : list_at(json, "curves", where)) {
    report.curves.push_back(curve_from_json(item, where));
  }
  for (const Json& item : list_at(json, "samples", where)) {
    report.samples.push_back({text_at(item, "prompt", where), text_at(item, "reference", where),
                              text_at(item, "teacher", where), text_at(item, "student", where),
                              text_at(item, "control", where)});
  }
  return report;
}

std::string to_terminal(const RunReport& report) {
  const std::string rule(kTerminalWidth, '-');
  std::string out = cut_to(report.name + ": " + report.task, kTerminalWidth) + "\n\n";
  if (const std::string lead = lead_sentence(report); !lead.empty()) out += wrapped(lead, 0) + '\n';
  out += left("", 26) + right("params", 10) + right("size", 10) + right(report.metric, 14) +
         "  95 % interval\n" + rule + '\n';
  const auto model_row = [&](const char* role, const ModelReport& model) {
    out += quality_row(report,
                       model.name.empty() || model.name == role ? role : role + (" " + model.name),
                       model.parameters ? format_count(*model.parameters) : "-",
                       model.bytes ? format_bytes(*model.bytes) : "-", model.score) +
           '\n';
  };
  if (report.teacher) model_row("teacher", *report.teacher);
  model_row("student", report.student);
  for (const ModelReport& arm : report.arms) model_row(arm.name.c_str(), arm);
  if (report.control) model_row("control", *report.control);
  for (const BaselineReport& baseline : report.baselines) {
    out += baseline_row(report, baseline) + '\n';
  }
  if (std::any_of(report.baselines.begin(), report.baselines.end(),
                  [](const BaselineReport& b) { return b.recommended; })) {
    out += "* recommended: the student is no better\n";
  }
  if (!report.decode.empty()) {
    out += '\n' + left("student, decoding by", 26) + right("tok/s", 10) + right("tok/fwd", 10) +
           right(report.metric, 14) + "  95 % interval\n" + rule + '\n';
    for (const DecodeReport& decode : report.decode) {
      out += quality_row(report, decode.mode, fmt::format("{:.0f}", decode.tokens_per_s),
                         fmt::format("{:.2f}", decode.tokens_per_forward), decode.score) +
             '\n';
    }
  }
  out += '\n';
  if (report.gap.value) {
    out += share_row("gap closed by what the teacher says", report.gap);
    for (const GapPart& part : report.gap_parts)
      out += share_row("  " + source_in_words(part.source), part.share);
  }
  if (const auto& over = report.student_over_control) {
    out += fmt::format("student beats control in {:.1f} % of resamples\n", 100 * over->probability);
  }
  if (report.student_agreement) {
    out += fmt::format("{}: student {:.1f} %", agreement_in_words(report),
                       100 * report.student_agreement->value);
    if (report.control_agreement) {
      out += fmt::format(", control {:.1f} %", 100 * report.control_agreement->value);
    }
    out += '\n';
  }
  out += "took " + format_duration(std::isfinite(report.seconds) ? report.seconds : 0) + '\n';
  for (const std::string& line : in_words(report.data)) out += wrapped(line, 0);
  for (const std::string& note : report.notes) out += wrapped("note: " + note, 0);
  if (!report.try_command.empty()) out += "\nTry it:\n  " + report.try_command + '\n';
  return out;
}

}  // namespace alambic
