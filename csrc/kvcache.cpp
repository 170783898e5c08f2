#include "kvcache.h"

#include <algorithm>

namespace triangle {
namespace {

void check_floats(const char* name, const Tensor& t, const Tensor& q, int64_t rank, const char* layout) {
  check(t.dim() == rank, name, ": expected ", layout, ", got shape ", shape_text(t));
  check(t.scalar_type() == q.scalar_type(), name, ": expected q's dtype ", dtype_text(q.scalar_type()), ", got ",
        dtype_text(t.scalar_type()));
  check_device(name, t, q);
}

void check_int32(const char* name, const Tensor& t, const Tensor& q, const std::vector<int64_t>& sizes,
                 const char* layout) {
  bool fits = t.scalar_type() == ScalarType::Int && t.dim() == static_cast<int64_t>(sizes.size());
  for (size_t i = 0; fits && i < sizes.size(); ++i) fits = sizes[i] < 0 || t.size(i) == sizes[i];
  check(fits, name, ": expected torch.int32 ", layout, " of ", sizes[0], " sequences, got ",
        dtype_text(t.scalar_type()), " ", shape_text(t));
  check(t.is_contiguous() || t.stride(t.dim() - 1) == 1, name, ": expected a contiguous last dimension, got stride ",
        t.stride(t.dim() - 1));
  check_device(name, t, q);
  check_aligned(name, t, sizeof(int32_t));
}

// A cache is read and written where it lies.
void check_cache(const char* name, const Tensor& t, bool written) {
  const int64_t last = t.dim() - 1;
  check(t.size(last) <= 1 || t.stride(last) == 1, name,
        ": expected a contiguous last dimension, since it is used in place, got stride ", t.stride(last));
  for (int64_t i = 0; written && i < last; ++i)
    check(t.size(i) <= 1 || t.stride(i) != 0, name,
          ": expected memory of its own for each element, which k and v are appended to, got stride 0 in dimension ",
          i);
}

}  // namespace

CacheArguments check_cache_inputs(Tensor q, Tensor k_cache, Tensor v_cache, Tensor cache_seqlens, OptTensor k,
                                  OptTensor v, OptTensor block_table, OptTensor cu_seq_q, OptTensor cache_batch_idx,
                                  OptTensor alibi_slopes, OptTensor sinks, Options options) {
  check_options(options, q.scalar_type());
  const bool packed = cu_seq_q.has_value(), paged = block_table.has_value();
  const int64_t rank = packed ? 3 : 4;
  check_floats("q", q, q, rank, packed ? "[T, Hq, D] with cu_seq_q" : "[B, Sq, Hq, D] without cu_seq_q");
  const char* layout = paged ? "[pages, page_size, Hkv, D]" : "[B_cache, S_cache, Hkv, D]";
  check_floats("k_cache", k_cache, q, 4, layout);
  check_floats("v_cache", v_cache, q, 4, layout);
  if (packed) check_cu_seq("cu_seq_q", *cu_seq_q, q);
  check(packed || !options.max_q.has_value(), "max_q: expected None without cu_seq_q, got ", options.max_q.value_or(0));

  const int64_t batch = packed ? cu_seq_q->size(0) - 1 : q.size(0);
  const int64_t rows = q.size(packed ? 0 : 1), heads_q = q.size(rank - 2), heads_kv = k_cache.size(2);
  const Sizes s{packed, batch, heads_q, heads_kv, rows, 0, q.size(rank - 1), v_cache.size(3)};
  check(heads_kv > 0 ? heads_q % heads_kv == 0 : heads_q == 0, "k_cache: expected Hq % Hkv == 0, got Hq = ", heads_q,
        ", Hkv = ", heads_kv);
  check(k_cache.size(3) == s.dim, "k_cache: expected a last dimension of ", s.dim, ", got shape ", shape_text(k_cache));
  for (int64_t i = 0; i < 3; ++i)
    check(v_cache.size(i) == k_cache.size(i), "v_cache: expected k_cache's sizes ", shape_text(k_cache),
          " but the last, got ", shape_text(v_cache));

  check_int32("cache_seqlens", cache_seqlens, q, {batch}, "[B]");
  int64_t room = k_cache.size(1);
  if (paged) {
    check_int32("block_table", *block_table, q, {batch, -1}, "[B, max_pages]");
    check(room > 0 && room % 16 == 0, "k_cache: expected pages of a multiple of 16 keys, got ", room);
    check(!cache_batch_idx.has_value(), "cache_batch_idx: expected None with block_table");
    check(!__builtin_mul_overflow(room, block_table->size(1), &room), "block_table: too long, got ",
          shape_text(*block_table));
  } else if (cache_batch_idx.has_value()) {
    check_int32("cache_batch_idx", *cache_batch_idx, q, {batch}, "[B]");
  } else {
    check(k_cache.size(0) == batch, "k_cache: expected an entry for each of ", batch,
          " sequences, or cache_batch_idx, got shape ", shape_text(k_cache));
  }
  check(k.has_value() == v.has_value(), k.has_value() ? "v" : "k", ": expected with the other of k and v, got None");
  int64_t new_keys = 0;
  if (k.has_value()) {
    const char* of_new = packed ? "[T, Hkv, D], packed as q" : "[B, new keys, Hkv, D]";
    check_floats("k", *k, q, rank, of_new);
    check_floats("v", *v, q, rank, of_new);
    check(k->size(0) == q.size(0) && k->size(rank - 2) == heads_kv && k->size(rank - 1) == s.dim, "k: expected ",
          of_new, " with q's ", q.size(0), ", k_cache's Hkv = ", heads_kv, " and D = ", s.dim, ", got shape ",
          shape_text(*k));
    for (int64_t i = 0; i + 1 < rank; ++i)
      check(v->size(i) == k->size(i), "v: expected k's sizes ", shape_text(*k), " but the last, got ", shape_text(*v));
    check(v->size(rank - 1) == s.dim_v, "v: expected v_cache's last dimension ", s.dim_v, ", got shape ",
          shape_text(*v));
    new_keys = k->size(packed ? 0 : 1);
    check(k_cache.data_ptr() != v_cache.data_ptr() || k_cache.numel() == 0 || v_cache.numel() == 0,
          "v_cache: expected memory of its own, which v is appended to, got k_cache's");
  }
  check_cache("k_cache", k_cache, k.has_value());
  check_cache("v_cache", v_cache, k.has_value());
  if (alibi_slopes.has_value()) check_slopes(*alibi_slopes, q, s);
  if (sinks.has_value()) check_sinks(*sinks, q, s);
  CacheArguments a{q,           k_cache,  v_cache,         cache_seqlens, k,     v,
                   block_table, cu_seq_q, cache_batch_idx, alibi_slopes,  sinks, std::move(options),
                   s,           new_keys};
  a.sizes.seq_k = room;
  return a;
}

namespace {

const int32_t* ints(const Tensor& t) { return static_cast<const int32_t*>(t.data_ptr()); }

// Keys [begin, end) of a page or of an entry, which a sequence appends to.
struct Appended {
  int64_t place, begin, end, sequence;
  bool operator<(const Appended& other) const { return std::tie(place, begin) < std::tie(other.place, other.begin); }
};

void check_apart(const char* name, const char* kind, std::vector<Appended> places) {
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i) {
    const Appended &a = places[i - 1], &b = places[i];
    check(a.place != b.place || b.begin >= a.end, name, ": expected places of their own for appended keys, got ", kind,
          " ", a.place, " for sequences ", std::min(a.sequence, b.sequence), " and ", std::max(a.sequence, b.sequence),
          " at its key ", b.begin);
  }
}

// First key that a sequence's rows see.
int64_t first_visible(const CacheSequence& s, const std::optional<int64_t>& window) {
  const int64_t position = s.length() - s.rows;
  return window.has_value() && *window < position ? position - *window : 0;
}

void check_pages(const CacheArguments& a, const CacheSequence& s, int64_t sequence, std::vector<Appended>& appended) {
  const Tensor& table = *a.block_table;
  const int32_t* pages = ints(table) + sequence * table.stride(0);
  const int64_t size = a.page_size();
  const auto check_page = [&](int64_t i) {
    check(pages[i] >= 0 && pages[i] < a.k_cache.size(0), "block_table: expected page numbers 0 .. ",
          a.k_cache.size(0) - 1, ", got ", pages[i], " for page ", i, " of sequence ", sequence);
  };
  if (s.rows > 0)
    for (int64_t i = first_visible(s, a.options.window_size_left) / size; i * size < s.length(); ++i) check_page(i);
  for (int64_t at = s.before; at < s.length();) {
    const int64_t page = at / size, end = std::min((page + 1) * size, s.length());
    check_page(page);
    appended.push_back({pages[page], at - page * size, end - page * size, sequence});
    at = end;
  }
}

}  // namespace

std::vector<CacheSequence> check_cache_values(const CacheArguments& a) {
  const Sizes& sizes = a.sizes;
  if (sizes.packed) check_cu_seq_values("cu_seq_q", *a.cu_seq_q, sizes.seq_q, a.options.max_q, "max_q");
  const int32_t* lengths = ints(a.cache_seqlens);
  std::vector<CacheSequence> all(sizes.batch);
  std::vector<Appended> appended;
  for (int64_t b = 0; b < sizes.batch; ++b) {
    CacheSequence& s = all[b];
    s.rows = sizes.seq_q;
    s.first_new = b * a.new_keys;
    s.new_keys = a.new_keys;
    if (sizes.packed) {
      const int32_t* offsets = ints(*a.cu_seq_q);
      s.first_row = s.first_new = offsets[b];
      s.rows = offsets[b + 1] - offsets[b];
      s.new_keys = a.k.has_value() ? s.rows : 0;
    }
    s.before = lengths[b * a.cache_seqlens.stride(0)];
    check(s.before >= 0, "cache_seqlens: expected lengths >= 0, got ", s.before, " for sequence ", b);
    check(s.length() <= sizes.seq_k, "cache_seqlens: expected at most ", sizes.seq_k, " keys",
          a.paged() ? ", the pages of a row of block_table," : ", k_cache's S_cache,", " with the ", s.new_keys,
          " of k, got ", s.before, " for sequence ", b);
    // A sequence of no keys is an idle place in a batch: its rows see nothing.
    check(s.rows <= s.length() || s.length() == 0, "cache_seqlens: expected at least as many keys as q has rows, ",
          s.rows, ", got ", s.length(), " for sequence ", b, a.k.has_value() ? " with those of k" : "");
    if (a.paged()) {
      check_pages(a, s, b, appended);
      continue;
    }
    int64_t entry = b;
    if (a.cache_batch_idx.has_value()) {
      entry = ints(*a.cache_batch_idx)[b * a.cache_batch_idx->stride(0)];
      check(entry >= 0 && entry < a.k_cache.size(0), "cache_batch_idx: expected entries 0 .. ", a.k_cache.size(0) - 1,
            ", got ", entry, " for sequence ", b);
    }
    if (s.new_keys > 0) appended.push_back({entry, s.before, s.length(), b});
  }
  check_apart(a.paged() ? "block_table" : "cache_batch_idx", a.paged() ? "page" : "entry", std::move(appended));
  return all;
}

}  // namespace triangle
