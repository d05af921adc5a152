// Charts as inline SVG text for the HTML report: no script, no external file, colours taken from
// the page's style sheet (classes role-teacher, role-student, role-control, role-other and series-0
// … series-5). Pure functions, safe from any thread. They never fail: points that are not finite
// are left out, and a chart with nothing to show is an empty string. Every text is escaped.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace alambic {

// Text for HTML or SVG: markup characters as entities; bytes that are not UTF-8 and control
// characters other than tab and line feed as U+FFFD.
std::string escape_html(std::string_view text);

// About `wanted` round numbers (1, 2 or 5 times a power of ten) that span [low, high]. Empty unless
// low < high, both finite.
std::vector<double> axis_ticks(double low, double high, int wanted);

struct ChartBar {
  std::string label, value_text;
  std::string style;  // a class of the style sheet
  double value = 0, low = 0, high = 0;
};
// Horizontal bars from zero with interval whiskers, one row each.
std::string bar_chart(std::span<const ChartBar> bars, std::string_view title, bool per_cent);

struct ChartSeries {
  std::string label, style;
  std::vector<std::pair<double, double>> points;
};
// Lines over a common x; long series are thinned to means of neighbours, and one without a label
// stands in no legend.
std::string line_chart(std::span<const ChartSeries> series, std::string_view title,
                       std::string_view x_label, std::string_view y_label);

}  // namespace alambic
