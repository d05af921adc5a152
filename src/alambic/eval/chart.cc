#include "alambic/eval/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace alambic {
namespace {

constexpr double kWidth = 860;
constexpr double kLogarithmicFrom = 10;  // highest over lowest value of a line chart
constexpr size_t kMaxPoints = 260;
constexpr size_t kMaxLabel = 30;

// Length of the well-formed UTF-8 character at text[i], or 0.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U;
  };
  const auto follows = [&](size_t k) { return (byte(k) & 0xc0) == 0x80; };
  const unsigned a = byte(i), b = byte(i + 1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return follows(i + 1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    // Overlong forms and surrogates are not characters.
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f)) return 0;
    return follows(i + 1) && follows(i + 2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f)) return 0;
    return follows(i + 1) && follows(i + 2) && follows(i + 3) ? 4 : 0;
  }
  return 0;
}

// The label, shortened to fit its margin; whole characters only.
std::string shortened(std::string_view text) {
  size_t characters = 0, end = 0;
  while (end < text.size() && characters < kMaxLabel) {
    end += std::max<size_t>(1, utf8_length(text, end));
    ++characters;
  }
  if (end >= text.size()) return std::string(text);
  return std::string(text.substr(0, end)) + "…";
}

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 1e9) return fmt::format("{:.3g} B", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.3g} K", value / 1e3);
  return fmt::format("{:.4g}", value);
}

std::string open_svg(double height, std::string_view title) {
  return fmt::format(
      "<svg class=\"chart\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n",
      kWidth, height, escape_html(title));
}

std::string line(std::string_view style, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                     style, x1, y1, x2, y2);
}

std::string text_at(std::string_view style, double x, double y, std::string_view anchor,
                    std::string_view text) {
  return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>",
                     style, x, y, anchor, escape_html(text));
}

std::vector<std::pair<double, double>> thinned(
    const std::vector<std::pair<double, double>>& points) {
  std::vector<std::pair<double, double>> finite;
  for (const auto& point : points) {
    if (std::isfinite(point.first) && std::isfinite(point.second)) finite.push_back(point);
  }
  std::stable_sort(finite.begin(), finite.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (finite.size() <= kMaxPoints) return finite;
  std::vector<std::pair<double, double>> means;
  for (size_t bucket = 0; bucket < kMaxPoints; ++bucket) {
    const size_t begin = bucket * finite.size() / kMaxPoints;
    const size_t end = (bucket + 1) * finite.size() / kMaxPoints;
    double x = 0, y = 0;
    for (size_t i = begin; i < end; ++i) {
      // Dividing first keeps sums of huge values finite.
      x += finite[i].first / static_cast<double>(end - begin);
      y += finite[i].second / static_cast<double>(end - begin);
    }
    means.emplace_back(x, y);
  }
  return means;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const char c = text[i];
    if (length > 1) {
      out += text.substr(i, length);
    } else if (length == 0 || c == 0x7f || (c >= 0 && c < 0x20 && c != '\n' && c != '\t')) {
      out += "\xef\xbf\xbd";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += c;
    }
    i += std::max<size_t>(1, length);
  }
  return out;
}

std::vector<double> axis_ticks(double low, double high, int wanted) {
  const double span = high - low;
  // A span that is lost in the rounding of its ends has no ticks between them.
  if (!std::isfinite(span) || !(span > 1e-12 * std::max(std::abs(low), std::abs(high))) ||
      !(span > 1e-300) || wanted < 1) {
    return {};
  }
  const double raw = span / wanted;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double lead = raw / power;
  const double step = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  for (double k = first; k <= last; ++k) ticks.push_back(k == 0 ? 0 : k * step);
  return ticks;
}

std::string bar_chart(std::span<const ChartBar> bars, std::string_view title, bool per_cent) {
  constexpr double kLeft = 226, kRight = 96, kTop = 8, kRow = 36, kBar = 16, kBottom = 28;
  std::vector<const ChartBar*> shown;
  double most = 0;
  for (const ChartBar& bar : bars) {
    if (!std::isfinite(bar.value) || bar.value < 0) continue;
    shown.push_back(&bar);
    most = std::max(most, std::isfinite(bar.high) ? std::max(bar.value, bar.high) : bar.value);
  }
  if (shown.empty()) return {};
  if (per_cent) most = std::min(1.0, most * 1.02);
  if (!(most > 0)) most = 1;
  const double rows_end = kTop + kRow * static_cast<double>(shown.size());
  const auto x_of = [&](double value) {
    return kLeft + (kWidth - kLeft - kRight) * std::clamp(value / most, 0.0, 1.0);
  };
  std::string svg = open_svg(rows_end + kBottom, title);
  for (const double tick : axis_ticks(0, most, 5)) {
    svg += line("grid", x_of(tick), kTop, x_of(tick), rows_end);
    svg += text_at("tick", x_of(tick), rows_end + 18, "middle",
                   per_cent ? fmt::format("{:.4g} %", 100 * tick) : tick_text(tick));
  }
  svg += '\n';
  for (size_t i = 0; i < shown.size(); ++i) {
    const ChartBar& bar = *shown[i];
    const double middle = kTop + kRow * (static_cast<double>(i) + 0.5);
    svg += fmt::format(
        "<g class=\"{}\"><title>{}: {}</title><rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" "
        "width=\"{:.1f}\" height=\"{:.0f}\" rx=\"2\"/>",
        escape_html(bar.style), escape_html(bar.label), escape_html(bar.value_text), kLeft,
        middle - kBar / 2, std::max(1.0, x_of(bar.value) - kLeft), kBar);
    double end = x_of(bar.value);
    if (std::isfinite(bar.low) && std::isfinite(bar.high) && bar.high > bar.low) {
      const double a = x_of(bar.low), b = x_of(bar.high);
      svg += line("whisker", a, middle, b, middle) + line("whisker", a, middle - 5, a, middle + 5) +
             line("whisker", b, middle - 5, b, middle + 5);
      end = std::max(end, b);
    }
    svg += text_at("label", kLeft - 12, middle + 4.5, "end", shortened(bar.label));
    svg += text_at("value", end + 10, middle + 4.5, "start", bar.value_text) + "</g>\n";
  }
  return svg + line("axis", kLeft, kTop, kLeft, rows_end) + "</svg>\n";
}

namespace {

// 1, 2 and 5 times powers of ten within [low, high], 0 < low < high; powers alone where those span
// many decades.
std::vector<double> decade_ticks(double low, double high) {
  static constexpr int kLargest = 307, kMany = 4;
  const auto exponent = [](double x) {
    return std::clamp(static_cast<int>(std::floor(std::log10(x))), -kLargest, kLargest);
  };
  const int first = exponent(low), last = exponent(std::min(high, 1e307));
  const int stride = std::max(1, (last - first) / 10);
  std::vector<double> ticks;
  for (int decade = first; decade <= last; decade += stride) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double tick = step * std::pow(10.0, decade);
      if (tick >= low && tick <= high && (step == 1 || last - first < kMany)) ticks.push_back(tick);
    }
  }
  return ticks;
}

}  // namespace

std::string line_chart(std::span<const ChartSeries> series, std::string_view title,
                       std::string_view x_label, std::string_view y_label) {
  constexpr double kLeft = 58, kRight = 16, kTop = 40, kBottom = 46, kHeight = 340;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double x_low = kInfinity, x_high = -kInfinity, y_low = kInfinity, y_high = -kInfinity;
  std::vector<std::pair<const ChartSeries*, std::vector<std::pair<double, double>>>> shown;
  for (const ChartSeries& one : series) {
    auto points = thinned(one.points);
    if (points.empty()) continue;
    for (const auto& [x, y] : points) {
      x_low = std::min(x_low, x), x_high = std::max(x_high, x);
      y_low = std::min(y_low, y), y_high = std::max(y_high, y);
    }
    shown.emplace_back(&one, std::move(points));
  }
  if (shown.empty()) return {};
  // What falls by an order of magnitude is seen only in logarithms.
  const bool logarithmic = y_low > 0 && y_high / y_low > kLogarithmicFrom;
  if (logarithmic) y_low = std::log(y_low), y_high = std::log(y_high);
  // Room above and below; a flat series sits in the middle of a band of its own size.
  const double pad =
      y_high > y_low ? 0.05 * (y_high - y_low) : std::max(1e-3, std::abs(y_high) / 2);
  y_low = y_low >= 0 && !logarithmic ? std::max(0.0, y_low - pad) : y_low - pad;
  y_high += pad;
  // Thinning must not hide where training began.
  if (x_low > 0 && x_low < 0.05 * x_high) x_low = 0;
  if (!(x_high > x_low)) x_high = x_low + std::max(1.0, std::abs(x_low) * 1e-3);
  if (!std::isfinite(y_high - y_low) || !std::isfinite(x_high - x_low)) return {};
  const auto x_of = [&](double x) {
    return kLeft + (kWidth - kLeft - kRight) * ((x - x_low) / (x_high - x_low));
  };
  const auto y_of = [&](double y) {
    const double at = logarithmic ? std::log(y) : y;
    return kHeight - kBottom - (kHeight - kTop - kBottom) * ((at - y_low) / (y_high - y_low));
  };
  std::string svg = open_svg(kHeight, title);
  for (const double tick : logarithmic ? decade_ticks(std::exp(y_low), std::exp(y_high))
                                       : axis_ticks(y_low, y_high, 6)) {
    svg += line("grid", kLeft, y_of(tick), kWidth - kRight, y_of(tick));
    svg += text_at("tick", kLeft - 8, y_of(tick) + 4, "end", tick_text(tick));
  }
  for (const double tick : axis_ticks(x_low, x_high, 7)) {
    svg += line("axis", x_of(tick), kHeight - kBottom, x_of(tick), kHeight - kBottom + 4);
    svg += text_at("tick", x_of(tick), kHeight - kBottom + 18, "middle", tick_text(tick));
  }
  svg += line("axis", kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom);
  svg += text_at("tick", kWidth - kRight, kHeight - 8, "end", x_label);
  svg += text_at("tick", 0, kTop - 22, "start", y_label) + '\n';
  double legend_x = kLeft + 40;
  for (const auto& [one, points] : shown) {
    svg += fmt::format("<g class=\"{}\"><title>{}</title>", escape_html(one->style),
                       escape_html(one->label));
    if (points.size() == 1) {
      svg += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>",
                         x_of(points[0].first), y_of(points[0].second));
    }
    svg += "<polyline class=\"curve\" points=\"";
    for (const auto& [x, y] : points) svg += fmt::format("{:.1f},{:.1f} ", x_of(x), y_of(y));
    svg += "\"/>";
    if (one->label.empty()) {
      svg += "</g>\n";
      continue;
    }
    const std::string label = shortened(one->label);
    svg += line("key", legend_x, kTop - 26, legend_x + 18, kTop - 26);
    svg += text_at("label", legend_x + 24, kTop - 22, "start", label) + "</g>\n";
    // SVG cannot measure text: 7 units a character is a little more than the face needs at this
    // size.
    legend_x += 46 + 7.0 * static_cast<double>(std::min<size_t>(label.size(), kMaxLabel + 1));
  }
  return svg + "</svg>\n";
}

}  // namespace alambic
