package serving

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"

	"tarn/internal/lake"
)

// keyFilter says of a key whether an image may hold it: where it says no, a
// change of the key needs no delete, which is the dear part of an apply. It
// knows at least the keys of every row of its image; keys that were deleted, or
// whose transaction failed, may stay in it.
//
// Keys of one integer (or date or time) are bits in pages, which is exact and
// costs about a bit a key where they are dense. Other keys, and integers that
// turn out to be sparse, are in Bloom filters of 12 bits a key, each twice as
// large as the one before. A key comes as its key bytes.
type keyFilter struct {
	pages map[uint64]*[pageBits / 64]uint64 // nil: not used
	width int                               // bytes of a key in pages: 4 or 8
	bloom []*bloom
	keys  int64 // added and not in there before, as far as it can tell
}

const (
	pageBits    = 1 << 13
	pageBytes   = pageBits/8 + 48 // with its place in the map
	bloomKeys   = 1 << 13         // of the first
	bitsPerKey  = 12
	bloomProbes = 8
)

func newKeyFilter(key lake.Schema) *keyFilter {
	f := &keyFilter{}
	if len(key.Columns) == 1 {
		switch key.Columns[0].Type.Kind {
		case lake.Integer, lake.Date:
			f.width = 4
		case lake.Bigint, lake.Time, lake.Timestamp, lake.TimestampTZ:
			f.width = 8
		}
	}
	if f.width > 0 {
		f.pages = map[uint64]*[pageBits / 64]uint64{}
	}
	return f
}

// number is the key as an integer that keeps the keys' order.
func (f *keyFilter) number(key []byte) uint64 {
	if f.width == 4 {
		return uint64(binary.BigEndian.Uint32(key))
	}
	return binary.BigEndian.Uint64(key)
}

func (f *keyFilter) has(key []byte) bool {
	if f.pages != nil {
		n := f.number(key)
		p := f.pages[n/pageBits]
		return p != nil && p[n%pageBits/64]&(1<<(n%64)) != 0
	}
	h := xxh3.Hash(key)
	for _, b := range f.bloom {
		if b.has(h) {
			return true
		}
	}
	return false
}

func (f *keyFilter) add(key []byte) {
	if f.pages == nil {
		f.addHash(xxh3.Hash(key))
		return
	}
	n := f.number(key)
	p := f.pages[n/pageBits]
	if p == nil {
		p = new([pageBits / 64]uint64)
		f.pages[n/pageBits] = p
	}
	if w, bit := &p[n%pageBits/64], uint64(1)<<(n%64); *w&bit == 0 {
		*w |= bit
		f.keys++
	}
	if len(f.pages) > 64 && int64(len(f.pages))*pageBytes*8 > 2*bitsPerKey*f.keys {
		f.spread()
	}
}

// spread moves sparse integers from pages to Bloom filters.
func (f *keyFilter) spread() {
	pages := f.pages
	f.bloom = []*bloom{newBloom(max(f.keys, bloomKeys))}
	f.pages, f.keys = nil, 0
	key := make([]byte, f.width)
	for page, words := range pages {
		for w, word := range words {
			for ; word != 0; word &= word - 1 {
				n := page*pageBits + uint64(w*64+bits.TrailingZeros64(word))
				if f.width == 4 {
					binary.BigEndian.PutUint32(key, uint32(n))
				} else {
					binary.BigEndian.PutUint64(key, n)
				}
				f.addHash(xxh3.Hash(key))
			}
		}
	}
}

func (f *keyFilter) addHash(h uint64) {
	for _, b := range f.bloom {
		if b.has(h) {
			return
		}
	}
	last := len(f.bloom) - 1
	if last < 0 || f.bloom[last].left == 0 {
		f.bloom = append(f.bloom, newBloom(max(f.keys, bloomKeys)))
		last++
	}
	f.bloom[last].add(h)
	f.keys++
}

func (f *keyFilter) bytes() int64 {
	if f == nil {
		return 0
	}
	n := int64(len(f.pages)) * pageBytes
	for _, b := range f.bloom {
		n += int64(len(b.words)) * 8
	}
	return n
}

// bloom is a Bloom filter for a number of keys; its probes step from one half
// of the hash by the other (Kirsch and Mitzenmacher, 2006).
type bloom struct {
	words []uint64
	left  int64 // keys that it still takes
}

func newBloom(keys int64) *bloom {
	return &bloom{words: make([]uint64, (keys*bitsPerKey+63)/64), left: keys}
}

func (b *bloom) probe(h uint64, i uint64) (word int, bit uint64) {
	at, _ := bits.Mul64(h+i*(bits.RotateLeft64(h, 32)|1)*0x9E3779B97F4A7C15, uint64(len(b.words))*64)
	return int(at / 64), 1 << (at % 64)
}

func (b *bloom) has(h uint64) bool {
	for i := range uint64(bloomProbes) {
		if w, bit := b.probe(h, i); b.words[w]&bit == 0 {
			return false
		}
	}
	return true
}

func (b *bloom) add(h uint64) {
	for i := range uint64(bloomProbes) {
		w, bit := b.probe(h, i)
		b.words[w] |= bit
	}
	b.left--
}
