// The softmax of columns: logits lie class by class, z[c * ldz + i] for row i, and a vector holds as many
// rows, so that no lane idles however few the classes and nothing is summed across lanes. Classes may come
// in tiles: a row's state carries over.
//
// Per row: m the largest logit, w its (first) class, R = sum_{c != w} exp(z_c - m), q the target's row, Q its
// sum. Then
//     loss = Q log1p(R) + sum q_c (m - z_c)                    every term >= 0: nothing cancels
//     g_c  = s (Q p_c - q_c),  p_c = exp(z_c - m) / (1 + R)
//     g_w  = s (sum_{c != w} q_c - Q R / (1 + R))              the complement of p_w, where p_w > 1/2
// so loss and gradient keep relative accuracy where p_w rounds to 1.
#pragma once
#include "simd.hpp"

namespace xent {
namespace {

// What the softmax keeps of each row while its classes go by; arrays of one entry per row.
template <class T>
struct State {
  double *weight, *rest, *gap, *q_others, *shares, *loss, *scale, *top, *share;
  T *peak, *at_label, *q_winner, *live;
  Int<T>* winner;
  Int<T>* label;
  static constexpr int64_t bytes(int64_t rows) { return rows * (9 * sizeof(double) + 4 * sizeof(T) + 2 * sizeof(Int<T>)); }
  State(void* memory, int64_t rows) {
    double* d = static_cast<double*>(memory);
    double** const doubles[] = {&weight, &rest, &gap, &q_others, &shares, &loss, &scale, &top, &share};
    for (double** p : doubles) *p = d, d += rows;
    T* t = reinterpret_cast<T*>(d);
    T** const numbers[] = {&peak, &at_label, &q_winner, &live};
    for (T** p : numbers) *p = t, t += rows;
    winner = reinterpret_cast<Int<T>*>(t);
    label = winner + rows;
  }
};

// Adds up to kFlush vectors in T, then double: no drift over 1e5 classes, and few conversions.
template <class T> struct WideSum {
  Vec<T> part{};
  Vec<double> total[kWide<T>] = {};
  XENT_INLINE void flush() {
    total[0] += wide<0>(part);
    if constexpr (kWide<T> == 2) total[1] += wide<1>(part);
    part = Vec<T>{};
  }
};
template <class T> XENT_INLINE void load_wide(Vec<double>* out, const double* p) {
  for (int h = 0; h < kWide<T>; ++h) out[h] = load(p + h * kLanes<double>);
}
template <class T> XENT_INLINE void store_wide(double* p, const Vec<double>* v) {
  for (int h = 0; h < kWide<T>; ++h) store(p + h * kLanes<double>, v[h]);
}
template <class T> XENT_INLINE void widen(Vec<double>* out, Vec<T> v) {
  out[0] = wide<0>(v);
  if constexpr (kWide<T> == 2) out[1] = wide<1>(v);
}

constexpr int kFlush = 16;

template <class T> XENT_INLINE Vec<T> finite_or_zero(Vec<T> m) { return m == -(T)__builtin_inff() ? Vec<T>{} : m; }

template <class T> void start_rows(int rows, const State<T>& state) {
  for (int i = 0; i < rows; ++i) {
    state.peak[i] = -(T)__builtin_inff();
    state.winner[i] = 0;
    state.at_label[i] = state.q_winner[i] = state.live[i] = 0;
  }
}

// Reads `classes` classes from number `first` on (q lies as z does), `rows` rows (a multiple of the lanes). With `keep` z becomes
// exp(z - m), m the largest logit so far, left in `peak_here` if that is given; a masked class becomes -1 where
// labels are smoothed, because it takes no share.
template <class T, Target Kind, bool Smooth, bool Keep>
void scan_tile(T* z, int64_t ldz, int64_t first, int64_t classes, int rows, const T* q, const State<T>& state, T* peak_here) {
  constexpr int L = kLanes<T>, H = kWide<T>;
  for (int i = 0; i < rows; i += L) {
    T* column = z + i;
    const Vec<T> old_peak = load(state.peak + i);
    const IVec<T> old_winner = load_int<T>(state.winner + i);
    Vec<T> peak = old_peak;
    IVec<T> winner = old_winner;
    for (int64_t c = 0; c < classes; ++c) {
      const Vec<T> v = load(column + c * ldz);
      const IVec<T> better = v > peak;
      peak = better ? v : peak;
      winner = better ? (Int<T>)(first + c) + IVec<T>{} : winner;
    }
    const Vec<T> m = finite_or_zero<T>(peak);
    store(state.peak + i, peak);
    store_int<T>(state.winner + i, winner);
    if (peak_here) store(peak_here + i, peak);

    WideSum<T> rest, gap, others, shares;
    Vec<T> at_label = load(state.at_label + i), q_winner = load(state.q_winner + i), live = load(state.live + i);
    if (first > 0) {  // the earlier tiles, measured from the new largest; their largest may be just another now
      const Vec<T> old = finite_or_zero<T>(old_peak), shrink = exp_shifted<T>(old, m);
      const IVec<T> seen = old_peak > -(T)__builtin_inff(), moved = seen & (winner != old_winner);
      Vec<double> factor[H], one[H], q_old[H], step[H], in[H];
      widen<T>(factor, seen ? shrink : Vec<T>{});
      widen<T>(one, moved ? Vec<T>{} + 1 : Vec<T>{});
      widen<T>(q_old, winner != old_winner ? q_winner : Vec<T>{});
      widen<T>(step, seen ? m - old : Vec<T>{});
      load_wide<T>(in, state.rest + i);
      for (int h = 0; h < H; ++h) rest.total[h] = (in[h] + one[h]) * factor[h];
      if (Kind == Target::soft) {
        load_wide<T>(in, state.q_others + i);
        Vec<double> q_now[H], gap_in[H];
        widen<T>(q_now, q_winner);
        load_wide<T>(gap_in, state.gap + i);
        for (int h = 0; h < H; ++h) {
          others.total[h] = in[h] + q_old[h];
          gap.total[h] = gap_in[h] + (in[h] + q_now[h]) * step[h];
        }
        q_winner = winner != old_winner ? Vec<T>{} : q_winner;
      }
      if (Smooth) {
        Vec<double> live_wide[H];
        widen<T>(live_wide, live);
        load_wide<T>(in, state.shares + i);
        for (int h = 0; h < H; ++h) shares.total[h] = in[h] + live_wide[h] * step[h];
      }
    }
    const IVec<T> label = load_int<T>(state.label + i);
    for (int64_t c0 = 0; c0 < classes; c0 += kFlush) {
      for (int64_t c = c0; c < classes && c < c0 + kFlush; ++c) {
        const Vec<T> v = load(column + c * ldz);
        const IVec<T> here = (Int<T>)(first + c) + IVec<T>{}, at_winner = winner == here;
        Vec<T> e = exp_shifted<T>(v, m);
        rest.part += at_winner ? Vec<T>{} : e;
        if (Kind == Target::label) at_label = label == here ? v : at_label;
        if (Kind == Target::soft) {
          const Vec<T> qv = load(q + c * ldz + i);
          gap.part += qv == 0 ? Vec<T>{} : qv * (m - v);
          others.part += at_winner ? Vec<T>{} : qv;
          q_winner = at_winner ? qv : q_winner;
        }
        if (Smooth) {
          const IVec<T> masked = v == -(T)__builtin_inff();
          live += masked ? Vec<T>{} : Vec<T>{} + 1;
          shares.part += masked ? Vec<T>{} : m - v;
          e = masked ? Vec<T>{} - 1 : e;
        }
        if (Keep) store(column + c * ldz, e);
      }
      rest.flush();
      if (Kind == Target::soft) gap.flush(), others.flush();
      if (Smooth) shares.flush();
    }
    store_wide<T>(state.rest + i, rest.total);
    if (Kind == Target::label) store(state.at_label + i, at_label);
    if (Kind == Target::soft) {
      store_wide<T>(state.gap + i, gap.total);
      store_wide<T>(state.q_others + i, others.total);
      store(state.q_winner + i, q_winner);
    }
    if (Smooth) {
      store(state.live + i, live);
      store_wide<T>(state.shares + i, shares.total);
    }
  }
}

// After the last tile: the losses, and what residual_tile needs (scale, top, share).
template <class T, Target Kind, bool Smooth>
void finish_rows(int rows, double smoothing, const State<T>& state, Tally& tally) {
  constexpr int L = kLanes<T>, H = kWide<T>, D = kLanes<double>;
  Vec<double> loss_sum{}, weight_sum{}, hit_sum{};
  for (int i = 0; i < rows; i += L) {
    const Vec<T> peak = load(state.peak + i);
    const IVec<T> winner = load_int<T>(state.winner + i), label = load_int<T>(state.label + i);
    Vec<double> m[H], rest[H], gap[H], q_winner[H], q_others[H], undefined[H], live[H], shares[H];
    widen<T>(m, peak);
    widen<T>(undefined, peak - peak);  // NaN where every class is masked or a logit is +inf, else 0
    load_wide<T>(rest, state.rest + i);
    if (Kind == Target::soft) {
      load_wide<T>(gap, state.gap + i);
      load_wide<T>(q_others, state.q_others + i);
      widen<T>(q_winner, load(state.q_winner + i));
    } else if (Kind == Target::none) {
      for (int h = 0; h < H; ++h) gap[h] = q_winner[h] = Vec<double>{}, q_others[h] = Vec<double>{} + 1;
    } else {
      Vec<double> at_label[H];
      widen<T>(at_label, load(state.at_label + i));
      widen<T>(q_winner, label == winner ? Vec<T>{} + 1 : Vec<T>{});
      for (int h = 0; h < H; ++h) {
        gap[h] = m[h] - at_label[h];
        q_others[h] = 1 - q_winner[h];
      }
    }
    if (Smooth) {
      widen<T>(live, load(state.live + i));
      load_wide<T>(shares, state.shares + i);
    }
    for (int h = 0; h < H; ++h) {
      const int at = i + h * D;
      const Vec<double> s = load(state.weight + at), inverse = 1 / (1 + rest[h]);
      hit_sum += s * q_winner[h];
      if (Smooth) {
        const Vec<double> share = smoothing / live[h];
        gap[h] = (1 - smoothing) * gap[h] + share * shares[h];
        q_others[h] = (1 - smoothing) * q_others[h] + share * (live[h] - 1);
        q_winner[h] = (1 - smoothing) * q_winner[h] + share;
        store(state.share + at, s * share);
      }
      const Vec<double> Q = q_others[h] + q_winner[h];
      const Vec<double> loss = Q * log1p_nonnegative<T>(rest[h]) + gap[h] + undefined[h];
      loss_sum += s == 0 ? Vec<double>{} : s * loss;
      weight_sum += s;
      store(state.loss + at, loss);
      store(state.scale + at, s * Q * inverse + undefined[h]);
      store(state.top + at, s * (q_others[h] - Q * (rest[h] * inverse)) + undefined[h]);
    }
  }
  tally.loss += horizontal_sum(loss_sum);
  tally.weight += horizontal_sum(weight_sum);
  tally.hits += horizontal_sum(hit_sum);
}

template <class T> XENT_INLINE Vec<T> narrow(const double* p) {
  if constexpr (kWide<T> == 1) {
    return load(p);
  } else {
    const FloatHalf low = __builtin_convertvector(load(p), FloatHalf);
    const FloatHalf high = __builtin_convertvector(load(p + kLanes<double>), FloatHalf);
    return join(low, high);
  }
}

// z, exp(z - peak_here) as scan_tile left it, becomes the gradient with respect to the logits.
template <class T, Target Kind, bool Smooth>
void residual_tile(T* z, int64_t ldz, int64_t first, int64_t classes, int rows, double smoothing, const T* q,
                   const State<T>& state, const T* peak_here) {
  constexpr int L = kLanes<T>;
  const T kept = (T)(1 - smoothing);
  for (int i = 0; i < rows; i += L) {
    Vec<T> scale = narrow<T>(state.scale + i);
    const Vec<T> peak = finite_or_zero<T>(load(state.peak + i));
    if (peak_here) {  // a tile that came before any class that is not masked holds nothing
      const Vec<T> here = load(peak_here + i), shrink = exp_shifted<T>(here, peak);
      scale *= here > -(T)__builtin_inff() ? shrink : Vec<T>{};
    }
    const Vec<T> s = narrow<T>(state.weight + i), top = narrow<T>(state.top + i);
    const Vec<T> share = Smooth ? narrow<T>(state.share + i) : Vec<T>{};
    const IVec<T> label = load_int<T>(state.label + i);
    const Vec<T> rest = narrow<T>(state.rest + i);
    const IVec<T> winner = rest < 1 ? load_int<T>(state.winner + i) : IVec<T>{} - 1;
    for (int64_t c = 0; c < classes; ++c) {
      T* at = z + c * ldz + i;
      const Vec<T> e = load(at);
      const IVec<T> here = (Int<T>)(first + c) + IVec<T>{};
      const IVec<T> masked = Smooth ? e < 0 : IVec<T>{};
      Vec<T> g = Smooth ? (masked ? Vec<T>{} : e * scale - share) : e * scale;
      const Vec<T> given = Smooth ? s * kept : s;
      if (Kind == Target::label) g = label == here ? g - given : g;
      if (Kind == Target::soft) g -= given * load(q + c * ldz + i);
      store(at, winner == here ? top : g);
    }
  }
}

// Logits become what scan_tile leaves of them, measured from the largest of all.
template <class T> void exponentials(T* z, int64_t ldz, int64_t classes, int rows, bool smooth, const State<T>& state) {
  for (int i = 0; i < rows; i += kLanes<T>) {
    const Vec<T> m = finite_or_zero<T>(load(state.peak + i));
    for (int64_t c = 0; c < classes; ++c) {
      const Vec<T> v = load(z + c * ldz + i), e = exp_shifted<T>(v, m);
      const IVec<T> masked = (v == -(T)__builtin_inff()) & (smooth ? -1 : 0);
      store(z + c * ldz + i, masked ? Vec<T>{} - 1 : e);
    }
  }
}

// log p_c = (z_c - m) - log1p(R), in place of the logits; -inf stays.
template <class T>
void log_probabilities(T* z, int64_t ldz, int64_t classes, int rows, const State<T>& state) {
  for (int i = 0; i < rows; i += kLanes<T>) {
    const Vec<T> peak = finite_or_zero<T>(load(state.peak + i)), lse = narrow<T>(state.loss + i);
    for (int64_t c = 0; c < classes; ++c) store(z + c * ldz + i, (load(z + c * ldz + i) - peak) - lse);
  }
}

// The directional derivative of the residual: probabilities p and logits' directions a give
// s p_c (a_c - sum_j p_j a_j), in place of a. Directions are taken from the winner's, so that nothing
// cancels where p_w rounds to 1.
template <class T>
void curvature_tile(const T* p, T* a, int64_t ldz, int64_t classes, int rows, const State<T>& state) {
  constexpr int L = kLanes<T>;
  for (int i = 0; i < rows; i += L) {
    const IVec<T> winner = load_int<T>(state.winner + i);
    const Vec<T> s = narrow<T>(state.weight + i);
    Vec<T> origin{};
    for (int64_t c = 0; c < classes; ++c) origin = winner == (Int<T>)c + IVec<T>{} ? load(a + c * ldz + i) : origin;
    WideSum<T> sum;
    for (int64_t c0 = 0; c0 < classes; c0 += kFlush) {
      for (int64_t c = c0; c < classes && c < c0 + kFlush; ++c)
        sum.part += load(p + c * ldz + i) * (load(a + c * ldz + i) - origin);
      sum.flush();
    }
    double mean[L];
    store_wide<T>(mean, sum.total);
    const Vec<T> centre = narrow<T>(mean);
    for (int64_t c = 0; c < classes; ++c)
      store(a + c * ldz + i, s * load(p + c * ldz + i) * ((load(a + c * ldz + i) - origin) - centre));
  }
}

}  // namespace
}  // namespace xent
