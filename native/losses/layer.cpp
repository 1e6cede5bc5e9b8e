// Losses of a layer z = W x + b, whose logits come in tiles of classes, multiplied out here: see losses.hpp.
#include <barrier>
#include <exception>

#include "memory.hpp"
#include "pool.hpp"
#include "rows.hpp"

namespace xent {
namespace {

constexpr int64_t kClasses = 512;  // of a tile

int64_t filled_up(int64_t rows) { return (rows + kVector - 1) / kVector * kVector; }

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

template <class XT>
class Layer {
 public:
  using CT = Computed<XT>;
  Layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept)
      : set_(set),
        call_(call),
        alive_(alive),
        kept_(kept),
        n_(alive.counted.live),
        x_(call.x),
        product_(KernelsOf<XT>::product(set)),
        back_(KernelsOf<XT>::back(set, call.rounds)),
        ldk_(kept_stride(n_)),
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
      const Range mine = thread_range(n_, kVector, t, threads_);
      CT* const all = kept_.z ? kept_.z : shared.get();  // of few rows, or to keep
      if (few_) {
        const Range classes = thread_range(call_.k, kVector, t, threads_);
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
      const Range features = thread_range(call_.d, kVector, t, threads_);
      std::vector<std::pair<Range, std::vector<Part>>> blocks;
      for (int64_t at = 0; at < n_; at += block) {
        const Range rows{at, std::min(at + block, n_)};
        Range mine = thread_range(rows.size(), kVector, t, threads_);
        blocks.emplace_back(rows, parts_of({at + mine.from, at + mine.to}, &up));
      }
      over_tiles([&](Range classes) {
        const Range mine = thread_range(classes.size(), 1, t, threads_);
        Sums sums_here(*this, classes, t, out);
        for (auto& [rows, parts] : blocks) {
          CT* const first = together ? shared.get() : spare.get();
          if (few_) {
            if (kept_.z) copy_kept(Sums::within(classes, mine), rows, filled_up(n_), first + mine.from * ldg, ldg);
            else if (!kept_.e)
              multiply(Sums::within(classes, mine), rows, filled_up(n_), first + mine.from * ldg, ldg, scratch.get());
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
        : layer(layer),
          out(out),
          tile(tile),
          classes(within(tile, thread_range(tile.size(), 1, t, layer.threads_))),
          features{0, layer.call_.d},
          of_bias(classes),
          bias(out.b ? classes.size() : 0) {
      if (layer.step_ < layer.call_.d) classes = tile, features = thread_range(layer.call_.d, 4 * kVector, t, layer.threads_);
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
                        {x.p + rows.from * x.row_stride + features.from * x.column_stride, x.row_stride, x.column_stride}, sums,
                        ld, classes.size(), features.size(), rows.size(), rows.from > 0, scratch);
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
                   {x_.p + rows.from * x_.row_stride, x_.column_stride, x_.row_stride}, z, ldz, classes.size(), rows.size(),
                   call_.d, false, scratch);
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
      if (kept_.e)
        return round(part.column, part.rows.size(), z, ldz, classes, kept_.e + classes.from * call_.n + part.rows.from, call_.n,
                     peaks(classes, part));
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
void forward_of_layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept,
                      const Known& known) {
  Layer<XT>(set, call, alive, kept).forward(known);
}
template <class XT>
void backward_of_layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept, const Upstream& up,
                       const LossGradients<XT>& out) {
  Layer<XT>(set, call, alive, kept).backward(up, out);
}

#define XENT_LAYER(XT)                                                                                                 \
  template void forward_of_layer(const Kernels&, const LossCall<XT>&, const Alive&, const Kept<XT>&, const Known&);    \
  template void backward_of_layer(const Kernels&, const LossCall<XT>&, const Alive&, const Kept<XT>&, const Upstream&, \
                                  const LossGradients<XT>&);
XENT_LAYER(double)
XENT_LAYER(float)
XENT_LAYER(BFloat16)

}  // namespace xent
