// The softmax of logits that are there and lie row by row: one row at a time, its vectors along the classes.
// softmax.hpp says why R leaves the largest out.
#pragma once
#include "softmax.hpp"

namespace xent {
namespace {

XENT_INLINE void put(double* p, Vec<double> v) { store(p, v); }
XENT_INLINE void put(float* p, Vec<float> v) { store(p, v); }
XENT_INLINE void put(BFloat16* p, Vec<float> v) {  // to nearest even; a NaN stays one
  typedef typename Real<float>::UVec Words;
  const Words u = (Words)v, nearest = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const HalfBits bits = __builtin_convertvector(v == v ? nearest : (u >> 16) | 0x40, HalfBits);
  __builtin_memcpy(p, &bits, sizeof bits);
}

// f(vector, class of its first lane) over a row's logits, times `factor`; what fills up the last vector is -inf.
template <class CT, class XT, class F> XENT_INLINE void over_classes(const XT* z, int64_t classes, CT factor, F&& f) {
  constexpr int L = kLanes<CT>;
  for (int64_t c = 0; c + L <= classes; c += L) f(lanes<CT>(z + c) * factor, c);
  if (const int64_t left = classes % L) {
    XT end[L] = {};
    for (int64_t i = 0; i < left; ++i) end[i] = z[classes - left + i];
    Vec<CT> v = lanes<CT>(end) * factor;
    for (int i = left; i < L; ++i) v[i] = -(CT)__builtin_inff();
    f(v, classes - left);
  }
}

// w of the classes from c on; ones where there is none.
template <class CT> XENT_INLINE Vec<CT> weights(const CT* w, int64_t c, int64_t classes) {
  constexpr int L = kLanes<CT>;
  Vec<CT> v = Vec<CT>{} + 1;
  if (w && c + L <= classes) return load(w + c);
  for (int i = 0; w && i < L; ++i) v[i] = c + i < classes ? w[c + i] : 0;
  return v;
}

// Largest logit, R, where it is; of classes not masked their number, Σ w and Σ w (largest − z), w null for ones.
template <class XT, class CT>
void scan_row(const XT* z, int64_t classes, CT factor, const CT* w, bool smooth, double* out) {
  constexpr int L = kLanes<CT>;
  Vec<CT> peaks = Vec<CT>{} - (CT)__builtin_inff();
  IVec<CT> places{};
  over_classes<CT>(z, classes, factor, [&](Vec<CT> v, int64_t c) {
    const IVec<CT> better = v > peaks;
    peaks = better ? v : peaks;
    places = better ? (Int<CT>)(c / L) + IVec<CT>{} : places;
  });
  CT peak = peaks[0];
  int64_t winner = (int64_t)places[0] * L;
  for (int i = 1; i < L; ++i) {
    const int64_t at = (int64_t)places[i] * L + i;
    if (peaks[i] > peak || (peaks[i] == peak && at < winner)) peak = peaks[i], winner = at;
  }
  if (peak == -(CT)__builtin_inff()) winner = 0;
  const Vec<CT> m = finite_or_zero<CT>(peak + Vec<CT>{});
  WideSum<CT> rest, live, share, shares;
  int since = 0;
  over_classes<CT>(z, classes, factor, [&](Vec<CT> v, int64_t c) {
    Vec<CT> others = v;  // than the largest
    if (winner >= c && winner < c + L) others[winner - c] = -(CT)__builtin_inff();
    rest.part += exp_shifted<CT>(others, m);
    if (smooth) {
      const IVec<CT> masked = v == -(CT)__builtin_inff();
      const Vec<CT> weight = weights<CT>(w, c, classes);
      live.part += masked ? Vec<CT>{} : Vec<CT>{} + 1;
      share.part += masked ? Vec<CT>{} : weight;
      shares.part += masked ? Vec<CT>{} : (m - v) * weight;
    }
    if (++since == kFlush) {
      rest.flush();
      if (smooth) live.flush(), share.flush(), shares.flush();
      since = 0;
    }
  });
  double sums[4];
  WideSum<CT>* const all[] = {&rest, &live, &share, &shares};
  for (int j = 0; j < 4; ++j) {
    all[j]->flush();
    sums[j] = 0;
    for (int h = 0; h < kWide<CT>; ++h) sums[j] += horizontal_sum(all[j]->total[h]);
  }
  const double values[kScanned] = {(double)peak, sums[0], (double)winner, sums[1], sums[2], sums[3]};
  for (int j = 0; j < kScanned; ++j) out[j] = values[j];
}

// The gradient by the logits but for the target's part: factor (scale exp(z - peak) - share w), a masked class getting
// none. `row`: peak, scale, share.
template <class XT, class CT>
void residual_row(const XT* z, int64_t classes, CT factor, const CT* w, const double* row, XT* out) {
  constexpr int L = kLanes<CT>;
  const Vec<CT> m = (CT)row[0] + Vec<CT>{}, scale = (CT)(row[1] * factor) + Vec<CT>{};
  const CT share = (CT)(row[2] * factor);
  over_classes<CT>(z, classes, factor, [&](Vec<CT> v, int64_t c) {
    Vec<CT> g = exp_shifted<CT>(v, m) * scale;
    if (share != 0) {
      const Vec<CT> weight = weights<CT>(w, c, classes);
      g -= v == -(CT)__builtin_inff() ? Vec<CT>{} : share * weight;
    }
    if (c + L <= classes) return put(out + c, g);
    XT end[L];
    put(end, g);
    for (int64_t i = 0; c + i < classes; ++i) out[c + i] = end[i];
  });
}

template <class XT, class CT>
void scan_rows(const XT* z, int64_t rows, int64_t stride, int64_t classes, double factor, const CT* w, bool smooth, double* out) {
  for (int64_t i = 0; i < rows; ++i) scan_row<XT, CT>(z + i * stride, classes, (CT)factor, w, smooth, out + i * kScanned);
}
template <class XT, class CT>
void residual_rows(const XT* z, int64_t rows, int64_t stride, int64_t classes, double factor, const CT* w, const double* given,
                   XT* out, int64_t ldo) {
  for (int64_t i = 0; i < rows; ++i) residual_row<XT, CT>(z + i * stride, classes, (CT)factor, w, given + 3 * i, out + i * ldo);
}

// out = x, rounded to bfloat16 or widened from it; both (rows, columns).
template <class XT, class YT>
void convert(const XT* x, int64_t stride, YT* out, int64_t ldo, int64_t rows, int64_t columns) {
  constexpr int L = kLanes<float>;
  for (int64_t i = 0; i < rows; ++i) {
    const XT* from = x + i * stride;
    YT* to = out + i * ldo;
    int64_t c = 0;
    for (; c + L <= columns; c += L) put(to + c, lanes<float>(from + c));
    if (c == columns) continue;
    XT end[L] = {};
    YT done[L];
    for (int64_t j = c; j < columns; ++j) end[j - c] = from[j];
    put(done, lanes<float>(end));
    for (int64_t j = c; j < columns; ++j) to[j] = done[j - c];
  }
}

}  // namespace
}  // namespace xent
