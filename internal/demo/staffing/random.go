package staffing

// DefaultSeed is the seed of the published data set.
const DefaultSeed uint64 = 20_260_101

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators", OOPSLA 2014): a bijection of 64 bits whose
// output bits each depend on all input bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// dice draws the fields of one row. Drawing is by field number, so that a new
// field leaves all others as they are.
type dice struct{ row uint64 }

func roll(seed uint64, table tableNumber, row int64) dice {
	return dice{mix(mix(seed+uint64(table)) ^ uint64(row))}
}

func (d dice) bits(field uint64) uint64 { return mix(d.row + field*0xd1342543de82ef95) }

// below gives a number of [0, n); n is far below 2^32, so the modulo's bias is
// below one in 2^32.
func (d dice) below(field uint64, n int64) int64 { return int64(d.bits(field) % uint64(n)) }

// between gives a number of [low, high].
func (d dice) between(field uint64, low, high int64) int64 {
	return low + d.below(field, high-low+1)
}

// skewed gives a number of [0, n) where small ones are more frequent: the
// lesser of two draws.
func (d dice) skewed(field uint64, n int64) int64 {
	bits := d.bits(field)
	return min(int64(bits>>32)%n, int64(bits&0xffffffff)%n)
}

// pick chooses by weight; weights are parts of their sum.
func (d dice) pick(field uint64, choices []choice) string {
	total := int64(0)
	for _, c := range choices {
		total += c.weight
	}
	at := d.below(field, total)
	for _, c := range choices {
		if at < c.weight {
			return c.word
		}
		at -= c.weight
	}
	return choices[0].word // not reached: at is below the sum
}

type choice struct {
	word   string
	weight int64
}
