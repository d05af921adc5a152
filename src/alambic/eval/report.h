// What a run leaves for people and scripts: report.json, report.html and the table that ends a run.
//
// RunReport is a plain value. to_json and report_from_json are inverse to each other (numbers that
// are not finite come back as NaN). to_html gives one page that opens offline and runs no script;
// every text in it is escaped, so samples may hold anything. All functions are pure and safe from
// any thread. Errors: report_from_json throws kCorruptData naming `where` and the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/data/data_report.h"
#include "alambic/decode/replay.h"
#include "alambic/eval/interval.h"

namespace alambic {

struct ModelReport {
  std::string name;
  std::optional<int64_t> parameters;  // absent where nobody knows (a teacher behind an endpoint)
  std::optional<int64_t> bytes;
  std::optional<Score> score;
};

// What one thing brought, as a share of the gap between control and teacher.
struct GapPart {
  // "weights": taken over from the teacher; "answers": its texts; "probabilities"; "answers and
  // probabilities", where no training tells them apart; "on_policy".
  std::string source;
  GapClosed share;
};

struct BaselineReport {
  std::string name;
  Score score;
  bool recommended = false;  // it is kept, for the student is no better
};

struct DecodeReport {
  std::string mode;  // "ar", "lookup", "speculative" or "diffusion": a key of report.json
  double tokens_per_s = 0;
  double tokens_per_forward = 0;
  std::optional<Score> score;
  std::vector<double> acceptance;  // share of drafts that stood, by distance
};

// Speed against quality over the settings of one student, on development data.
struct QualityReport {
  struct Point {
    std::string setting;
    double tokens_per_s = 0, score = 0;
    bool best = false;  // no other is both faster and better
  };
  std::vector<Point> points;  // `ar` first, then `speculative`
  double area = 0;            // extra speed over `ar`, weighted by the share of the score kept
};

// A generation step by step.
struct ReplayReport {
  std::string mode, prompt;
  std::vector<ReplayFrame> frames;
};

struct LossCurve {
  std::string name;
  std::string x_label;  // "step" or "tokens"
  std::vector<std::pair<double, double>> points;
};

struct SampleReport {
  std::string prompt, reference, teacher, student, control;
};

struct RunReport {
  std::string name, task;
  std::string metric;               // "BLEU", "accuracy", …
  bool metric_is_fraction = false;  // shown as per cent
  bool metric_lower_is_better = false;

  std::optional<ModelReport> teacher, control;
  ModelReport student;
  // The other trainings that the gap is split by, in order: "start" (the student's first weights,
  // no teacher), "texts" (the teacher's answers alone), "on_policy".
  std::vector<ModelReport> arms;
  std::vector<BaselineReport> baselines;
  GapClosed gap;  // by what the teacher said; weights taken over from it do not count
  std::vector<GapPart> gap_parts;                        // they add up to where the last arm stands
  std::optional<PairedComparison> student_over_control;  // positive is better, whatever the metric
  std::optional<Score> student_agreement, control_agreement;  // with the teacher, as fractions
  std::vector<DecodeReport> decode;
  QualityReport quality;  // no points: not measured
  std::vector<ReplayReport> replays;

  double seconds = 0;
  std::vector<std::pair<std::string, double>> phases;  // name, seconds; in order
  std::vector<LossCurve> curves;
  std::vector<SampleReport> samples;

  std::string command, machine, created;  // created: a date and time for people
  std::string try_command;                // what to type to try the student; empty: not shown
  DataReport data;                        // what became of every row
  std::vector<std::string> notes;
  std::vector<std::string> licences;
  std::vector<std::pair<std::string, std::string>> versions;  // name, version
};

Json to_json(const RunReport& report);
RunReport report_from_json(const Json& json, std::string_view where);
std::string to_html(const RunReport& report);
// At most 80 columns; ends with a newline.
std::string to_terminal(const RunReport& report);

// "61.3 %", "34.71", "3.204": a score as people read it, following the report's metric.
std::string format_score(const RunReport& report, double value);
// "1.2 M", "656 K", "912".
std::string format_count(int64_t count);
// "4.7 MB", "812 kB".
std::string format_bytes(int64_t bytes);

}  // namespace alambic
