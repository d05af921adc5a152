#include "alambic/eval/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "alambic/base/error.h"
#include "alambic/eval/chart.h"
#include "alambic/eval/report_gap.h"

namespace alambic {
namespace {

Score score(double value, double half) { return {value, {value - half, value + half}, 500}; }

RunReport example() {
  RunReport report;
  report.name = "e-mails";
  report.task = "extract the order";
  report.metric = "slot F1";
  report.metric_is_fraction = true;
  report.teacher = ModelReport{"big", 9000000, 18000000, score(0.91, 0.02)};
  report.student = {"small", 2000000, 4000000, score(0.85, 0.02)};
  report.control = ModelReport{"control", 2000000, 4000000, score(0.75, 0.03)};
  report.baselines = {{"majority class", score(0.1, 0.01)}};
  report.gap = {0.625, Interval{0.5, 0.75}, ""};
  report.arms = {{"start", 2000000, 4000000, score(0.78, 0.03)},
                 {"texts", 2000000, 4000000, score(0.84, 0.02)}};
  report.gap_parts = {{"weights", {0.1875, Interval{0.1, 0.3}, ""}},
                      {"answers", {0.375, Interval{0.3, 0.45}, ""}},
                      {"probabilities", {0.0625, Interval{-0.05, 0.2}, ""}}};
  report.student_over_control = PairedComparison{0.1, {0.07, 0.13}, 0.999};
  report.student_agreement = score(0.8, 0.02);
  report.decode = {{"ar", 800, 1, score(0.85, 0.02)}, {"diffusion", 1600, 2.5, std::nullopt}};
  report.decode[1].acceptance = {0.9, 0.8};
  report.quality = {{{"ar", 800, 0.85, false},
                     {"speculative", 1300, 0.85, true},
                     {"threshold 0.9, remask 0.1", 1600, 0.84, true},
                     {"threshold 0.5, remask 0", 1500, 0.7, false}},
                    1.9};
  report.replays = {
      {"diffusion",
       "Q?",
       {{{ReplayPiece::Kind::kNew, "ri"}, {ReplayPiece::Kind::kMask, "░░"}},
        {{ReplayPiece::Kind::kSettled, "ri"}, {ReplayPiece::Kind::kChanged, "ght"}}}}};
  report.seconds = 200;
  report.phases = {{"teacher", 120}, {"student", 80}};
  report.curves = {{"student", "step", {{0, 5}, {10, 2}, {20, 1.5}}}};
  report.samples = {{"Q?", "right", "right", "right", "wrong"}};
  report.command = "alambic distill recipe.toml";
  report.machine = "test machine";
  report.notes = {"made on the spot"};
  report.licences = {"data: CC BY 4.0"};
  report.versions = {{"alambic", "0.1.0"}};
  return report;
}

TEST(ReportJson, HoldsTheFacesThatScriptsRelyOn) {
  const Json json = to_json(example());
  EXPECT_TRUE(json.at("task").is_string());
  for (const char* role : {"teacher", "student", "control"}) {
    EXPECT_GT(json.at(role).at("parameters").get<int64_t>(), 0);
    EXPECT_GT(json.at(role).at("bytes").get<int64_t>(), 0);
    EXPECT_GT(json.at(role).at("score").get<double>(), 0);
    EXPECT_EQ(json.at(role).at("interval").size(), 2U);
  }
  EXPECT_EQ(json.at("baselines").size(), 1U);
  EXPECT_DOUBLE_EQ(json.at("gap_closed").get<double>(), 0.625);
  EXPECT_DOUBLE_EQ(json.at("decode").at("diffusion").at("tokens_per_forward").get<double>(), 2.5);
  EXPECT_DOUBLE_EQ(json.at("decode").at("ar").at("tokens_per_s").get<double>(), 800);
  EXPECT_TRUE(json.at("decode").at("ar").contains("score"));
  EXPECT_DOUBLE_EQ(json.at("seconds").get<double>(), 200);
}

TEST(ReportJson, ReadingGivesBackWhatWasWritten) {
  const RunReport report = example();
  const Json json = parse_json(dump_json(to_json(report)), "report");
  const RunReport back = report_from_json(json, "report");
  EXPECT_EQ(to_json(back), json);
  EXPECT_EQ(to_html(back), to_html(report));
  EXPECT_EQ(to_terminal(back), to_terminal(report));
}

TEST(ReportJson, AGapWithoutValueIsNullAndSaysWhy) {
  RunReport report = example();
  report.gap = {std::nullopt, std::nullopt, "no lead"};
  EXPECT_TRUE(to_json(report).at("gap_closed").is_null());
  EXPECT_EQ(to_json(report).at("gap_closed_reason"), "no lead");
  EXPECT_NE(to_html(report).find("No number: no lead"), std::string::npos);
  EXPECT_NE(to_terminal(report).find("No lead"), std::string::npos);
}

TEST(ReportJson, BrokenDocumentsAreRefusedByName) {
  const Json good = to_json(example());
  EXPECT_THROW(report_from_json(Json::array(), "f"), Error);
  EXPECT_THROW(report_from_json(Json::object(), "f"), Error);
  // Every key in turn becomes a value of the wrong type: an Error or a report, never anything else.
  for (const auto& [key, value] : good.items()) {
    for (const Json& wrong : {Json("text"), Json(7), Json::array({1, "x"}), Json::object()}) {
      Json bad = good;
      bad[key] = wrong;
      try {
        to_html(report_from_json(bad, "file.json"));
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).rfind("[file.json]", 0), 0U) << error.what();
      }
    }
  }
}

TEST(ReportGap, TheLeadSaysWhichPartCarries) {
  RunReport report = example();
  EXPECT_EQ(lead_sentence(report),
            "The teacher's answers carry it: they close 38 % (30 to 45) of the gap between control "
            "and teacher, and weights taken over from it 19 % (10 to 30).");
  report.gap_parts[0].share.value = 0.9;
  EXPECT_NE(lead_sentence(report).find("no distillation"), std::string::npos);
  for (GapPart& part : report.gap_parts) part.share.interval = Interval{-0.1, 0.1};
  EXPECT_NE(lead_sentence(report).find("does not beat its control"), std::string::npos);
  report.gap = {std::nullopt, std::nullopt, "the teacher does not beat the control"};
  EXPECT_EQ(lead_sentence(report), "The teacher does not beat the control.");
}

// Inherited weights did harm, and the teacher's answers made up for it.
TEST(ReportGap, NoPartCarriesAStudentThatIsNoBetterThanItsControl) {
  RunReport report = example();
  report.gap_parts[0].share = {-0.6, Interval{-0.8, -0.4}, ""};
  report.student_over_control = PairedComparison{0.01, {-0.02, 0.04}, 0.62};
  EXPECT_EQ(lead_sentence(report).rfind("The student does not beat its control", 0), 0U);
}

TEST(ReportGap, EveryPartHasItsRowOnBothPages) {
  const RunReport report = example();
  const std::string page = to_html(report), table = to_terminal(report);
  for (const char* source :
       {"weights taken over", "teacher's answers", "teacher's probabilities"}) {
    EXPECT_NE(page.find(source), std::string::npos) << source;
    EXPECT_NE(table.find(source), std::string::npos) << source;
  }
  EXPECT_NE(table.find("30 % to 45 %"), std::string::npos);
}

TEST(ReportHtml, ReplaysStepByStepWithoutAScript) {
  const std::string page = to_html(example());
  EXPECT_NE(page.find("2 steps"), std::string::npos);
  EXPECT_NE(page.find("<span class=\"r-changed\">ght</span>"), std::string::npos);
  EXPECT_NE(page.find(".s2:checked~.said .f2{display:block}"), std::string::npos);
  EXPECT_NE(page.find("Area under the curve: 1.90"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
}

TEST(ReportHtml, EscapesEveryText) {
  RunReport report = example();
  const std::string evil = "<script>\"'&\x01\xff</script>";
  report.name = report.task = report.metric = report.command = report.machine = evil;
  report.created = report.try_command = report.teacher->name = report.student.name = evil;
  report.control->name = report.baselines[0].name = report.decode[0].mode = evil;
  report.phases[0].first = report.curves[0].name = report.curves[0].x_label = evil;
  report.samples[0] = {evil, evil, evil, evil, evil};
  report.notes = report.licences = {evil};
  report.versions = {{evil, evil}};
  report.gap = {std::nullopt, std::nullopt, evil};
  const std::string html = to_html(report);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find('\x01'), std::string::npos);
  EXPECT_EQ(html.find('\xff'), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;&quot;&#39;&amp;"), std::string::npos);
}

TEST(ReportHtml, NeedsNothingFromOutside) {
  const std::string html = to_html(example());
  for (const char* word : {"http://", "https://", "src=", "<link", "url(", "<script"}) {
    EXPECT_EQ(html.find(word), std::string::npos) << word;
  }
  EXPECT_NE(html.find("<svg"), std::string::npos);
}

TEST(ReportHtml, SpellsOutTheGapWithItsNumbers) {
  const std::string html = to_html(example());
  EXPECT_NE(html.find("85.0 % − 78.0 %"), std::string::npos);
  EXPECT_NE(html.find("91.0 % − 75.0 %"), std::string::npos);
  EXPECT_NE(html.find("student − start"), std::string::npos);
  EXPECT_NE(html.find("62 %"), std::string::npos);
}

TEST(ReportHtml, AnEmptyReportIsStillAPage) {
  EXPECT_NE(to_html(RunReport{}).find("</html>"), std::string::npos);
  EXPECT_FALSE(to_terminal(RunReport{}).empty());
}

TEST(ReportTerminal, FitsEightyColumns) {
  RunReport report = example();
  report.teacher->name = std::string(200, 'x');
  report.baselines.push_back(
      {"référence très très longue, plus longue que la colonne", score(0.2, 0.1)});
  report.notes = {std::string(300, 'n'), "many short words " + std::string(90, 'w') + " and more"};
  std::istringstream lines(to_terminal(report));
  for (std::string line; std::getline(lines, line);) {
    size_t columns = 0;
    for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    EXPECT_LE(columns, 80U) << line;
  }
}

TEST(Report, MarksTheBaselineThatTheStudentDoesNotBeat) {
  RunReport report = example();
  EXPECT_EQ(to_terminal(report).find("* "), std::string::npos);
  report.baselines = {{"majority class", score(0.1, 0.01)},
                      {"TF-IDF + linear, on the teacher's answers", score(0.9, 0.01), true}};
  EXPECT_NE(to_terminal(report).find("* TF-IDF + linear, on the teacher's answers"),
            std::string::npos);
  EXPECT_NE(to_html(report).find("(recommended)"), std::string::npos);
  const RunReport back = report_from_json(to_json(report), "report");
  EXPECT_FALSE(back.baselines[0].recommended);
  EXPECT_TRUE(back.baselines[1].recommended);
}

TEST(ReportFormat, CountsAndBytesAreShort) {
  EXPECT_EQ(format_count(912), "912");
  EXPECT_EQ(format_count(656000), "656 K");
  EXPECT_EQ(format_count(999900), "1.0 M");
  EXPECT_EQ(format_count(135000000), "135 M");
  EXPECT_EQ(format_bytes(4718592), "4.7 MB");
  EXPECT_EQ(format_bytes(812000), "812 kB");
}

TEST(Chart, TicksAreRoundAndInside) {
  EXPECT_EQ(axis_ticks(0, 40, 5), (std::vector<double>{0, 10, 20, 30, 40}));
  EXPECT_EQ(axis_ticks(1, 1, 5).size(), 0U);
  EXPECT_EQ(axis_ticks(0, INFINITY, 5).size(), 0U);
  EXPECT_LT(axis_ticks(-1e308, 1e307, 5).size(), 12U);
  EXPECT_LT(axis_ticks(1e15, 1e15 + 1, 5).size(), 12U);
}

TEST(Chart, ALossThatFallsByOrdersOfMagnitudeIsDrawnInLogarithms) {
  const auto heights = [](std::vector<double> values) {
    ChartSeries series{"a", "role-teacher", {}};
    for (size_t i = 0; i < values.size(); ++i) {
      series.points.emplace_back(static_cast<double>(i), values[i]);
    }
    const std::string svg = line_chart(std::vector<ChartSeries>{series}, "t", "x", "y");
    std::vector<double> out;
    const size_t begin = svg.find("points=\"") + 8;
    std::istringstream in(svg.substr(begin, svg.find('"', begin) - begin));
    double x = 0, y = 0;
    for (char comma = 0; in >> x >> comma >> y;) out.push_back(y);
    return out;
  };
  const auto falling = heights({10, 1, 0.1});
  ASSERT_EQ(falling.size(), 3U);
  EXPECT_NEAR(falling[1] - falling[0], falling[2] - falling[1], 0.2);
  const auto flat = heights({10, 6, 2});
  ASSERT_EQ(flat.size(), 3U);
  EXPECT_NEAR(flat[1] - flat[0], flat[2] - flat[1], 0.2);
  const auto hostile = heights({1e-320, 1, 1e308});
  EXPECT_EQ(hostile.size(), 3U);
}

TEST(Chart, HostileNumbersLeaveNoTraceInThePicture) {
  const std::vector<ChartSeries> series = {
      {"a", "series-0", {{0, NAN}, {1, INFINITY}, {2, 1}, {3, 1}}},
      {"b", "series-1", {{5, -1e308}}}};
  const std::string svg = line_chart(series, "t", "x", "y");
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  const std::vector<ChartBar> bars = {{"a", "v", "role-other", NAN, 0, 1},
                                      {"b", "v", "role-other", 1, -INFINITY, NAN}};
  EXPECT_EQ(bar_chart(bars, "t", false).find("nan"), std::string::npos);
  EXPECT_EQ(line_chart({}, "t", "x", "y"), "");
}

TEST(Chart, LongSeriesAreThinned) {
  ChartSeries series{"a", "series-0", {}};
  for (int i = 0; i < 100000; ++i) series.points.emplace_back(i, std::sin(i * 1e-4));
  EXPECT_LT(line_chart(std::vector<ChartSeries>{series}, "t", "x", "y").size(), 10000U);
}

}  // namespace
}  // namespace alambic
