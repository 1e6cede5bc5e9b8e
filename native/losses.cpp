#include "losses.hpp"

#include <barrier>
#include <cmath>
#include <exception>
#include <numeric>

#include "pool.hpp"

namespace xent {
namespace {

constexpr int64_t kRows = 256;      // at a time: a tile of 512 classes is half of a core's cache
constexpr int64_t kClasses = 512;
constexpr int64_t kShort = 48;      // classes: shorter rows of logits are turned, since vectors along them would idle
constexpr int64_t kVector = 16;     // a multiple of every kernel's lanes
enum Field { kPeak, kRest, kWinner, kTarget };

// Room to work in: no large pages, of which the last would mostly lie idle.
template <class T> Buffer<T> spare_room(int64_t count) {
  const size_t bytes = (std::max<int64_t>(count, 1) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
  void* p = std::aligned_alloc(kAlign, bytes);
  if (!p) throw std::bad_alloc();
  return Buffer<T>(static_cast<T*>(p));
}

int64_t filled_up(int64_t rows) { return (rows + kVector - 1) / kVector * kVector; }

struct Range {
  int64_t from, to;
  int64_t size() const { return to - from; }
};
// Of [0, n) what is thread t's, cut at multiples of `unit`.
Range share(int64_t n, int64_t unit, int t, int threads) {
  const int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * t / threads * unit), std::min(n, units * (t + 1) / threads * unit)};
}

float number(BFloat16 v) { return __builtin_bit_cast(float, static_cast<uint32_t>(v.bits) << 16); }
template <class T> T number(T v) { return v; }
void put(BFloat16& to, float v) {  // to nearest even; a NaN stays one
  const auto bits = __builtin_bit_cast(uint32_t, v);
  to.bits = static_cast<uint16_t>(v == v ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : (bits >> 16) | 0x40);
}
void put(float& to, float v) { to = v; }
void put(double& to, double v) { to = v; }

template <class XT> struct KernelsOf;
template <> struct KernelsOf<double> {
  static auto rows(const Kernels& set) { return set.rows_d; }
  static auto product(const Kernels& set) { return set.product_dd; }
  static auto back(const Kernels& set, bool) { return set.product_dd; }
};
template <> struct KernelsOf<float> {
  static auto rows(const Kernels& set) { return set.rows_f; }
  static auto product(const Kernels& set) { return set.product_ff; }
  static auto back(const Kernels& set, bool) { return set.product_ff; }
};
template <> struct KernelsOf<BFloat16> {
  static bool pairs(const Kernels& set) { return find_pair_kernels().bb.run && &set == find_kernels("avx512"); }
  static auto rows(const Kernels& set) { return set.rows_b; }
  static auto product(const Kernels& set) { return pairs(set) ? find_pair_kernels().bb : set.product_bb; }
  static auto back(const Kernels& set, bool rounds) { return rounds && pairs(set) ? find_pair_kernels().fb : set.product_fb; }
};

// The rows that are not ignored.
struct Alive {
  std::vector<int64_t> rows;
  Counted counted;
  bool all;
  template <class XT> explicit Alive(const LossCall<XT>& call) {
    int64_t dead = 0;
    for (int64_t i = 0; i < call.n; ++i) {
      if (call.label[i] == call.ignored) ++dead;
      else if (static_cast<uint64_t>(call.label[i]) >= static_cast<uint64_t>(call.k) && counted.bad_row < 0) counted.bad_row = i;
    }
    counted.live = call.n - dead;
    all = dead == 0;
    rows.resize(counted.live);
    if (all) std::iota(rows.begin(), rows.end(), 0);
    else for (int64_t i = 0, r = 0; i < call.n; ++i)
      if (call.label[i] != call.ignored) rows[r++] = i;
  }
  std::vector<int64_t> of(Range r) const { return {rows.begin() + r.from, rows.begin() + r.to}; }
};

template <class XT> Targets targets_of(const LossCall<XT>& call) {
  Targets t;
  t.kind = Target::label;
  t.label = call.label;
  return t;
}

// What is known of rows, written into the caller's memory.
struct Known {
  double *loss, *stats;
  int64_t n;
  void clear() const {
    std::fill_n(loss, n, 0.0);
    std::fill_n(stats, kFields * n, 0.0);
  }
  void put(int64_t i, double peak, double rest, double winner, double loss_here, double target) const {
    const double fields[kFields] = {peak, rest, winner, target};
    for (int f = 0; f < kFields; ++f) stats[f * n + i] = fields[f];
    loss[i] = loss_here;
  }
  // From what Columns::save says of them.
  void put(const std::vector<int64_t>& rows, const double* saved) const {
    for (int64_t i : rows) {
      put(i, saved[0], saved[1], saved[2], saved[4], saved[6]);
      saved += kKept;
    }
  }
};

// A row's gradient by its logits: exp(z − origin) scale, less `factor` at the label; `top` at the largest.
struct Row {
  double origin, rest, winner, scale, factor, share, top;
};
static_assert(sizeof(Row) == kGiven * sizeof(double));

struct Upstream {
  const double *stats, *up;
  int64_t up_stride, n;
  const int64_t* label;
  Row row(int64_t i) const {
    const double peak = stats[kPeak * n + i], rest = stats[kRest * n + i], winner = stats[kWinner * n + i];
    const double factor = up[i * up_stride], all = factor + (peak - peak), inverse = 1 / (1 + rest);
    const double own = static_cast<double>(label[i]) == winner ? factor : 0;
    return {peak == -HUGE_VAL ? 0 : peak, rest, winner, all * inverse, factor, 0, (all - own) - all * rest * inverse};
  }
  std::vector<Row> of(const std::vector<int64_t>& rows) const {
    std::vector<Row> found(rows.size());
    for (size_t r = 0; r < rows.size(); ++r) found[r] = row(rows[r]);
    return found;
  }
};

// Logits that are there ----------------------------------------------------------------------------------------------

// A thread that sleeps takes 50 to 500 us to wake: it is asked for work that takes longer.
template <class XT> int threads_of_logits(const LossCall<XT>& call) {
  return static_cast<int>(std::clamp<int64_t>(call.n * call.k >> 17, 1, std::min<int64_t>(call.threads, (call.n + kVector - 1) / kVector)));
}

// Short rows, turned: z (k, ld), live columns filled up by zeros.
template <class XT> struct Turned {
  using CT = Computed<XT>;
  static constexpr int64_t ld = kRows + kVector;
  Buffer<CT> z;
  explicit Turned(int64_t k) : z(spare_room<CT>(k * ld)) {}
  void read(const LossCall<XT>& call, const std::vector<int64_t>& rows, int64_t filled) const {
    const auto live = static_cast<int64_t>(rows.size());
    for (int64_t r = 0; r < live; ++r) {
      const XT* from = call.x.p + rows[r] * call.x.row_stride;
      for (int64_t c = 0; c < call.k; ++c) z[c * ld + r] = number(from[c * call.x.column_stride]);
    }
    for (int64_t c = 0; c < call.k; ++c) std::fill(&z[c * ld + live], &z[c * ld + filled], CT(0));
  }
  void write(const std::vector<int64_t>& rows, int64_t k, XT* out) const {
    for (size_t r = 0; r < rows.size(); ++r)
      for (int64_t c = 0; c < k; ++c) put(out[rows[r] * k + c], z[c * ld + r]);
  }
};

// Where threads meet; one that throws leaves, lest the others wait for it.
class Meeting {
 public:
  explicit Meeting(std::barrier<>& barrier) : barrier_(barrier) {}
  ~Meeting() {
    if (std::uncaught_exceptions() > before_) barrier_.arrive_and_drop();
  }
  void wait() { barrier_.arrive_and_wait(); }

 private:
  std::barrier<>& barrier_;
  int before_ = std::uncaught_exceptions();
};

template <class F> void in_chunks(Range rows, F&& f) {
  for (int64_t at = rows.from; at < rows.to; at += kRows) f(Range{at, std::min(at + kRows, rows.to)});
}

// use(rows, their columns, their logits turned) of a chunk of rows of few classes at a time.
template <class XT, class F>
void over_turned(const Kernels& set, const LossCall<XT>& call, const Alive& alive, Range mine, F&& use) {
  const Turned<XT> turned(mine.size() ? call.k : 0);
  in_chunks(mine, [&](Range chunk) {
    const auto rows = alive.of(chunk);
    Columns<Computed<XT>> column(set, targets_of(call), rows, call.k);
    turned.read(call, rows, column.filled());
    use(rows, column, turned);
  });
}

template <class XT>
void forward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Known& known) {
  const int threads = threads_of_logits(call);
  run_together(threads, [&](int t) {
    const Range mine = share(alive.counted.live, kVector, t, threads);
    if (call.k >= kShort) {
      const auto scan = KernelsOf<XT>::rows(set).scan;
      for (int64_t r = mine.from; r < mine.to; ++r) {
        const int64_t i = alive.rows[r];
        const XT* z = call.x.p + i * call.x.row_stride;
        double found[kScanned];
        scan(z, 1, 0, call.k, 1, nullptr, false, found);
        const double peak = found[0], gap = peak - number(z[call.label[i]]);
        known.put(i, peak, found[1], found[2], (peak - peak) + (std::log1p(found[1]) + gap), -gap);
      }
      return;
    }
    over_turned(set, call, alive, mine, [&](const auto& rows, auto& column, const Turned<XT>& turned) {
      column.scan(turned.z.get(), Turned<XT>::ld, 0, call.k, nullptr);
      column.finish();
      double saved[kRows * kKept];
      column.save(saved);
      known.put(rows, saved);
    });
  });
}

template <class XT>
void backward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Upstream& up, XT* out) {
  using CT = Computed<XT>;
  if (!alive.all) std::fill_n(out, call.n * call.k, XT{});
  const int threads = threads_of_logits(call);
  run_together(threads, [&](int t) {
    const Range mine = share(alive.counted.live, kVector, t, threads);
    if (call.k >= kShort) {
      const auto residual = KernelsOf<XT>::rows(set).residual;
      for (int64_t r = mine.from; r < mine.to; ++r) {
        const int64_t i = alive.rows[r], label = call.label[i];
        const XT* z = call.x.p + i * call.x.row_stride;
        const Row row = up.row(i);
        const double given[3] = {row.origin, row.scale, 0};
        XT* to = out + i * call.k;
        residual(z, 1, 0, call.k, 1, nullptr, given, to, 0);
        put(to[label], static_cast<CT>(std::exp(number(z[label]) - row.origin) * row.scale - row.factor));
        put(to[static_cast<int64_t>(row.winner)], static_cast<CT>(row.top));
      }
      return;
    }
    over_turned(set, call, alive, mine, [&](const auto& rows, auto& column, const Turned<XT>& turned) {
      column.restore(reinterpret_cast<const double*>(up.of(rows).data()));
      column.residual(turned.z.get(), Turned<XT>::ld, 0, call.k, nullptr);
      turned.write(rows, call.k, out);
    });
  });
}

// A layer ------------------------------------------------------------------------------------------------------------

template <class XT>
class Layer {
 public:
  using CT = Computed<XT>;
  Layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept)
      : set_(set), call_(call), alive_(alive), kept_(kept), n_(alive.counted.live), x_(call.x),
        product_(KernelsOf<XT>::product(set)), back_(KernelsOf<XT>::back(set, call.rounds)), ldk_(kept_stride(n_)),
        step_(tile_classes(call.d, call.k, call.max_bytes, sizeof(CT))) {
    const double work = static_cast<double>(n_) * call.k * (call.d + 32);
    threads_ = static_cast<int>(std::clamp(work / (1 << 23), 1.0, static_cast<double>(std::max(call.threads, 1))));
    few_ = threads_ > 1 && n_ < 2 * kVector * threads_;
    height_ = std::clamp(filled_up((n_ + threads_ - 1) / threads_), kVector, kRows);
    if (alive.all) return;
    gathered_ = spare_room<XT>(n_ * call.d);
    for (int64_t r = 0; r < n_; ++r)
      for (int64_t j = 0; j < call.d; ++j)
        gathered_[r * call.d + j] = call.x.p[alive.rows[r] * call.x.row_stride + j * call.x.column_stride];
    x_ = {gathered_.get(), call.d, 1};
  }

  void forward(const Known& known) {
    const int64_t ldz = ldk_;
    const auto shared = spare_room<CT>(few_ && !kept_.z ? call_.k * ldz : 0);
    std::barrier barrier(threads_);
    run_together(threads_, [&](int t) {
      Meeting meet(barrier);
      const auto scratch = room();
      const Range mine = share(n_, kVector, t, threads_);
      CT* const all = kept_.z ? kept_.z : shared.get();  // of few rows, or to keep
      if (few_) {
        const Range classes = share(call_.k, kVector, t, threads_);
        multiply(classes, {0, n_}, filled_up(n_), all + classes.from * ldz, ldz, scratch.get());
        meet.wait();
      }
      const int64_t lds = height_ + kVector;
      const auto spare = spare_room<CT>(step_ * lds);
      auto parts = parts_of(mine);
      over_tiles([&](Range classes) {
        for (auto& part : parts) {
          CT *z = spare.get(), *whole = all + classes.from * ldz + part.rows.from;
          const int64_t filled = part.column.filled();
          if (few_) copy(whole, ldz, z, lds, classes.size(), filled);
          else multiply(classes, part.rows, filled, z, lds, scratch.get());
          if (!few_ && kept_.z) copy(z, lds, whole, ldz, classes.size(), filled);
          scan(part, z, lds, classes);
        }
      });
      for (auto& part : parts) {
        double saved[kRows * kKept];
        part.column.finish();
        part.column.save(saved);
        known.put(alive_.of(part.rows), saved);
      }
    });
  }

  void backward(const Upstream& up, const LossGradients<XT>& out) {
    const bool together = out.w || out.b || few_;
    const int64_t room_for = call_.max_bytes / static_cast<int64_t>(sizeof(CT));
    const int64_t block = together ? std::max<int64_t>(room_for / step_ / kRows, 1) * kRows : std::max<int64_t>(n_, 1);
    const int64_t ldg = together ? filled_up(std::min(block, n_)) + kVector : height_ + kVector;
    const auto shared = spare_room<CT>(together ? step_ * ldg : 0);
    const bool direct = std::is_same_v<XT, CT> && alive_.all;  // dx is summed where the caller wants it
    const bool at_once = !direct && !few_ && step_ == call_.k;   // of one tile no sum waits for others
    const auto sums = spare_room<CT>(out.x && !direct && !at_once ? n_ * call_.d : 0);
    CT* const dx = direct ? reinterpret_cast<CT*>(out.x) : sums.get();
    if (out.x && !alive_.all) std::fill_n(out.x, call_.n * call_.d, XT{});
    std::barrier barrier(threads_);
    run_together(threads_, [&](int t) {
      Meeting meet(barrier);
      const auto scratch = room();
      const auto spare = spare_room<CT>(together ? 0 : step_ * ldg);
      const auto own = spare_room<CT>(out.x && at_once ? height_ * call_.d : 0);
      const Range features = share(call_.d, kVector, t, threads_);
      std::vector<std::pair<Range, std::vector<Part>>> blocks;
      for (int64_t at = 0; at < n_; at += block) {
        const Range rows{at, std::min(at + block, n_)};
        Range mine = share(rows.size(), kVector, t, threads_);
        blocks.emplace_back(rows, parts_of({at + mine.from, at + mine.to}, &up));
      }
      over_tiles([&](Range classes) {
        const Range mine = share(classes.size(), 1, t, threads_);
        Sums sums_here(*this, classes, t, out);
        for (auto& [rows, parts] : blocks) {
          CT* const first = together ? shared.get() : spare.get();
          if (few_) {
            if (kept_.z) copy_kept(Sums::within(classes, mine), rows, filled_up(n_), first + mine.from * ldg, ldg);
            else if (!kept_.e) multiply(Sums::within(classes, mine), rows, filled_up(n_), first + mine.from * ldg, ldg, scratch.get());
            meet.wait();
          }
          for (auto& part : parts) {
            CT* g = together ? first + part.rows.from - rows.from : first;
            if (!few_) make(classes, part, g, ldg, scratch.get());
            residual(part, g, ldg, classes);
            if (!out.x || few_) continue;
            CT* const to = at_once ? own.get() : dx + part.rows.from * call_.d;
            add_to_rows(g, ldg, part.rows, {0, call_.d}, classes, to, scratch.get());
            if (at_once) finish_rows(to, part.rows, out.x);
          }
          if (!together) continue;
          meet.wait();
          if (out.x && few_) add_to_rows(first, ldg, rows, features, classes, dx + rows.from * call_.d, scratch.get());
          sums_here.add(first, ldg, rows, scratch.get());
          meet.wait();
        }
        sums_here.end();
      });
      if (!out.x || direct || at_once) return;
      if (few_) meet.wait();  // for the others' features
      for (auto& [rows, parts] : blocks)
        for (auto& part : parts) finish_rows(dx + part.rows.from * call_.d, part.rows, out.x);
    });
  }

 private:
  struct Part {
    Range rows;
    Columns<CT> column;
    std::unique_ptr<Columns<CT>> again;  // makes exp(z − m) anew, as forward would have kept it
  };

  // A thread's share of a tile's gradients over blocks of rows, rounded once at the end: of some classes, or of some features
  // of all of them, whichever packs less for the product.
  struct Sums {
    static constexpr bool direct = std::is_same_v<XT, CT>;
    const Layer& layer;
    const LossGradients<XT>& out;
    Range tile, classes, features, of_bias;
    Buffer<CT> own;
    std::vector<double> bias;
    CT* sums;
    int64_t ld;
    Sums(const Layer& layer, Range tile, int t, const LossGradients<XT>& out)
        : layer(layer), out(out), tile(tile), classes(within(tile, share(tile.size(), 1, t, layer.threads_))),
          features{0, layer.call_.d}, of_bias(classes), bias(out.b ? classes.size() : 0) {
      if (layer.step_ < layer.call_.d) classes = tile, features = share(layer.call_.d, 4 * kVector, t, layer.threads_);
      own = spare_room<CT>(out.w && !direct ? classes.size() * features.size() : 0);
      sums = direct && out.w ? reinterpret_cast<CT*>(out.w) + first() : own.get();
      ld = direct ? layer.call_.d : features.size();
    }
    static Range within(Range all, Range part) { return {all.from + part.from, all.from + part.to}; }
    int64_t first() const { return classes.from * layer.call_.d + features.from; }
    // g: of all classes of the tile.
    void add(const CT* g, int64_t ldg, Range rows, char* scratch) {
      const auto& x = layer.x_;
      if (out.w && classes.size() && features.size())
        layer.back_.run({g + (classes.from - tile.from) * ldg, ldg, 1},
                        {x.p + rows.from * x.row_stride + features.from * x.column_stride, x.row_stride, x.column_stride}, sums, ld,
                        classes.size(), features.size(), rows.size(), rows.from > 0, scratch);
      for (size_t c = 0; c < bias.size(); ++c) {
        const CT* of_class = g + (of_bias.from - tile.from + c) * ldg;
        double parts[8] = {};
        for (int64_t r = 0; r < rows.size(); ++r) parts[r % 8] += of_class[r];
        for (double part : parts) bias[c] += part;
      }
    }
    void end() {
      for (size_t c = 0; c < bias.size(); ++c) put(out.b[of_bias.from + c], static_cast<CT>(bias[c]));
      if constexpr (!direct)
        if (out.w) layer.set_.narrow(sums, ld, out.w + first(), layer.call_.d, classes.size(), features.size());
    }
  };

  template <class F> void over_tiles(F&& f) const {
    for (int64_t at = 0; at < call_.k; at += step_) f(Range{at, std::min(at + step_, call_.k)});
  }
  std::vector<Part> parts_of(Range rows, const Upstream* up = nullptr) const {
    std::vector<Part> parts;
    for (int64_t at = rows.from; at < rows.to; at += height_) {
      const Range here{at, std::min(at + height_, rows.to)};
      const auto numbers = alive_.of(here);
      parts.push_back({here, Columns<CT>(set_, targets_of(call_), numbers, call_.k), nullptr});
      if (!up) continue;
      parts.back().column.restore(reinterpret_cast<const double*>(up->of(numbers).data()));
      if (call_.rounds && !kept_.e) parts.back().again = std::make_unique<Columns<CT>>(set_, targets_of(call_), numbers, call_.k);
    }
    return parts;
  }
  Buffer<char> room() const {
    const int64_t tile = product_.scratch(step_, std::max(height_, n_ < kRows ? n_ : kRows), call_.d);
    const int64_t rows = back_.scratch(std::max(height_, kRows), call_.d, step_);
    const int64_t whole = few_ ? product_.scratch(call_.k, n_, call_.d) : 0;
    return spare_room<char>(std::max({tile, rows, whole, back_.scratch(step_, call_.d, std::max<int64_t>(n_, 1))}));
  }

  // z of a tile, `filled` columns of it; those that fill it up are 0.
  void multiply(Range classes, Range rows, int64_t filled, CT* z, int64_t ldz, char* scratch) const {
    if (classes.size() && rows.size())
      product_.run({call_.w.p + classes.from * call_.w.row_stride, call_.w.row_stride, call_.w.column_stride},
                   {x_.p + rows.from * x_.row_stride, x_.column_stride, x_.row_stride}, z, ldz, classes.size(), rows.size(), call_.d,
                   false, scratch);
    for (int64_t c = 0; c < classes.size(); ++c) {
      CT* row = z + c * ldz;
      std::fill(row + rows.size(), row + filled, CT(0));
      if (!call_.b) continue;
      const CT b = number(call_.b[(classes.from + c) * call_.b_stride]);
      for (int64_t r = 0; r < filled; ++r) row[r] += b;
    }
  }
  static void copy(const CT* from, int64_t ld, CT* to, int64_t ldt, int64_t rows, int64_t columns) {
    for (int64_t c = 0; c < rows; ++c) std::copy_n(from + c * ld, columns, to + c * ldt);
  }
  // Kept logits.
  void copy_kept(Range classes, Range rows, int64_t filled, CT* z, int64_t ldz) const {
    copy(kept_.z + classes.from * ldk_ + rows.from, ldk_, z, ldz, classes.size(), filled);
  }
  // A tile as `residual` wants it: logits, kept or made.
  void make(Range classes, const Part& part, CT* z, int64_t ldz, char* scratch) const {
    if (kept_.z) copy_kept(classes, part.rows, part.column.filled(), z, ldz);
    else if (!kept_.e) multiply(classes, part.rows, part.column.filled(), z, ldz, scratch);
  }
  float* peaks(Range classes, const Part& part) const { return kept_.peak + classes.from / step_ * call_.n + part.rows.from; }

  void scan(Part& part, CT* z, int64_t ldz, Range classes) const {
    if constexpr (std::is_same_v<XT, BFloat16>)
      if (kept_.e) return round(part.column, part.rows.size(), z, ldz, classes, kept_.e + classes.from * call_.n + part.rows.from,
                                call_.n, peaks(classes, part));
    part.column.scan(z, ldz, classes.from, classes.size(), nullptr);
  }
  // exp(z − m) into `e`, rounded, and the m of this tile's time into `peak`.
  void round(Columns<CT>& column, int64_t live, CT* z, int64_t ldz, Range classes, BFloat16* e, int64_t lde, float* peak) const {
    if constexpr (std::is_same_v<XT, BFloat16>) {
      float at[kRows];
      column.scan(z, ldz, classes.from, classes.size(), at);
      set_.narrow(z, ldz, e, lde, classes.size(), live);
      std::copy_n(at, live, peak);
    }
  }

  void residual(Part& part, CT* z, int64_t ldz, Range classes) const {
    if constexpr (std::is_same_v<XT, BFloat16>)
      if (call_.rounds) {
        const int64_t live = part.rows.size(), filled = part.column.filled();
        float at[kRows] = {};
        Buffer<BFloat16> own;
        const BFloat16* e = kept_.e + classes.from * call_.n + part.rows.from;
        int64_t lde = call_.n;
        if (kept_.e) std::copy_n(peaks(classes, part), live, at);
        else {
          own = spare_room<BFloat16>(classes.size() * live);
          round(*part.again, live, z, ldz, classes, own.get(), live, at);
          e = own.get(), lde = live;
        }
        set_.widen(e, lde, z, ldz, classes.size(), live);
        for (int64_t c = 0; c < classes.size(); ++c) std::fill(z + c * ldz + live, z + c * ldz + filled, 0.0f);
        part.column.residual(z, ldz, classes.from, classes.size(), at);
        return;
      }
    part.column.residual(z, ldz, classes.from, classes.size(), nullptr);
  }

  // dx: where the first of the rows is.
  void add_to_rows(const CT* g, int64_t ldg, Range rows, Range features, Range classes, CT* dx, char* scratch) const {
    if (!rows.size() || !features.size()) return;
    const auto& w = call_.w;
    back_.run({g, 1, ldg}, {w.p + classes.from * w.row_stride + features.from * w.column_stride, w.row_stride, w.column_stride},
              dx + features.from, call_.d, rows.size(), features.size(), classes.size(), classes.from > 0, scratch);
  }
  // Sums of gradients of these rows become the caller's.
  void finish_rows(const CT* dx, Range rows, XT* out) const {
    const int64_t d = call_.d;
    for (int64_t r = rows.from; r < rows.to; ++r, dx += d)
      if constexpr (std::is_same_v<XT, BFloat16>) set_.narrow(dx, d, out + alive_.rows[r] * d, d, 1, d);
      else std::copy_n(dx, d, out + alive_.rows[r] * d);
  }

  const Kernels& set_;
  const LossCall<XT>& call_;
  const Alive& alive_;
  const Kept<XT>& kept_;
  int64_t n_;
  Strided<XT> x_;
  Buffer<XT> gathered_;
  ProductKernels<XT, XT, CT> product_;
  ProductKernels<CT, XT, CT> back_;
  int64_t ldk_, step_, height_;
  int threads_;
  bool few_;  // rows: threads share classes and features instead
};

}  // namespace

int64_t kept_stride(int64_t n) { return filled_up(n) + kVector; }  // not a power of two: classes would fall on each other
int64_t tile_classes(int64_t d, int64_t k, int64_t max_bytes, int64_t itemsize) {
  return std::max<int64_t>(std::min({kClasses, max_bytes / itemsize / std::max<int64_t>(d, 1), k}), 1);
}

template <class XT>
Counted loss_forward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, double* loss, double* stats, XT* total,
                     bool mean) {
  const Alive alive(call);
  if (alive.counted.bad_row >= 0) return alive.counted;
  const Known known{loss, stats, call.n};
  if (!alive.all) known.clear();
  if (alive.counted.live && call.w.p) Layer<XT>(set, call, alive, kept).forward(known);
  else if (alive.counted.live) forward_of_logits(set, call, alive, known);
  if (total) {
    double sums[8] = {}, all = 0;
    for (int64_t i = 0; i < call.n; ++i) sums[i % 8] += loss[i];
    for (double sum : sums) all += sum;
    put(*total, static_cast<Computed<XT>>(mean ? all / std::max<int64_t>(alive.counted.live, 1) : all));
  }
  return alive.counted;
}

template <class XT>
void loss_backward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, const double* stats, const double* up,
                   int64_t up_stride, const LossGradients<XT>& out) {
  const Alive alive(call);
  const Upstream upstream{stats, up, up_stride, call.n, call.label};
  if (!alive.counted.live) {
    if (out.x) std::fill_n(out.x, call.n * (call.w.p ? call.d : call.k), XT{});
    if (out.w) std::fill_n(out.w, call.k * call.d, XT{});
    if (out.b) std::fill_n(out.b, call.k, XT{});
    return;
  }
  if (call.w.p) Layer<XT>(set, call, alive, kept).backward(upstream, out);
  else if (out.x) backward_of_logits(set, call, alive, upstream, out.x);
}

#define XENT_LOSS(XT)                                                                                            \
  template Counted loss_forward(const Kernels&, const LossCall<XT>&, const Kept<XT>&, double*, double*, XT*, bool); \
  template void loss_backward(const Kernels&, const LossCall<XT>&, const Kept<XT>&, const double*, const double*, \
                              int64_t, const LossGradients<XT>&);
XENT_LOSS(double)
XENT_LOSS(float)
XENT_LOSS(BFloat16)

}  // namespace xent
