#include <algorithm>
#include <array>
#include <cmath>

#include "alambic/base/progress.h"
#include "alambic/eval/chart.h"
#include "alambic/eval/report.h"
#include "alambic/eval/report_decoding.h"
#include "alambic/eval/report_gap.h"

namespace alambic {
namespace {

constexpr size_t kMaxSamples = 24;
constexpr size_t kMaxSampleText = 4000;  // bytes of one text that the page shows

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#ffffff;--ink:#23211e;--soft:#6b665e;--line:#e4dfd5;
--teacher:#2e6a73;--student:#b8561c;--control:#8a8578;--other:#c3bdb0;--good:#3d7a46;
--c3:#6a5a9c;--c4:#a33d5a;--c5:#7d8b2b}
@media (prefers-color-scheme:dark){:root{--paper:#181715;--card:#211f1c;--ink:#ece8e0;--soft:#a19a8d;
--line:#37332d;--teacher:#6fb7c1;--student:#ec9257;--control:#a39d90;--other:#5f5a50;--good:#86c48f;
--c3:#ab9be0;--c4:#e58aa3;--c5:#bccb63}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:900px;margin:0 auto;padding:56px 20px 72px}
h1,h2{font-family:"Iowan Old Style",Charter,"Bitstream Charter","Noto Serif",Georgia,"DejaVu Serif",serif;
font-weight:600;line-height:1.2;text-wrap:balance}
h1{font-size:2.3rem;letter-spacing:-.012em;margin:.1em 0 .25em}
h2{font-size:1.4rem;margin:2.6em 0 .7em}
.kicker{margin:0;color:var(--student);font-size:.8rem;font-weight:600;letter-spacing:.09em;
text-transform:uppercase}
.lede{font-size:1.1rem;margin:0 0 .2em;max-width:44em}
p{margin:.5em 0;max-width:46em}.soft,figcaption{color:var(--soft);font-size:.9rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:1px;margin:28px 0 20px;
background:var(--line);border:1px solid var(--line);border-radius:10px;overflow:hidden}
.tile{background:var(--card);padding:16px 18px}
.tile b{display:block;font-size:1.75rem;font-weight:600;letter-spacing:-.02em;line-height:1.25}
.tile span{color:var(--soft);font-size:.85rem;display:block;line-height:1.4}
figure{margin:0 0 18px;padding:18px 18px 10px;background:var(--card);border:1px solid var(--line);
border-radius:10px}
figcaption{padding-top:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.94rem}
th,td{padding:8px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:2px;white-space:normal}
th{color:var(--soft);font-weight:500;font-size:.84rem;vertical-align:bottom}
td:last-child,th:last-child{padding-right:2px}
tr.me td{font-weight:600}
td.wrap{white-space:normal;min-width:8em}
td small,.soft small{color:var(--soft);font-weight:400;font-size:.86em}
i.chip{display:inline-block;width:.68em;height:.68em;border-radius:2px;margin-right:.6em}
.equation{display:flex;flex-wrap:wrap;align-items:center;gap:14px;font-size:1.12rem;padding:18px 20px;
background:var(--card);border:1px solid var(--line);border-radius:10px}
.equation .frac{display:inline-flex;flex-direction:column;text-align:center}
.equation .frac span{padding:2px 8px}.equation .frac span:first-child{border-bottom:1.5px solid var(--ink)}
.equation b{font-size:1.35rem;color:var(--student)}
.sample{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0 0 16px;
overflow:hidden;break-inside:avoid}
.sample .prompt{padding:12px 18px;border-bottom:1px solid var(--line)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:1px;background:var(--line)}
.cell{background:var(--card);padding:12px 18px 14px;min-width:0}
.who{display:block;font-size:.78rem;font-weight:600;letter-spacing:.03em;color:var(--soft);margin-bottom:3px}
.said{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.94rem}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;
white-space:pre-wrap;overflow-wrap:anywhere;font:.86rem/1.5 ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace}
.band{display:flex;height:14px;border-radius:4px;overflow:hidden;gap:2px;margin:4px 0 12px}
.band span{min-width:2px}
ul{padding-left:1.2em;margin:.4em 0;max-width:46em}li{margin:.25em 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 22px;font-size:.94rem;margin:.6em 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
svg.chart{display:block;width:100%;height:auto;font-family:inherit}
.chart text{fill:var(--ink);font-size:13px}.chart text.tick{fill:var(--soft);font-size:12px}
.chart text.value{font-weight:600}
.chart .grid{stroke:var(--line);stroke-width:1}.chart .axis{stroke:var(--soft);stroke-width:1}
.chart .whisker{stroke:var(--ink);stroke-width:1.4}
.chart .bar,.chart .dot{fill:currentColor}
.chart .curve{fill:none;stroke:currentColor;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
.chart .held-out{stroke-dasharray:5 4}
.chart .key{stroke:currentColor;stroke-width:3;stroke-linecap:round}
.role-teacher,.series-0{color:var(--teacher)}.role-student,.series-1{color:var(--student)}
.role-control,.series-2{color:var(--control)}.role-other{color:var(--other)}
.series-3{color:var(--c3)}.series-4{color:var(--c4)}.series-5{color:var(--c5)}
.fill{background:currentColor}
footer{margin-top:3.4em;padding-top:1em;border-top:1px solid var(--line);color:var(--soft);font-size:.86rem}
@media (max-width:560px){main{padding-top:32px}h1{font-size:1.8rem}.grid{grid-template-columns:1fr}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#111;--soft:#555;--line:#ccc;
--teacher:#2e6a73;--student:#b8561c;--control:#8a8578;--other:#c3bdb0}
body{font-size:11pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}main{max-width:none;padding:0}
h2{break-after:avoid}figure,table,.tiles,.equation,pre{break-inside:avoid}}
)css";

// ASCII lower case: a model that is called like its role needs no second name.
std::string fold(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// Running text must not break between a number and its per-cent sign.
std::string unbroken(std::string text) {
  for (size_t at = text.find(" %"); at != std::string::npos; at = text.find(" %", at + 1)) {
    text.replace(at, 1, "\u00a0");
  }
  return text;
}

std::string chip(std::string_view style) {
  return fmt::format("<i class=\"chip fill {}\"></i>", style);
}

std::string section(std::string_view title, const std::string& body) {
  return body.empty() ? "" : fmt::format("<h2>{}</h2>\n{}", title, body);
}

std::string figure(const std::string& chart, std::string_view caption) {
  if (chart.empty()) return {};
  return fmt::format("<figure>\n{}<figcaption>{}</figcaption></figure>\n", chart, caption);
}

// A difference of two scores, with its sign: per cent differ by points.
std::string signed_difference(const RunReport& report, double value) {
  if (!std::isfinite(value)) return "–";
  const double size = std::abs(value);
  const std::string text =
      report.metric_is_fraction ? fmt::format("{:.1f}", 100 * size) : fmt::format("{:.2f}", size);
  return (value < 0 ? "−" : "+") + text + (report.metric_is_fraction ? " points" : "");
}

std::string score_text(const RunReport& report, const std::optional<Score>& score) {
  return score ? format_score(report, score->value) : "–";
}

std::string interval_text(const RunReport& report, const std::optional<Score>& score) {
  if (!score) return "–";
  return format_score(report, score->interval.low) + " to " +
         format_score(report, score->interval.high);
}

std::string tile(const std::string& figure_text, const std::string& words) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n",
                     escape_html(figure_text), escape_html(words));
}

std::string tiles(const RunReport& report) {
  std::string out =
      tile(score_text(report, report.student.score), report.metric + " of the student");
  out += tile(report.gap.value ? fmt::format("{:.0f} %", 100 * *report.gap.value) : "–",
              "of the gap closed by what the teacher says");
  const auto& teacher = report.teacher;
  if (teacher && teacher->parameters && report.student.parameters.value_or(0) > 0) {
    const double ratio =
        static_cast<double>(*teacher->parameters) / static_cast<double>(*report.student.parameters);
    out += tile(
        fmt::format("{:.{}f}×", ratio, ratio < 10 ? 1 : 0),
        fmt::format("fewer parameters: {} instead of {}", format_count(*report.student.parameters),
                    format_count(*teacher->parameters)));
  } else if (report.student.parameters) {
    out += tile(format_count(*report.student.parameters), "parameters in the student");
  }
  const auto fastest = std::max_element(
      report.decode.begin(), report.decode.end(),
      [](const auto& a, const auto& b) { return a.tokens_per_s < b.tokens_per_s; });
  if (fastest != report.decode.end()) {
    out += tile(fmt::format("{:.0f}", fastest->tokens_per_s),
                "tokens per second, decoding by " + fastest->mode);
  }
  return "<div class=\"tiles\">\n" + out + "</div>\n";
}

std::string verdict(const RunReport& report) {
  const std::string lead_words = lead_sentence(report);
  std::string opening =
      lead_words.empty() ? "" : "<p class=\"lede\"><b>" + escape_html(lead_words) + "</b></p>\n";
  const auto& over = report.student_over_control;
  if (!over) return opening;
  const std::string lead =
      fmt::format("{} (95 % interval {} to {})", signed_difference(report, over->difference),
                  signed_difference(report, over->interval.low),
                  signed_difference(report, over->interval.high));
  // The comparison is stored so that positive is better, whatever the metric.
  const char* words = over->interval.low > 0    ? "The student beats the control trained without "
                                                  "the teacher, beyond the noise: "
                      : over->interval.high < 0 ? "The student is worse than the control trained "
                                                  "without the teacher: "
                                                : "Student and control cannot be told apart on "
                                                  "this many examples: ";
  return opening +
         unbroken(fmt::format("<p class=\"lede\">{}{}; it is ahead in {:.1f} % of resamples.</p>\n",
                              words, lead, 100 * over->probability));
}

std::string quality_row(const RunReport& report, std::string_view role, const ModelReport& model,
                        std::string_view style) {
  return fmt::format(
      "<tr{}><td>{}{} <small>{}</small></td><td>{}</td><td>{}</td><td>{}</td><td><small>{}</small>"
      "</td></tr>\n",
      role == "Student" ? " class=\"me\"" : "", chip(style), role,
      fold(model.name) == fold(role) ? "" : escape_html(model.name),
      model.parameters ? format_count(*model.parameters) : "–",
      model.bytes ? format_bytes(*model.bytes) : "–", score_text(report, model.score),
      interval_text(report, model.score));
}

// An arm, for people, and what it is.
struct ArmWords {
  const char *title, *what;
};
ArmWords arm_words(std::string_view name) {
  if (name == "start") return {"Start", "inherited weights, no teacher"};
  if (name == "texts") return {"Texts", "the teacher's answers alone"};
  return {"On-policy", "the teacher marks what the student writes"};
}

std::string quality(const RunReport& report) {
  std::vector<ChartBar> bars;
  const auto add_bar = [&](const std::string& label, const std::string& style,
                           const std::optional<Score>& score) {
    if (!score) return;
    bars.push_back({label, format_score(report, score->value), style, score->value,
                    score->interval.low, score->interval.high});
  };
  std::string rows;
  if (report.teacher) {
    add_bar("Teacher", "role-teacher", report.teacher->score);
    rows += quality_row(report, "Teacher", *report.teacher, "role-teacher");
  }
  add_bar("Student", "role-student", report.student.score);
  rows += quality_row(report, "Student", report.student, "role-student");
  for (const ModelReport& arm : report.arms) {
    const auto [title, what] = arm_words(arm.name);
    add_bar(title, "role-other", arm.score);
    ModelReport shown = arm;
    shown.name = what;
    rows += quality_row(report, title, shown, "role-other");
  }
  if (report.control) {
    add_bar("Control", "role-control", report.control->score);
    rows += quality_row(report, "Control", *report.control, "role-control");
  }
  for (const BaselineReport& baseline : report.baselines) {
    add_bar(baseline.name, "role-other", baseline.score);
    rows += fmt::format(
        "<tr><td>{}{}{}</td><td></td><td></td><td>{}</td><td><small>{}</small></td></tr>\n",
        chip("role-other"), escape_html(baseline.name),
        baseline.recommended ? " <strong>(recommended)</strong>" : "",
        format_score(report, baseline.score.value), interval_text(report, baseline.score));
  }
  const int64_t n = report.student.score ? report.student.score->n : 0;
  const std::string caption = fmt::format(
      "{}{}{}. Whiskers: 95 % bootstrap interval over examples.", escape_html(report.metric),
      report.metric_lower_is_better ? " (lower is better)" : "",
      n > 0 ? fmt::format(" on {} held-out examples", n) : "");
  return figure(bar_chart(bars, report.metric + " by model", report.metric_is_fraction), caption) +
         fmt::format(
             "<div class=\"scroll\"><table><thead><tr><th>Model</th><th>Parameters</th>"
             "<th>On disk</th><th>{}</th><th>95 % interval</th></tr></thead>\n<tbody>{}"
             "</tbody></table></div>\n",
             escape_html(report.metric), rows);
}

std::string agreement(const RunReport& report) {
  if (!report.student_agreement) return {};
  const auto percent = [](const Score& score) {
    return fmt::format("{:.1f} % (95 % interval {:.1f} to {:.1f})", 100 * score.value,
                       100 * score.interval.low, 100 * score.interval.high);
  };
  std::string out = "<p>" + as_sentence(agreement_in_words(report)) + ": student " +
                    percent(*report.student_agreement);
  if (report.control_agreement) out += ", control " + percent(*report.control_agreement);
  return unbroken(out + ".</p>\n");
}

std::string gap_parts(const RunReport& report) {
  std::string rows;
  for (const GapPart& part : report.gap_parts) {
    if (!part.share.value) continue;
    rows += fmt::format("<tr><td>{}</td><td>{:.0f} %</td><td><small>{}</small></td></tr>\n",
                        source_in_words(part.source), 100 * *part.share.value,
                        part.share.interval
                            ? fmt::format("{:.0f} % to {:.0f} %", 100 * part.share.interval->low,
                                          100 * part.share.interval->high)
                            : "–");
  }
  if (rows.empty()) return "</div>\n";
  return "</div>\n<div class=\"scroll\"><table><thead><tr><th>Brought by</th><th>Of the gap</th>"
         "<th>95 % interval</th></tr></thead>\n<tbody>" +
         rows + "</tbody></table></div>\n";
}

std::string gap(const RunReport& report) {
  std::string out;
  const bool scored = report.teacher && report.teacher->score && report.student.score &&
                      report.control && report.control->score;
  const auto start = std::find_if(report.arms.begin(), report.arms.end(),
                                  [](const ModelReport& arm) { return arm.name == "start"; });
  const bool inherits = start != report.arms.end() && start->score;
  if (report.gap.value && scored) {
    const std::string t = format_score(report, report.teacher->score->value),
                      s = format_score(report, report.student.score->value),
                      c = format_score(report, report.control->score->value),
                      b = inherits ? format_score(report, start->score->value) : c;
    out += fmt::format(
        "<div class=\"equation\"><span class=\"frac\"><span>student − {}</span><span>teacher "
        "− control</span></span><span>=</span><span class=\"frac\"><span>{} − {}</span><span>{} − "
        "{}</span></span><span>=</span><b>{:.0f} %</b>",
        inherits ? "start" : "control", s, b, t, c, 100 * *report.gap.value);
    if (report.gap.interval) {
      out += fmt::format("<span class=\"soft\">95 % interval {:.0f} % to {:.0f} %</span>",
                         100 * report.gap.interval->low, 100 * report.gap.interval->high);
    }
    out += gap_parts(report);
    out +=
        "<p class=\"soft\">The control has the student's size and may train as long; it has all "
        "that the owner has, and never saw the teacher. 0 % is a student no better than that, "
        "100 % one as good as the teacher.</p>\n";
  } else if (!report.gap.reason.empty()) {
    out += fmt::format("<p>No number: {}.</p>\n", escape_html(report.gap.reason));
  }
  return out + agreement(report);
}

std::string speed(const RunReport& report) {
  std::string rows;
  const auto ar = std::find_if(report.decode.begin(), report.decode.end(),
                               [](const DecodeReport& d) { return d.mode == "ar"; });
  for (const DecodeReport& decode : report.decode) {
    const bool known = ar != report.decode.end() && ar->tokens_per_s > 0;
    std::string acceptance;
    for (const double share : decode.acceptance) acceptance += fmt::format("{:.2f} ", share);
    rows += fmt::format(
        "<tr><td>{}</td><td>{:.0f}</td><td>{}</td><td>{:.2f}</td><td>{}</td><td><small>{}</small>"
        "</td><td class=\"wrap\"><small>{}</small></td></tr>\n",
        escape_html(decode.mode), decode.tokens_per_s,
        known ? fmt::format("{:.2f}×", decode.tokens_per_s / ar->tokens_per_s) : "–",
        decode.tokens_per_forward, score_text(report, decode.score),
        interval_text(report, decode.score), acceptance);
  }
  if (rows.empty()) return {};
  return fmt::format(
      "<div class=\"scroll\"><table><thead><tr><th>Decoding</th><th>Tokens per second</th><th>"
      "Against ar</th><th>Tokens per forward</th><th>{}</th><th>95 % interval</th><th>Drafts "
      "accepted, by distance</th></tr></thead>\n"
      "<tbody>{}</tbody></table></div>\n<p class=\"soft\">One set of weights, decoded in each way "
      "on "
      "the machine named below.</p>\n",
      escape_html(report.metric), rows);
}

constexpr const char* kHeldOut = ", held out";

std::string curve_style(const std::string& name, size_t index) {
  constexpr std::array<std::array<const char*, 2>, 6> kStyles{{{"teacher", "role-teacher"},
                                                               {"student", "role-student"},
                                                               {"control", "role-control"},
                                                               {"start", "series-3"},
                                                               {"texts", "series-4"},
                                                               {"on_policy", "series-5"}}};
  for (const auto& [arm, style] : kStyles) {
    if (name == arm) return style;
    if (name == std::string(arm) + kHeldOut) return fmt::format("{} held-out", style);
  }
  return fmt::format("series-{}", index % 6);
}

std::string losses(const RunReport& report) {
  std::string out;
  std::vector<std::string> done;
  // Steps and tokens do not share an axis: one chart for each unit.
  for (const LossCurve& first : report.curves) {
    if (std::find(done.begin(), done.end(), first.x_label) != done.end()) continue;
    done.push_back(first.x_label);
    std::vector<ChartSeries> series;
    for (size_t i = 0; i < report.curves.size(); ++i) {
      const LossCurve& curve = report.curves[i];
      if (curve.x_label != first.x_label) continue;
      // Dashes need no key of their own.
      series.push_back({curve.name.ends_with(kHeldOut) ? "" : curve.name,
                        curve_style(curve.name, i), curve.points});
    }
    out +=
        figure(line_chart(series, "Training loss", first.x_label, "loss"),
               "Training loss, in nats; dashed: on held-out data. Models with different objectives "
               "are not on one scale.");
  }
  return out;
}

std::string said(const char* who, std::string_view style, const std::string& text) {
  if (text.empty()) return {};
  const bool cut = text.size() > kMaxSampleText;
  size_t end = std::min(text.size(), kMaxSampleText);
  while (cut && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return fmt::format(
      "<div class=\"cell\"><span class=\"who\">{}{}</span><div class=\"said\">{}{}</div></div>\n",
      style.empty() ? "" : chip(style), who, escape_html(text.substr(0, end)), cut ? " …" : "");
}

std::string samples(const RunReport& report) {
  std::string out;
  for (size_t i = 0; i < std::min(report.samples.size(), kMaxSamples); ++i) {
    const SampleReport& sample = report.samples[i];
    out += fmt::format(
        "<div class=\"sample\"><div class=\"prompt\"><span class=\"who\">Prompt</span><div "
        "class=\"said\">{}</div></div>\n<div class=\"grid\">{}{}{}{}</div></div>\n",
        escape_html(std::string_view(sample.prompt).substr(0, kMaxSampleText)),
        said("Reference", "", sample.reference), said("Teacher", "role-teacher", sample.teacher),
        said("Student", "role-student", sample.student),
        said("Control", "role-control", sample.control));
  }
  return out;
}

std::string phases(const RunReport& report) {
  double total = 0;
  for (const auto& [name, seconds] : report.phases) {
    if (std::isfinite(seconds) && seconds > 0) total += seconds;
  }
  if (!(total > 0)) return {};
  std::string band, rows;
  for (size_t i = 0; i < report.phases.size(); ++i) {
    const auto& [name, seconds] = report.phases[i];
    if (!std::isfinite(seconds) || seconds < 0) continue;
    const std::string style = fmt::format("series-{}", i % 6);
    band += fmt::format("<span class=\"fill {}\" style=\"flex:{:.4f}\"></span>", style,
                        seconds / total);
    rows += fmt::format("<tr><td>{}{}</td><td>{}</td><td><small>{:.0f} %</small></td></tr>\n",
                        chip(style), escape_html(name), format_duration(seconds),
                        100 * seconds / total);
  }
  return fmt::format("<div class=\"band\">{}</div>\n<table><tbody>{}</tbody></table>\n", band,
                     rows);
}

std::string bullets(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& text : lines) out += "<li>" + escape_html(text) + "</li>\n";
  return out.empty() ? out : "<ul>" + out + "</ul>\n";
}

std::string provenance(const RunReport& report) {
  std::string facts;
  const auto fact = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    facts += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name), escape_html(value));
  };
  fact("Machine", report.machine);
  fact("Finished", report.created);
  for (const auto& [name, version] : report.versions) fact(name, version);
  std::string out;
  if (!report.command.empty()) out += "<pre>" + escape_html(report.command) + "</pre>\n";
  if (!facts.empty()) out += "<dl>" + facts + "</dl>\n";
  if (!report.try_command.empty()) {
    out += "<p>Try the student:</p>\n<pre>" + escape_html(report.try_command) + "</pre>\n";
  }
  return out;
}

}  // namespace

std::string to_html(const RunReport& report) {
  const std::string name = escape_html(report.name);
  const std::string took = std::isfinite(report.seconds) && report.seconds > 0
                               ? "The whole run took " + format_duration(report.seconds) + "."
                               : "";
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" "
      "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{} · alambic</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n<p class=\"kicker\">alambic · distillation "
      "report</p>\n<h1>{}</h1>\n<p class=\"soft\">{}</p>\n",
      name, kStyle + decoding_style(report), name,
      escape_html(report.task + (report.machine.empty() ? "" : " · " + report.machine)));
  page += tiles(report) + verdict(report);
  page += section("Notes", bullets(report.notes));
  page += section("Quality", quality(report));
  page += section("Gap closed", gap(report));
  page += section("Speed by way of decoding", speed(report) + quality_curve_html(report));
  page += section("Step by step", replays_html(report));
  page += section("Data", bullets(in_words(report.data)));
  page += section("Training", losses(report));
  page += section("Where the time went", phases(report));
  page += section("Side by side", samples(report));
  page += section("How it was made", provenance(report));
  page += section("Licences", bullets(report.licences));
  return page + fmt::format(
                    "<footer>{} Numbers for programs: report.json, beside this page.</footer>\n"
                    "</main>\n</body>\n</html>\n",
                    escape_html(took));
}

}  // namespace alambic
